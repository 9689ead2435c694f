"""`persona-judge profile`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from persona_judge_llm.cli.opening import data_folder
from persona_judge_profiles import SQLProfileStore

Run = Callable[..., Result]
Ok = Callable[..., str]


def test_what_was_added_is_in_the_store_with_every_field(ok: Ok, store_url: str) -> None:
    ok("profile", "add", "ana", "Réponds en français", "--weight", "2.5", "--kind", "must",
       "--dimension", "language")  # fmt: skip
    with SQLProfileStore(store_url) as store:
        (kept,) = store.get("ana").preferences
    assert (kept.text, kept.weight, kept.kind) == ("Réponds en français", 2.5, "must")
    assert kept.dimension == "language"


def test_profiles_can_be_added_listed_shown_and_removed(ok: Ok) -> None:
    ok("profile", "add", "ben", "Tell jokes")
    ok("profile", "add", "ana", "Be concise")
    ok("profile", "add", "ana", "Be vivid")
    assert ok("profile", "list").split() == ["ana", "ben"]
    assert ok("profile", "list", "ana").splitlines() == ["p1  Be concise", "p2  Be vivid"]
    assert "removed" in ok("profile", "remove", "ana", "p1")
    assert ok("profile", "list", "ana").splitlines() == ["p2  Be vivid"]
    shown = ok("profile", "show", "ana")
    assert "Be vivid" in shown
    assert "remove p1" in shown


def test_a_user_can_be_erased(ok: Ok, run: Run) -> None:
    ok("profile", "add", "ana", "Be concise")
    ok("profile", "remove", "ana", "--all")
    assert run("profile", "show", "ana").exit_code == 1
    assert ok("profile", "list") == ""


def test_json_is_all_there_is_on_stdout(ok: Ok) -> None:
    added = json.loads(ok("profile", "add", "ana", "Be concise 🙂", "--json"))
    assert added == json.loads(ok("profile", "list", "ana", "--json"))
    assert json.loads(ok("profile", "list", "--json")) == ["ana"]
    shown = json.loads(ok("profile", "show", "ana", "--json"))
    assert shown["preferences"][0]["text"] == "Be concise 🙂"
    assert [e["action"] for e in shown["history"]] == ["add"]


@pytest.mark.parametrize("words", [("show",), ("list",), ("remove", "p1"), ("remove", "--all")])
def test_an_unknown_user_is_one_line_that_tells_how_to_add_a_profile(
    run: Run, words: tuple[str, ...]
) -> None:
    result = run("profile", words[0], "o'hara", *words[1:])
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "persona-judge profile add 'o'\"'\"'hara'" in line


@pytest.mark.parametrize("words", [("remove", "ana"), ("remove", "ana", "p1", "--all"), ("add",)])
def test_a_command_used_wrongly_exits_with_2(run: Run, words: tuple[str, ...]) -> None:
    result = run("profile", *words)
    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.parametrize(
    "words",
    [("add", "ana", " "), ("add", "ana", "x", "--weight", "-1"), ("remove", "ana", "p9")],
)
def test_what_the_package_refuses_is_one_line_and_exits_with_1(
    run: Run, ok: Ok, words: tuple[str, ...]
) -> None:
    ok("profile", "add", "ana", "Be concise")
    result = run("profile", *words)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")


def test_a_store_that_cannot_be_opened_is_one_line_without_its_password(run: Run) -> None:
    result = run("profile", "list", "--store", "mysterydb://me:secret@host/db")
    assert result.exit_code == 1
    assert "secret" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_stored_escape_sequences_do_not_reach_the_terminal(ok: Ok) -> None:
    ok("profile", "add", "ana", "red \x1b[31m alert", "--dimension", "\x1b[2J")
    for words in (("list", "ana"), ("show", "ana")):
        assert "\x1b" not in ok("profile", *words)


def test_without_a_url_the_profiles_are_in_the_users_data_folder(
    ok: Ok, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PERSONA_JUDGE_STORE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data #1"))
    monkeypatch.setattr(sys, "platform", "linux")
    ok("profile", "add", "ana", "Be concise")
    assert (tmp_path / "data #1" / "persona-judge" / "profiles.db").exists()
    assert data_folder().stat().st_mode & 0o077 == 0


def test_a_terminal_without_emoji_shows_something_else(ok: Ok, store_url: str) -> None:
    ok("profile", "add", "ana", "Use emoji 🙂")
    code = "from persona_judge_llm.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "profile", "list", "ana"],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert done.stdout == b"p1  Use emoji ?\n"
