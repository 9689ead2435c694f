"""What was stored comes back."""

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from persona_judge_llm.errors import UnknownUserError
from persona_judge_llm.preferences import Preference, Profile, ProfileStore
from persona_judge_llm.testing.store_suite.common import (
    FIRST,
    LAST,
    LONE_SURROGATE,
    CompleteProfileStore,
    StoreSuite,
    answer,
    calls_for,
    texts,
)

TWINS = ["user1", "user10", "user_1", "userX1", "USER1", "user1 ", "a.b", "a%", "%", "a_b"]
TWINS += ["\u00e9", "e\u0301"]  # one letter to the eye


class Reads(StoreSuite):
    """Profiles come back as they were put, whoever else is stored beside them."""

    def test_a_store_is_a_profile_store(self, store: CompleteProfileStore) -> None:
        assert isinstance(store, ProfileStore)

    def test_what_was_put_comes_back_with_every_field(self, store: CompleteProfileStore) -> None:
        full = Preference(
            'Réponds en français 🇫🇷 — "court"; DROP TABLE pj_profile; --\n\t好',
            weight=0.1,
            kind="must",
            dimension="längé",
            active=False,
            opposes=frozenset({"other", "p9", "", "\0", LONE_SURROGATE, "x" * 300}),
            expires_at=datetime(2031, 2, 3, 4, 5, 6, 789, tzinfo=timezone(timedelta(hours=-7))),
            source="inferred",
            scope="im Büro ☕",
            confirmed=True,
            id="mine/1",
        )
        profile = Profile(
            "ana@example.org",
            (full, Preference("Be brief", id="b")),
            settings={"nested": {"list": [1, 2.5, None, True, "ü\0"]}, "": [], "s": LONE_SURROGATE},
        )
        stored = store.put(profile)
        assert stored == store.get("ana@example.org")
        assert stored.preferences == profile.preferences
        assert stored.settings == profile.settings
        assert stored.version == 1

    def test_weights_come_back_exactly(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        for weight in (2, 1e-300, 1e300, 0.1 + 0.2, 5e-324, 2**63, 2**70):
            stored = store.put(Profile("ana", (Preference("Be brief", weight=weight),)))
            with subtests.test(weight=weight):
                assert store.get("ana").preferences[0].weight == weight
                assert store.get("ana") == stored

    def test_a_weight_that_no_float_holds_is_returned_as_it_is_kept(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        for weight in (2**53 + 1, 2**70 + 1, 10**308):
            with subtests.test(weight=weight):
                stored = store.put(Profile("ana", (Preference("x", weight=weight, id="x"),)))
                assert stored == store.get("ana")
                assert store.update("ana", "x", text="y") == store.get("ana")

    def test_numbers_in_settings_come_back_exactly(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        for number in (2**70, -(2**70), 10**400, 1e308, 5e-324, -0.0):
            stored = store.put(Profile("ana", settings={"number": number}))
            with subtests.test(number=number):
                assert stored == store.get("ana")
                assert repr(store.get("ana").settings["number"]) == repr(number)

    def test_the_first_and_the_last_moment_can_be_kept(self, store: CompleteProfileStore) -> None:
        for moment in (FIRST, LAST):
            store.put(Profile("ana", (Preference("Be brief", expires_at=moment),)))
            assert store.get("ana").preferences[0].expires_at == moment

    def test_the_longest_names_and_texts_fit(self, store: CompleteProfileStore) -> None:
        name = "𝄞" * 255
        longest = Preference("𝄞" * 2_000, dimension=name, scope=name, id=name)
        store.put(Profile(name, (longest,)), actor=name)
        assert store.get(name).preferences == (longest,)
        assert store.history(name)[0].actor == name

    def test_a_profile_without_preferences_is_a_profile(self, store: CompleteProfileStore) -> None:
        assert store.put(Profile("ana")).version == 1
        assert store.get("ana") == Profile("ana", version=1)

    def test_ids_are_assigned_once_and_kept(self, store: CompleteProfileStore) -> None:
        first = store.put(Profile("ana", (Preference("one"), Preference("two", id="p1"))))
        ids = [p.id for p in first.preferences]
        assert None not in ids
        assert len(set(ids)) == 2
        assert ids[1] == "p1"
        second = store.add("ana", Preference("three"))
        assert [p.id for p in second.preferences][:2] == ids
        assert store.put(second).preferences == second.preferences

    def test_the_order_of_preferences_is_kept(self, store: CompleteProfileStore) -> None:
        wanted = [f"text {n}" for n in (3, 1, 2)]
        stored = store.put(Profile("ana", tuple(Preference(t) for t in wanted)))
        assert texts(store.get("ana")) == wanted
        store.put(Profile("ana", stored.preferences[::-1]))
        assert texts(store.get("ana")) == wanted[::-1]

    def test_scopes_are_kept_and_can_be_changed(self, store: CompleteProfileStore) -> None:
        scopes = ["work", "home", None, "work"]
        put = (Preference(f"text {n}", scope=s) for n, s in enumerate(scopes))
        stored = store.put(Profile("ana", tuple(put)))
        assert [p.scope for p in store.get("ana").preferences] == scopes
        first, second = stored.preferences[:2]
        store.update("ana", str(first.id), scope=None)
        store.update("ana", str(second.id), scope="work")
        assert [p.scope for p in store.get("ana").preferences] == [None, "work", None, "work"]

    def test_settings_changed_after_the_put_are_not_changed_in_the_store(
        self, store: CompleteProfileStore
    ) -> None:
        mine: dict[str, Any] = {"list": [1]}
        store.put(Profile("ana", settings=mine))
        mine["list"].append(2)
        assert store.get("ana").settings == {"list": [1]}

    def test_an_unknown_user_is_an_error_wherever_one_is_needed(
        self, store: CompleteProfileStore
    ) -> None:
        store.add("user10", Preference("one", id="x"))
        for call in calls_for(store, "user1").values():
            with pytest.raises(UnknownUserError) as error:
                call()
            assert error.value.user_id == "user1"
            assert "user1" not in str(error.value)  # which logs and traces show
        assert list(store.list_users()) == ["user10"]
        assert texts(store.get("user10")) == ["one"]

    def test_users_are_listed_in_the_order_of_their_code_points(
        self, store: CompleteProfileStore
    ) -> None:
        for user in [*TWINS, "𝄞", "\uffff"]:
            store.put(Profile(user))
        assert list(store.list_users()) == sorted([*TWINS, "𝄞", "\uffff"])

    def test_a_listing_can_be_left_and_survives_what_it_is_used_for(
        self, store: CompleteProfileStore
    ) -> None:
        store.put_many(map(Profile, "abcd"))
        assert next(iter(store.list_users())) == "a"
        for user in store.list_users():
            store.erase(user)
        assert list(store.list_users()) == []

    def test_users_who_look_alike_are_different_users(self, store: CompleteProfileStore) -> None:
        for user in TWINS:
            store.add(user, Preference(f"of {user!r}"))
        _each_has_their_own(store, TWINS)
        store.erase("user1")
        store.erase("%")
        left = [user for user in TWINS if user not in ("user1", "%")]
        assert list(store.list_users()) == sorted(left)
        _each_has_their_own(store, left)

    def test_an_erased_user_is_unknown_and_can_begin_anew(
        self, store: CompleteProfileStore
    ) -> None:
        old = store.add("ana", Preference("old"))
        store.record_feedback("ana", answer("ana", old.preferences), 1.0)
        store.add("ana", Preference("older"))
        store.erase("ana")
        for call in calls_for(store, "ana").values():
            with pytest.raises(UnknownUserError):
                call()
        assert store.add("ana", Preference("new")).version == 1
        assert texts(store.get("ana")) == ["new"]
        assert [event.version for event in store.history("ana")] == [1]
        assert store.summary("ana").count == 0


def _each_has_their_own(store: CompleteProfileStore, users: Iterable[str]) -> None:
    for user in users:
        assert texts(store.get(user)) == [f"of {user!r}"]
