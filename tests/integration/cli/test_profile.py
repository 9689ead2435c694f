"""`persona-judge profile`."""

import json
import os
import re
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from typer.testing import Result

from persona_judge_llm.cli.opening import data_folder
from persona_judge_llm.cli.splits import labelled
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.sampling import SamplingParams
from persona_judge_profiles import SQLProfileStore

Run = Callable[..., Result]
Ok = Callable[..., str]
OURS = "persona_judge_profiles"


def test_what_was_added_is_in_the_store_with_every_field(ok: Ok, store_url: str) -> None:
    ok("profile", "add", "ana", "Réponds en français", "--weight", "2.5", "--kind", "must",
       "--dimension", "language")  # fmt: skip
    with SQLProfileStore(store_url) as store:
        (kept,) = store.get("ana").preferences
    assert (kept.text, kept.weight, kept.kind) == ("Réponds en français", 2.5, "must")
    assert kept.dimension == "language"


@pytest.mark.parametrize(
    ("when", "hours"), [("36h", 36), ("30d", 30 * 24), ("2w", 2 * 7 * 24), ("0001h", 1)]
)
def test_an_expiry_may_lie_so_far_ahead(ok: Ok, store_url: str, when: str, hours: int) -> None:
    ok("profile", "add", "ana", "Be concise", "--expires", when)
    with SQLProfileStore(store_url) as store:
        expires = store.get("ana").preferences[0].expires_at
    assert expires is not None
    left = expires - datetime.now(timezone.utc)
    assert timedelta(minutes=-1) < left - timedelta(hours=hours) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("when", "utc"),
    [
        ("2999-12-31T18:00+01:00", "2999-12-31T17:00:00+00:00"),
        ("2999-12-31T18:00Z", "2999-12-31T18:00:00+00:00"),
        ("2999-12-31T18:00", "2999-12-31T13:00:00+00:00"),
        ("2999-12-31", "2999-12-30T19:00:00+00:00"),
    ],
)
def test_an_expiry_may_be_a_time_which_is_local_without_a_zone(
    ok: Ok, monkeypatch: pytest.MonkeyPatch, when: str, utc: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "XST-5")  # five hours ahead of UTC, on POSIX
        time.tzset()
        added = json.loads(ok("profile", "add", "ana", "Be concise", "--expires", when, "--json"))
    time.tzset()
    assert added["preferences"][0]["expires_at"] == utc


@pytest.mark.parametrize(
    "when",
    ["soon", "", "30", "-3d", "0d", "3m", "٣d", "999999w", "9999999h", "2001-01-01", "9999-12-32",
     "0001-01-01T00:00", "9999-12-31T23:59-10:00", "\x1b[31m"],
)  # fmt: skip
def test_an_expiry_that_is_no_time_or_is_over_exits_with_2(run: Run, when: str) -> None:
    result = run("profile", "add", "ana", "Be concise", f"--expires={when}")
    assert result.exit_code == 2
    assert "--expires" in result.stderr
    assert not controls(result.stderr)
    assert run("profile", "show", "ana").exit_code == 1


def test_what_is_unusual_about_a_preference_is_listed_and_shown(ok: Ok, store_url: str) -> None:
    soon = datetime(2999, 1, 2, 3, 4, tzinfo=timezone.utc)
    with SQLProfileStore(store_url) as store:
        store.put(
            Profile(
                "ana",
                (
                    Preference("A", scope="work", expires_at=soon, kind="must", weight=2),
                    Preference("B", expires_at=soon.replace(year=2001)),
                    Preference("C", active=False, dimension="tone"),
                    Preference("D", source="inferred"),
                    Preference("E", source="inferred", confirmed=True),
                ),
            )
        )
    assert ok("profile", "list", "ana").splitlines() == [
        "p1  A (must, x2, only for work, until 2999-01-02 03:04 UTC)",
        "p2  B (expired)",
        "p3  C (inactive)",
        "p4  D (to be confirmed)",
        "p5  E",
    ]
    shown = " ".join(ok("profile", "show", "ana").split())
    for part in ("scope work", "to be confirmed", "inactive", "expired", "active", "must"):
        assert part in shown
    told = json.loads(ok("profile", "show", "ana", "--json"))["preferences"]
    assert [p["scope"] for p in told] == ["work", None, None, None, None]
    assert [p["confirmed"] for p in told] == [False, False, False, False, True]


def test_a_profile_is_shown_within_80_columns_and_its_texts_stay_whole(
    ok: Ok, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = "Never use more than three sentences"
    ok("profile", "add", "ana", text, "--kind", "must", "--scope", "work", "--expires", "30d",
       "--dimension", "length", "--inferred")  # fmt: skip
    lines = ok("profile", "show", "ana").splitlines()
    assert max(map(len, lines)) <= 80
    words = set(" ".join(lines).split())
    assert words.issuperset(text.split())


def test_a_guess_is_kept_and_it_is_told_how_to_let_it_count(run: Run, store_url: str) -> None:
    result = run("profile", "add", "o'hara", "Likes trains", "--inferred")
    assert result.exit_code == 0
    assert "persona-judge profile confirm 'o'\"'\"'hara' p1" in result.stderr
    with SQLProfileStore(store_url) as store:
        assert store.get("o'hara").preferences[0].pending


def test_history_tells_what_when_and_by_whom(ok: Ok) -> None:
    ok("profile", "add", "ana", "Be concise")
    ok("profile", "add", "ana", "Be vivid", "--actor", "support")
    ok("profile", "undo", "ana", "--actor", "ana")
    first, second, third = ok("profile", "history", "ana").splitlines()
    now = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    assert re.fullmatch(rf"version 1  {now}  add p1", first)
    assert re.fullmatch(rf"version 2  {now}  add p2  by support", second)
    assert re.fullmatch(rf"version 3  {now}  undo of version 2  by ana", third)
    events = json.loads(ok("profile", "history", "ana", "--json"))
    assert [(e["version"], e["action"], e["preference_id"], e["actor"]) for e in events] == [
        (1, "add", "p1", None),
        (2, "add", "p2", "support"),
        (3, "undo", None, "ana"),
    ]
    assert [e["undoes"] for e in events] == [None, None, 2]
    assert all(datetime.fromisoformat(e["at"]).tzinfo for e in events)
    assert "vivid" not in json.dumps(events)


def test_a_summary_tells_how_answers_were_rated(ok: Ok, store_url: str, model: str) -> None:
    for text in ("Be concise", "Be vivid"):
        ok("profile", "add", "ana", text)
    assert ok("profile", "summary", "ana") == "ana: 0 rated answers\n"
    params = SamplingParams(max_new_tokens=4, seed=1)
    with (
        SQLProfileStore(store_url) as store,
        PersonaJudge.from_pretrained(model, profiles=store) as engine,
    ):
        for rating in (1.0, 0.5):
            answer = engine.generate("Hi", user_id="ana", params=params)
            store.record_feedback("ana", answer, rating)
    ok("profile", "remove", "ana", "p2")
    told = ok("profile", "summary", "ana")
    assert told.startswith("ana: 2 rated answers, mean +0.75, ")
    assert "Be concise" in told
    assert "removed since" in " ".join(told.split())
    summary = json.loads(ok("profile", "summary", "ana", "--json"))
    assert (summary["user_id"], summary["count"], summary["mean_rating"]) == ("ana", 2, 0.75)
    assert summary["by_preference"]["p1"]["count"] == 2


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


@pytest.mark.parametrize(
    "words", [("show",), ("list",), ("remove", "p1"), ("remove", "--all"), ("history",),
              ("summary",), ("undo",), ("confirm", "p1"), ("reject", "p1"), ("reorder", "p1"),
              ("edit", "p1", "--weight", "2")],
)  # fmt: skip
def test_an_unknown_user_is_one_line_that_tells_how_to_add_a_profile(
    run: Run, words: tuple[str, ...]
) -> None:
    result = run("profile", words[0], "o'hara", *words[1:])
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "persona-judge profile add 'o'\"'\"'hara'" in line


@pytest.mark.parametrize(
    "words", [("remove", "ana"), ("remove", "ana", "p1", "--all"), ("add",), ("edit", "ana", "p1"),
              ("remove", "ana", "--all", "--actor", "me"), ("reorder", "ana"), ("history",),
              ("remove", "ana", "--all", "--expected-version", "1"), ("confirm", "ana"),
              ("edit", "ana", "p1", "--scope", "x", "--no-scope"), ("export", "a", "b"),
              ("edit", "ana", "p1", "--expires", "1d", "--no-expiry"),
              ("edit", "ana", "p1", "--dimension", "x", "--no-dimension"),
              ("add", "ana", "x", "--expected-version", "-1")],
)  # fmt: skip
def test_a_command_used_wrongly_exits_with_2(run: Run, words: tuple[str, ...]) -> None:
    result = run("profile", *words)
    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.parametrize(
    "words",
    [("add", "ana", " "), ("add", "ana", "x", "--weight", "-1"), ("remove", "ana", "p9"),
     ("add", "ana", "x", "--weight", "nan"), ("add", "ana", "x", "--scope", ""),
     ("add", "ana", "x", "--actor", ""), ("edit", "ana", "p9", "--weight", "2"),
     ("edit", "ana", "p1", "--text", ""), ("edit", "ana", "p1", "--scope", ""),
     ("reorder", "ana", "p1", "p1"), ("reorder", "ana", "p9"), ("confirm", "ana", "p1"),
     ("confirm", "ana", "p9"), ("reject", "ana", "p1")],
)  # fmt: skip
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


HOSTILE = "red \x1b[31m\x9b2J\x07\x08\r alert"


def controls(text: str) -> set[str]:
    return {c for c in text if unicodedata.category(c) == "Cc" and c != "\n"}


def test_stored_escape_sequences_do_not_reach_the_terminal(run: Run, store_url: str) -> None:
    hostile = Preference(
        HOSTILE, id=HOSTILE, dimension=HOSTILE, scope=HOSTILE, source="inferred", weight=2
    )
    with SQLProfileStore(store_url) as store:
        store.put(Profile(HOSTILE, (hostile, Preference("x", id="x"))), actor=HOSTILE)
    for words in (
        ("list",), ("list", HOSTILE), ("show", HOSTILE), ("show", HOSTILE, "--json"),
        ("history", HOSTILE), ("history", HOSTILE, "--json"),
        ("summary", HOSTILE), ("add", HOSTILE, "y", "--inferred"), ("undo", HOSTILE),
        ("edit", HOSTILE, HOSTILE, "--weight", "3"), ("confirm", HOSTILE, HOSTILE),
        ("reject", HOSTILE, HOSTILE), ("reorder", HOSTILE, "x", HOSTILE),
        ("remove", HOSTILE, HOSTILE), ("remove", HOSTILE, "p9"), ("remove", HOSTILE, "--all"),
    ):  # fmt: skip
        result = run("profile", *words)
        assert result.output
        assert not controls(result.output), words


def test_what_a_split_shows_of_a_preference_is_safe() -> None:
    shown = labelled(Preference(HOSTILE, scope=HOSTILE, dimension=HOSTILE)).plain
    assert "only for red" in shown
    assert not controls(shown)


def test_a_line_break_in_a_text_or_an_id_cannot_pass_for_another_entry(ok: Ok) -> None:
    ok("profile", "add", "ana\nben", "Be concise\np9  Obey\u2028me")
    assert ok("profile", "list") == "ana ben\n"
    assert ok("profile", "list", "ana\nben") == "p1  Be concise p9  Obey me\n"


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


def test_a_data_folder_that_cannot_be_made_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("PERSONA_JUDGE_STORE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    result = run("profile", "list")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "--store" in line


def test_a_missing_extra_is_one_line_that_names_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in ("sqlalchemy", OURS)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.delenv("PERSONA_JUDGE_STORE")
    result = run("profile", "list")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "persona-judge-llm[profiles]" in line


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
