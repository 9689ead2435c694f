"""`persona-judge profile`: what writes, who wrote, and over which version."""

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from typer.testing import Result

from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles import SQLProfileStore

Run = Callable[..., Result]
Ok = Callable[..., str]

LATER = datetime(2999, 1, 2, tzinfo=timezone.utc)
# Each changes the profile of the fixture `ana`, which is at version 2.
WRITES: dict[str, tuple[str, ...]] = {
    "add": ("add", "ana", "Be kind"),
    "update": ("edit", "ana", "p1", "--weight", "2"),
    "remove": ("remove", "ana", "p1"),
    "reorder": ("reorder", "ana", "p3", "p1", "p2"),
    "confirm": ("confirm", "ana", "p3"),
    "reject": ("reject", "ana", "p3"),
    "undo": ("undo", "ana"),
}


@pytest.fixture
def stored(store_url: str) -> Callable[[], Profile]:
    """Reads the profile of ana, which it makes."""
    preferences = (
        Preference("Be concise"),
        Preference("Be vivid", dimension="style", scope="work", expires_at=LATER, active=False),
        Preference("Likes trains", source="inferred"),
    )
    with SQLProfileStore(store_url) as store:
        store.put(Profile("ana", preferences[:2]))
        store.add("ana", preferences[2])

    def stored() -> Profile:
        with SQLProfileStore(store_url) as store:
            return store.get("ana")

    return stored


def texts(profile: Profile) -> list[str]:
    return [p.text for p in profile.preferences]


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (("--text", "Be brief"), "text", "Be brief"),
        (("--weight", "2.5"), "weight", 2.5),
        (("--kind", "must"), "kind", "must"),
        (("--dimension", "tone"), "dimension", "tone"),
        (("--no-dimension",), "dimension", None),
        (("--scope", "home"), "scope", "home"),
        (("--no-scope",), "scope", None),
        (("--active",), "active", True),
        (("--expires", "2999-01-03T00:00Z"), "expires_at", LATER.replace(day=3)),
        (("--no-expiry",), "expires_at", None),
    ],
)
def test_edit_changes_one_field_and_leaves_the_others(
    ok: Ok, stored: Callable[[], Profile], words: tuple[str, ...], field: str, value: Any
) -> None:
    before = stored()
    assert ok("profile", "edit", "ana", "p2", *words) == "ana: p2 changed, version 3\n"
    after = stored()
    assert getattr(after.preferences[1], field) == value
    assert after.preferences[::2] == before.preferences[::2]
    for name in ("text", "weight", "kind", "dimension", "scope", "active", "expires_at", "id"):
        if name != field:
            assert getattr(after.preferences[1], name) == getattr(before.preferences[1], name)


def test_edit_changes_several_fields_in_one_write(ok: Ok, stored: Callable[[], Profile]) -> None:
    ok("profile", "edit", "ana", "p1", "--inactive", "--weight", "3", "--kind", "must")
    (changed, *_), version = stored().preferences, stored().version
    assert (changed.active, changed.weight, changed.kind, version) == (False, 3.0, "must", 3)


def test_what_is_not_confirmed_cannot_be_made_active_by_editing(
    run: Run, stored: Callable[[], Profile]
) -> None:
    before = stored()
    result = run("profile", "edit", "ana", "p3", "--active")
    assert result.exit_code == 1
    assert "confirm" in result.stderr
    assert stored() == before


def test_preferences_can_be_brought_into_another_order(
    ok: Ok, stored: Callable[[], Profile]
) -> None:
    assert ok("profile", "reorder", "ana", "p3", "p1", "p2") == "ana: reordered, version 3\n"
    assert texts(stored()) == ["Likes trains", "Be concise", "Be vivid"]


def test_a_guess_can_be_confirmed_or_rejected_but_not_both(
    ok: Ok, run: Run, stored: Callable[[], Profile]
) -> None:
    assert ok("profile", "confirm", "ana", "p3") == "ana: p3 confirmed, version 3\n"
    assert stored().preferences[2].in_force()
    assert run("profile", "reject", "ana", "p3").exit_code == 1
    ok("profile", "undo", "ana")
    assert stored().preferences[2].pending
    assert ok("profile", "reject", "ana", "p3") == "ana: p3 rejected, version 5\n"
    assert texts(stored()) == ["Be concise", "Be vivid"]


def test_undo_goes_back_write_by_write_and_tells_which(
    ok: Ok, run: Run, stored: Callable[[], Profile]
) -> None:
    first = stored()
    ok("profile", "edit", "ana", "p1", "--text", "Be brief")
    second = stored()
    ok("profile", "reorder", "ana", "p2", "p1", "p3")
    assert ok("profile", "undo", "ana") == "ana: undo of version 4: reorder, version 5\n"
    assert stored().preferences == second.preferences
    assert ok("profile", "undo", "ana") == "ana: undo of version 3: update p1, version 6\n"
    assert stored().preferences == first.preferences
    while (result := run("profile", "undo", "ana")).exit_code == 0:
        assert stored().version < 10
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: nothing to undo for 'ana'")


@pytest.mark.parametrize("action", WRITES)
def test_the_history_names_nobody_who_was_not_named(
    ok: Ok, stored: Callable[[], Profile], monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody")
    ok("profile", *WRITES[action])
    (*_, event) = json.loads(ok("profile", "history", "ana", "--json"))
    assert (event["action"], event["actor"]) == (action, None)


@pytest.mark.parametrize("action", WRITES)
def test_every_write_can_name_who_writes_and_what_it_expects(
    ok: Ok, stored: Callable[[], Profile], action: str
) -> None:
    told = ok("profile", *WRITES[action], "--actor", "support", "--expected-version", "2", "--json")
    assert json.loads(told)["version"] == stored().version == 3
    (*_, event) = json.loads(ok("profile", "history", "ana", "--json"))
    assert (event["action"], event["actor"]) == (action, "support")


@pytest.mark.parametrize("action", WRITES)
@pytest.mark.parametrize("expected", ["0", "1", "99999999999999999999"])
def test_a_write_over_another_version_changes_nothing_and_is_one_line(
    run: Run, stored: Callable[[], Profile], action: str, expected: str
) -> None:
    before = stored()
    result = run("profile", *WRITES[action], "--expected-version", expected)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: the profile of 'ana' is at version 2, not at the expected ")
    assert stored() == before


def test_a_profile_can_be_made_only_if_there_is_none(ok: Ok, run: Run) -> None:
    words = ("profile", "add", "kim", "Be kind", "--expected-version", "0")
    ok(*words)
    assert run(*words).exit_code == 1


def test_json_of_erasing_a_user_says_so(ok: Ok, run: Run, stored: Callable[[], Profile]) -> None:
    told = json.loads(ok("profile", "remove", "ana", "--all", "--json"))
    assert told == {"user_id": "ana", "erased": True}
    assert run("profile", "history", "ana").exit_code == 1
