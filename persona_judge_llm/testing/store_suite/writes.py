"""Each write does one thing, once, and whole."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_judge_llm.errors import (
    InvalidPreferenceError,
    NothingToUndoError,
    ProfileConflictError,
    UnknownUserError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.store_suite.common import (
    CompleteProfileStore,
    StoreSuite,
    abc,
    guess,
    texts,
)

users = st.sampled_from(["user1", "user10", "%", "a_b"])
ids = st.sampled_from(["p1", "p2", "g"])
written = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
).filter(str.strip)
row_of_writes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), users, st.lists(written, max_size=3)),
        st.tuples(st.just("add"), users, written),
        st.tuples(st.just("guess"), users, written),
        st.tuples(st.just("update"), users, ids, st.floats(0.5, 2)),
        st.tuples(st.just("remove"), users, ids),
        st.tuples(st.just("reorder"), users, st.permutations(["p1", "p2", "g"])),
        st.tuples(st.just("confirm"), users, ids),
        st.tuples(st.just("reject"), users, ids),
        st.tuples(st.just("undo"), users),
        st.tuples(st.just("undo"), users),
        st.tuples(st.just("erase"), users),
    ),
    max_size=12,
)


class Writes(StoreSuite):
    """Writes change what they name, count versions, and never overwrite one another."""

    def test_every_write_moves_the_version_by_one(self, store: CompleteProfileStore) -> None:
        versions = [
            store.put(Profile("ana")).version,
            store.add("ana", Preference("one", id="x")).version,
            store.update("ana", "x", text="two").version,
            store.remove("ana", "x").version,
            store.put(Profile("ana", version=77)).version,
            store.put(Profile("ana", version=2**70)).version,
            store.add("ana", guess()).version,
            store.confirm("ana", "g").version,
            store.reorder("ana", ["g"]).version,
            store.undo("ana").version,
        ]
        assert versions == list(range(1, 11))
        assert store.get_version("ana") == store.get("ana").version == 10

    def test_adding_to_nobody_makes_a_profile(self, store: CompleteProfileStore) -> None:
        assert texts(store.add("ana", Preference("one"))) == ["one"]
        assert store.get_version("ana") == 1

    def test_an_update_changes_the_named_fields_and_no_other(
        self, store: CompleteProfileStore
    ) -> None:
        store.put(Profile("ana", (Preference("a", id="1"), Preference("b", id="2", weight=3))))
        store.update("ana", "2", text="B", opposes={"1"}, scope="work")
        assert store.get("ana").preferences == (
            Preference("a", id="1"),
            Preference("B", id="2", weight=3, opposes=frozenset({"1"}), scope="work"),
        )

    def test_a_removed_preference_is_gone_and_the_others_stay(
        self, store: CompleteProfileStore
    ) -> None:
        store.put(abc())
        store.remove("ana", "b")
        assert texts(store.get("ana")) == ["a", "c"]

    def test_reordering_changes_the_order_alone(self, store: CompleteProfileStore) -> None:
        before = store.put(abc())
        for order in ("cab", "bac", "abc", "abc"):
            stored = store.reorder("ana", list(order))
            assert stored == store.get("ana")
            assert "".join(texts(stored)) == order
            assert set(stored.preferences) == set(before.preferences)

    def test_reordering_takes_any_iterable(self, store: CompleteProfileStore) -> None:
        store.put(abc())
        assert texts(store.reorder("ana", (i for i in "bca"))) == ["b", "c", "a"]

    def test_an_order_must_name_each_preference_once(self, store: CompleteProfileStore) -> None:
        before = store.put(abc())
        for order in ("", "ab", "abb", "abcc", "abx"):
            with pytest.raises(InvalidPreferenceError, match="preference_ids"):
                store.reorder("ana", list(order))
        assert store.get("ana") == before

    def test_what_was_added_comes_last_also_after_a_new_order(
        self, store: CompleteProfileStore
    ) -> None:
        store.put(abc())
        store.reorder("ana", ["c", "b", "a"])
        store.add("ana", Preference("d"))
        store.remove("ana", "b")
        assert texts(store.get("ana")) == ["c", "a", "d"]

    def test_a_stale_write_is_a_conflict_that_names_both_versions_and_loses_nothing(
        self, store: CompleteProfileStore
    ) -> None:
        store.put(Profile("ana", (Preference("one", id="x"), guess())))
        current = store.add("ana", Preference("two"))
        order = [str(p.id) for p in current.preferences]
        calls: list[Callable[[], object]] = [
            lambda: store.put(Profile("ana"), expected_version=1),
            lambda: store.put(Profile("ana"), expected_version=0),
            lambda: store.add("ana", Preference("three"), expected_version=1),
            lambda: store.update("ana", "x", text="three", expected_version=3),
            lambda: store.remove("ana", "x", expected_version=1),
            lambda: store.reorder("ana", order, expected_version=1),
            lambda: store.confirm("ana", "g", expected_version=1),
            lambda: store.reject("ana", "g", expected_version=3),
            lambda: store.undo("ana", expected_version=1),
            # What another write has removed meanwhile, or what was never there.
            lambda: store.update("ana", "gone", text="three", expected_version=1),
            lambda: store.remove("ana", "gone", expected_version=1),
            lambda: store.reorder("ana", ["x"], expected_version=1),
            lambda: store.confirm("ana", "x", expected_version=1),
        ]
        for call in calls:
            with pytest.raises(ProfileConflictError) as caught:
                call()
            assert caught.value.found == 2
        assert store.get("ana") == current
        assert len(store.history("ana")) == 2

    def test_the_expected_version_lets_a_write_pass(self, store: CompleteProfileStore) -> None:
        store.put(Profile("ana"), expected_version=0)
        store.add("ana", Preference("one", id="x"), expected_version=1)
        store.update("ana", "x", text="two", expected_version=2)
        store.reorder("ana", ["x"], expected_version=3)
        store.remove("ana", "x", expected_version=4)
        store.undo("ana", expected_version=5)
        assert store.put(Profile("ana"), expected_version=6).version == 7

    def test_the_expected_version_may_stand_last(self, store: CompleteProfileStore) -> None:
        store.put(Profile("ana"), 0)
        store.add("ana", Preference("one", id="x"), 1)
        store.add("ana", guess(), 2)
        store.reorder("ana", ["g", "x"], 3)
        store.confirm("ana", "g", 4)
        store.remove("ana", "x", 5)
        assert store.undo("ana", 6).version == 7

    def test_a_user_who_does_not_exist_cannot_be_at_a_version(
        self, store: CompleteProfileStore
    ) -> None:
        calls: list[Callable[[], object]] = [
            lambda: store.put(Profile("ana"), expected_version=1),
            lambda: store.add("ana", Preference("one"), expected_version=1),
        ]
        for call in calls:
            with pytest.raises(ProfileConflictError):
                call()
        assert list(store.list_users()) == []

    def test_no_write_of_many_threads_is_lost(self, store: CompleteProfileStore) -> None:
        def write(n: int) -> None:
            store.add("ana", Preference(f"text {n}"))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(48)))
        profile = store.get("ana")
        assert profile.version == 48
        assert sorted(texts(profile)) == sorted(f"text {n}" for n in range(48))
        assert len({p.id for p in profile.preferences}) == 48
        assert [event.version for event in store.history("ana")] == list(range(1, 49))

    def test_of_many_writers_who_expect_one_version_one_wins(
        self, store: CompleteProfileStore
    ) -> None:
        store.put(Profile("ana"))

        def write(n: int) -> bool:
            try:
                store.add("ana", Preference(f"text {n}"), expected_version=1)
            except ProfileConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(write, range(8))) == 1
        assert store.get_version("ana") == 2

    def test_a_profile_that_is_read_while_it_is_written_is_whole(
        self, store: CompleteProfileStore
    ) -> None:
        def turn(n: int) -> None:
            store.put(Profile("ana", tuple(Preference(f"{n} {t}", id=t) for t in "abc")))

        def read(_: int) -> int:
            return len({text[0] for text in texts(store.get("ana"))})

        turn(0)
        with ThreadPoolExecutor(4) as pool:
            writing = pool.map(turn, range(1, 10))
            assert set(pool.map(read, range(40))) == {1}
            list(writing)

    # One test for several classes and one store for all examples are what is wanted here.
    @settings(
        max_examples=25,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
    )
    @given(sequence=row_of_writes)
    def test_any_row_of_writes_does_what_it_does_in_a_dictionary(
        self, store: CompleteProfileStore, sequence: list[tuple[Any, ...]]
    ) -> None:
        for user in list(store.list_users()):
            store.erase(user)
        model = InMemoryProfileStore()
        for write in sequence:
            assert perform(store, write) == perform(model, write)
        assert list(store.list_users()) == list(model.list_users())
        for user in model.list_users():
            assert store.get(user) == model.get(user)
            assert past(store, user) == past(model, user)


def perform(store: CompleteProfileStore, write: tuple[Any, ...]) -> object:
    """Do one write and return its outcome: what was stored, or the kind of refusal."""
    name, user, *rest = write
    calls: dict[str, Callable[..., object]] = {
        "put": lambda said: store.put(Profile(user, tuple(map(Preference, said)))),
        "add": lambda said: store.add(user, Preference(said)),
        "guess": lambda said: store.add(user, guess(said)),
        "update": lambda name, weight: store.update(user, name, weight=weight),
    }
    try:
        return calls[name](*rest) if name in calls else getattr(store, name)(user, *rest)
    except (UnknownUserError, InvalidPreferenceError, NothingToUndoError) as error:
        return type(error)


def past(store: CompleteProfileStore, user_id: str) -> list[tuple[object, ...]]:
    """Return the history without its times."""
    return [
        (e.version, e.action, e.preference_id, e.actor, e.undoes) for e in store.history(user_id)
    ]
