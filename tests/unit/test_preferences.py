"""Preferences and profiles: what they carry and what they refuse. Stores: tests/contract."""

import copy
import dataclasses
import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from persona_judge_llm.changes import with_ids
from persona_judge_llm.errors import InvalidPreferenceError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import (
    Preference,
    Profile,
    ProfileStore,
)

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("text", ""),
        ("text", " \n"),
        ("text", "x" * 2_001),
        ("text", "a\0"),
        ("text", "\ud800"),
        ("text", None),
        ("weight", 0),
        ("weight", -1),
        ("weight", float("nan")),
        ("weight", float("inf")),
        ("weight", 10**400),
        ("weight", True),
        ("weight", "1"),
        ("kind", "maybe"),
        ("kind", None),
        ("dimension", ""),
        ("dimension", 3),
        ("active", 1),
        ("opposes", "p1"),
        ("opposes", [1]),
        ("opposes", 1),
        ("opposes", None),
        ("expires_at", datetime(2030, 1, 1)),  # noqa: DTZ001
        ("expires_at", "2030-01-01"),
        ("expires_at", datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))),
        ("source", "rumour"),
        ("id", ""),
        ("id", "x" * 256),
        ("id", 7),
    ],
)
def test_a_field_that_cannot_be_used_is_refused_by_name(field: str, bad: Any) -> None:
    with pytest.raises(InvalidPreferenceError, match=field):
        Preference(**{"text": "x", field: bad})


@given(
    st.builds(
        Preference,
        st.text(
            st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=2_000
        ).filter(lambda text: bool(text.strip())),
        weight=st.floats(min_value=0, exclude_min=True, allow_infinity=False) | st.integers(1),
        opposes=st.sets(st.text(max_size=3)),
    )
)
def test_a_preference_equals_its_copies_and_hashes_like_them(preference: Preference) -> None:
    for same in (copy.deepcopy(preference), pickle.loads(pickle.dumps(preference))):
        assert same == preference
        assert hash(same) == hash(preference)


def test_the_longest_text_is_accepted() -> None:
    assert len(Preference("x" * 2_000).text) == 2_000


@pytest.mark.parametrize("fields", [{"weight": -1.0}, {"text": "a\0b"}, {"scope": " "}])
def test_a_preference_is_checked_however_it_is_made(fields):
    @dataclasses.dataclass(frozen=True)
    class Subclass(Preference):
        mine: int = 0

    made = TypeAdapter(Preference).validate_python({"text": "x", "opposes": ["p2"], "id": "p1"})
    assert made == Preference("x", opposes=frozenset({"p2"}), id="p1")
    assert Subclass("x", mine=3).mine == 3
    for make in (lambda f: TypeAdapter(Preference).validate_python(f), lambda f: Subclass(**f)):
        with pytest.raises(InvalidPreferenceError):
            make({"text": "x", **fields})


def test_a_preference_cannot_be_changed_and_opposes_is_a_set_of_its_own() -> None:
    opposes = ["a", "b"]
    preference = Preference("x", opposes=opposes)
    opposes.append("c")
    assert preference.opposes == frozenset("ab")
    with pytest.raises(dataclasses.FrozenInstanceError):
        preference.weight = 2  # type: ignore[misc]


def test_only_the_text_goes_without_a_name() -> None:
    with pytest.raises(TypeError):
        Preference("x", 2.0)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("preference", "counts"),
    [
        (Preference("x"), True),
        (Preference("x", active=False), False),
        (Preference("x", expires_at=NOW), False),
        (Preference("x", expires_at=NOW - timedelta(seconds=1)), False),
        (Preference("x", expires_at=NOW + timedelta(seconds=1)), True),
        (Preference("x", expires_at=NOW + timedelta(days=1), active=False), False),
    ],
)
def test_a_preference_counts_while_active_and_until_it_expires(
    preference: Preference, counts: bool
) -> None:
    assert preference.in_force(NOW) is counts


def test_the_present_counts_where_no_time_is_given() -> None:
    now = datetime.now(timezone.utc)
    assert not Preference("x", expires_at=now - timedelta(minutes=1)).in_force()
    assert Preference("x", expires_at=now + timedelta(hours=1)).in_force()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"user_id": ""}, "user_id"),
        ({"user_id": "x" * 256}, "user_id"),
        ({"preferences": ["be brief"]}, "preferences"),
        ({"preferences": "be brief"}, "preferences"),
        ({"preferences": 3}, "preferences"),
        ({"preferences": (Preference("a", id="1"), Preference("b", id="1"))}, "distinct"),
        ({"preferences": (Preference("a"),) * 65}, "at most 64"),
        ({"version": -1}, "version"),
        ({"version": True}, "version"),
        ({"version": "1"}, "version"),
        ({"settings": 3}, "settings"),
        ({"settings": {"a": {1, 2}}}, "settings"),
        ({"settings": {1: "a"}}, "settings"),
        ({"settings": {"a": float("nan")}}, "settings"),
    ],
)
def test_a_profile_that_no_store_could_carry_is_refused(fields: Any, named: str) -> None:
    with pytest.raises(InvalidPreferenceError, match=named):
        Profile(**{"user_id": "alice", **fields})


def test_preferences_that_are_not_active_do_not_count_towards_the_limit() -> None:
    resting = [Preference("x", active=False)] * 100
    assert len(Profile("alice", (*resting, *[Preference("x")] * 64)).preferences) == 164


def test_a_profile_shares_nothing_with_what_it_was_made_from() -> None:
    preferences, settings = [Preference("x")], {"a": {"b": [1]}}
    profile = Profile("alice", preferences, settings=settings)  # type: ignore[arg-type]
    preferences.clear()
    settings["a"]["b"].append(2)
    assert profile.preferences == (Preference("x"),)
    assert profile.settings == {"a": {"b": [1]}}
    with pytest.raises(TypeError):
        profile.settings["a"] = 1  # type: ignore[index]


def test_a_profile_can_be_copied_and_sent_to_another_process() -> None:
    profile = Profile("alice", (Preference("x", id="1"),), version=3, settings={"a": [1]})
    assert copy.deepcopy(profile) == profile
    assert pickle.loads(pickle.dumps(profile)) == profile


def test_ids_are_given_where_there_are_none_and_never_twice() -> None:
    named = with_ids((Preference("a"), Preference("b", id="p1"), Preference("c")))
    assert [p.id for p in named] == ["p2", "p1", "p3"]


def test_the_store_in_memory_is_a_profile_store() -> None:
    assert isinstance(InMemoryProfileStore(), ProfileStore)
