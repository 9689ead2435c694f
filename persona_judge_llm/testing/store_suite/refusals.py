"""What cannot be stored is refused in the same words by every store, and nothing is written."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from persona_judge_llm.errors import InvalidPreferenceError, ProfileConflictError
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.store_suite.common import (
    BAD_NAMES,
    LONE_SURROGATE,
    CompleteProfileStore,
    StoreSuite,
    abc,
    calls_for,
    guess,
    line,
)

NAN = float("nan")
BAD_FIELDS: list[tuple[str, Any]] = [
    ("id", "new"),
    ("txt", "typo"),
    ("text", " "),
    ("text", "a\0b"),
    ("text", LONE_SURROGATE),
    ("text", "x" * 2_001),
    ("text", None),
    ("weight", -1),
    ("weight", NAN),
    ("weight", float("inf")),
    ("weight", 10**400),
    ("weight", True),
    ("weight", "1"),
    ("kind", "maybe"),
    ("kind", ["must"]),
    ("dimension", "a\0b"),
    ("dimension", LONE_SURROGATE),
    ("dimension", "x" * 300),
    ("scope", ""),
    ("scope", "a\0b"),
    ("scope", LONE_SURROGATE),
    ("scope", "x" * 300),
    ("scope", 7),
    ("active", 1),
    ("confirmed", 1),
    ("confirmed", None),
    ("opposes", "p1"),
    ("opposes", [7]),
    ("expires_at", "soon"),
    ("source", "rumour"),
    ("source", ["inferred"]),
]


def writes_to_ana(store: CompleteProfileStore, **options: Any) -> dict[str, Callable[[], object]]:
    """Return a call of each write to one profile, which would all pass without the options."""
    return {
        "put": lambda: store.put(Profile("ana"), **options),
        "add": lambda: store.add("ana", Preference("one"), **options),
        "update": lambda: store.update("ana", "a", text="one", **options),
        "remove": lambda: store.remove("ana", "a", **options),
        "reorder": lambda: store.reorder("ana", ["c", "b", "a", "g"], **options),
        "confirm": lambda: store.confirm("ana", "g", **options),
        "reject": lambda: store.reject("ana", "g", **options),
        "undo": lambda: store.undo("ana", **options),
    }


def refused(
    subtests: pytest.Subtests,
    calls: Mapping[str, Callable[[], object]],
    name: str,
    **shown: object,
) -> None:
    """Hold each call to an `InvalidPreferenceError` that names what is wrong."""
    for method, call in calls.items():
        with (
            subtests.test(method, **shown),
            pytest.raises(InvalidPreferenceError, match=name),
        ):
            call()


class Refusals(StoreSuite):
    """Bad values are `InvalidPreferenceError`s that name them, never a database's own error."""

    def test_a_user_id_that_cannot_be_used_is_refused_by_name(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        for user_id in [*BAD_NAMES, None]:
            calls = calls_for(store, user_id)
            calls["add"] = functools.partial(store.add, user_id, Preference("one"))
            refused(subtests, calls, "user_id", user_id=user_id)
        assert list(store.list_users()) == []

    def test_an_actor_that_cannot_be_used_is_refused_by_name(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        before = self._written_twice(store)
        for actor in BAD_NAMES:
            calls = writes_to_ana(store, actor=actor)
            calls["put_many"] = functools.partial(store.put_many, [Profile("ana")], actor=actor)
            calls["import_jsonl"] = functools.partial(store.import_jsonl, [line()], actor=actor)
            refused(subtests, calls, "actor", actor=actor)
        assert store.get("ana") == before
        assert list(store.list_users()) == ["ana"]

    def test_an_expected_version_that_is_none_is_refused_by_name(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        before = self._written_twice(store)
        for version in (True, False, "two", "2", 2.0, -1, NAN, [2]):
            calls = writes_to_ana(store, expected_version=version)
            refused(subtests, calls, "expected_version", version=version)
        assert store.get("ana") == before

    def test_an_expected_version_that_no_column_holds_is_a_conflict(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        before = self._written_twice(store)
        for version in (2**31, 2**63, 2**70):
            for name, call in writes_to_ana(store, expected_version=version).items():
                with subtests.test(name, version=version):
                    with pytest.raises(ProfileConflictError) as caught:
                        call()
                    assert (caught.value.expected, caught.value.found) == (version, 2)
        assert store.get("ana") == before

    def test_an_unknown_preference_is_an_error_and_nothing_is_written(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        before = self._written_twice(store)
        unknown: list[Any] = ["x", "", "a\0b", LONE_SURROGATE, "x" * 300, None, 7, ["a"]]
        for name in unknown:
            calls: dict[str, Callable[[], object]] = {
                "update": functools.partial(store.update, "ana", name, text="two"),
                "remove": functools.partial(store.remove, "ana", name),
                "confirm": functools.partial(store.confirm, "ana", name),
                "reject": functools.partial(store.reject, "ana", name),
            }
            refused(subtests, calls, "preference_id", preference_id=name)
        assert store.get("ana") == before

    def test_what_is_no_row_of_ids_is_no_order(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        before = self._written_twice(store)
        rows: list[Any] = ["abcg", None, 7, [*"abc", None], [*"abc", ["g"]], [*"abc", "g\0"]]
        calls = {repr(ids): functools.partial(store.reorder, "ana", ids) for ids in rows}
        refused(subtests, calls, "preference_ids")
        assert store.get("ana") == before

    def test_a_bad_update_is_refused_and_nothing_is_written(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        before = store.add("ana", Preference("one", id="x"))
        for name, value in BAD_FIELDS:
            fields: dict[str, Any] = {name: value}
            calls = {"update": functools.partial(store.update, "ana", "x", **fields)}
            refused(subtests, calls, name, value=value)
        assert store.get("ana") == before

    def test_only_a_preference_can_be_added_and_only_a_profile_put(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        values: list[Any] = ["ana", None, {"text": "Be brief", "user_id": "ana"}]
        no_preferences: list[Any] = [*values, Profile("ana")]
        no_profiles: list[Any] = [*values, Preference("one")]
        for value in no_preferences:
            refused(subtests, {"add": functools.partial(store.add, "ana", value)}, "preference")
        for value in no_profiles:
            refused(subtests, {"put": functools.partial(store.put, value)}, "profile")
        assert list(store.list_users()) == []

    def test_an_id_that_is_taken_cannot_be_added(self, store: CompleteProfileStore) -> None:
        before = store.put(abc())
        with pytest.raises(InvalidPreferenceError, match="preferences"):
            store.add("ana", Preference("again", id="b"))
        assert store.get("ana") == before

    def test_settings_that_json_cannot_carry_are_refused(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        for value in (NAN, {1: "int key"}, (1, 2), object(), b"bytes"):
            with (
                subtests.test(value=value),
                pytest.raises(InvalidPreferenceError, match="settings"),
            ):
                store.put(Profile("ana", settings={"key": value}))
        assert list(store.list_users()) == []

    def test_more_than_64_active_preferences_are_refused_and_nothing_is_written(
        self, store: CompleteProfileStore
    ) -> None:
        before = store.put(Profile("ana", tuple(Preference(f"text {n}") for n in range(64))))
        with pytest.raises(InvalidPreferenceError, match="64"):
            store.add("ana", Preference("one more"))
        assert store.get("ana") == before
        assert store.add("ana", Preference("asleep", active=False)).version == 2

    def _written_twice(self, store: CompleteProfileStore) -> Profile:
        store.put(abc())
        return store.add("ana", guess())
