"""Many profiles at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from persona_judge_llm.errors import InvalidPreferenceError
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.store_suite.common import (
    CompleteProfileStore,
    StoreSuite,
    abc,
    guess,
    texts,
)


class Many(StoreSuite):
    """`put_many` writes what is new, and nothing else."""

    def test_all_are_stored_and_counted(self, store: CompleteProfileStore) -> None:
        many = [abc("ana"), Profile("ben"), Profile("kim", (guess(),), settings={"n": [1]})]
        assert store.put_many(many, actor="importer") == 3
        assert store.get("ana").preferences == abc().preferences
        assert store.get("kim").settings == {"n": [1]}
        for user in ("ana", "ben", "kim"):
            (event,) = store.history(user)
            assert (event.version, event.action, event.actor) == (1, "put", "importer")

    def test_the_unchanged_are_skipped(self, store: CompleteProfileStore) -> None:
        many = [Profile("ana", (Preference("one"), guess())), Profile("ben", settings={"a": 1})]
        assert store.put_many(many) == 2
        assert store.put_many(many) == 0
        changed = Profile("ben", settings={"a": 2}, version=7)
        assert store.put_many([many[0], changed]) == 1
        assert (store.get_version("ana"), store.get_version("ben")) == (1, 2)
        assert len(store.history("ana")) == 1

    def test_another_order_is_a_change(self, store: CompleteProfileStore) -> None:
        store.put(abc())
        assert store.put_many([Profile("ana", abc().preferences[::-1])]) == 1
        assert texts(store.get("ana")) == ["c", "b", "a"]

    def test_a_whole_profile_is_replaced(self, store: CompleteProfileStore) -> None:
        store.put(Profile("ana", abc().preferences, settings={"old": True}))
        assert store.put_many([Profile("ana", (Preference("new", id="b"),))]) == 1
        assert store.get("ana") == Profile("ana", (Preference("new", id="b"),), version=2)
        assert texts(store.undo("ana")) == ["a", "b", "c"]

    def test_none_are_none(self, store: CompleteProfileStore) -> None:
        assert store.put_many([]) == 0
        assert list(store.list_users()) == []

    def test_of_a_user_named_twice_the_later_profile_counts(
        self, store: CompleteProfileStore
    ) -> None:
        store.put_many([Profile("ana", (Preference("one"),)), Profile("ana", (Preference("two"),))])
        assert texts(store.get("ana")) == ["two"]

    def test_only_profiles_can_be_put_and_nothing_of_their_batch_is(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        values: list[Any] = ["ana", None, {"user_id": "ana"}, Preference("text")]
        for bad in values:
            with (
                subtests.test(bad=bad),
                pytest.raises(InvalidPreferenceError, match="profile"),
            ):
                store.put_many([Profile("ana"), bad])
        assert list(store.list_users()) == []

    def test_more_than_any_page_or_batch_can_be_put_and_listed(
        self, store: CompleteProfileStore
    ) -> None:
        def made() -> Iterator[Profile]:
            for n in range(2_100):
                yield Profile(f"user {n:04}", (Preference(f"text {n}"),))

        assert store.put_many(made()) == 2_100
        assert list(store.list_users()) == [p.user_id for p in made()]
        assert texts(store.get("user 1234")) == ["text 1234"]
        assert store.put_many(made()) == 0

    def test_many_threads_can_put_the_same_users(self, store: CompleteProfileStore) -> None:
        def write(n: int) -> int:
            users = range(40) if n % 2 else range(39, -1, -1)
            return store.put_many([Profile(f"u{u}", (Preference("same"),)) for u in users])

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(write, range(8))) == 40
        assert all(store.get_version(user) == 1 for user in store.list_users())
