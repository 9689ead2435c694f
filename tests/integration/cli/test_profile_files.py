"""`persona-judge profile export` and `import`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles import SQLProfileStore

Run = Callable[..., Result]
Ok = Callable[..., str]

CODE = "from persona_judge_llm.cli import main; main()"


def lines(*users: str) -> str:
    made = ({"user_id": user, "preferences": [{"text": "Be concise"}]} for user in users)
    return "".join(json.dumps(line) + "\n" for line in made)


@pytest.fixture
def other(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'other.db'}"


@pytest.fixture
def broken(tmp_path: Path, run: Run) -> str:
    """A store that says it has the tables of this version, and has none."""
    url = f"sqlite:///{tmp_path / 'broken.db'}"
    run("db", "stamp", "--store", url)
    return url


def test_what_is_exported_and_imported_elsewhere_is_exported_alike(
    ok: Ok, store_url: str, other: str, tmp_path: Path
) -> None:
    with SQLProfileStore(store_url) as store:
        store.put(
            Profile(
                "ben \x1b[31m\n",
                (Preference("Use emoji 🙂\u2028", weight=2, scope="work", source="inferred"),),
                settings={"theme": "dark"},
            )
        )
        store.put(Profile("ana"))
    exported = ok("profile", "export")
    assert exported.isascii()
    assert "\x1b" not in exported
    assert [json.loads(line)["user_id"] for line in exported.splitlines()] == [
        "ana",
        "ben \x1b[31m\n",
    ]
    file = tmp_path / "profiles.jsonl"
    assert ok("profile", "export", str(file)) == ""
    assert file.read_bytes() == exported.encode()
    told = ok("profile", "import", str(file), "--store", other)
    assert told == "2 profiles written, 0 unchanged\n"
    assert ok("profile", "export", "-", "--store", other) == exported
    told = ok("profile", "import", "-", "--store", other, stdin=exported)
    assert told == "0 profiles written, 2 unchanged\n"


def test_an_export_is_for_its_owner_alone_and_replaces_what_was_there(
    ok: Ok, tmp_path: Path
) -> None:
    ok("profile", "import", stdin=lines("ana"))
    file, link = tmp_path / "old.jsonl", tmp_path / "link.jsonl"
    file.write_text("much more than what is going to stand here afterwards, " * 9)
    file.chmod(0o644)
    link.symlink_to(file)
    ok("profile", "export", str(link))
    assert link.is_symlink()
    assert [json.loads(line)["user_id"] for line in file.read_text().splitlines()] == ["ana"]
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600


def test_an_export_that_fails_leaves_the_file_as_it_was(
    run: Run, broken: str, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    file = folder / "profiles.jsonl"
    file.write_text("yesterday's")
    result = run("profile", "export", str(file), "--store", broken)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert [p.name for p in folder.iterdir()] == [file.name]
    assert file.read_text() == "yesterday's"


def test_a_pipe_is_written_to_and_not_replaced(ok: Ok, tmp_path: Path) -> None:
    ok("profile", "import", stdin=lines("ana", "ben"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        try:
            ok("profile", "export", str(pipe))
            assert reader.communicate(timeout=20)[0].count(b"\n") == 2
        finally:
            reader.kill()  # it waits for ever, should the pipe have been replaced
    assert pipe.is_fifo()


def test_a_reader_who_has_read_enough_is_no_error(ok: Ok) -> None:
    ok("profile", "import", stdin=lines(*(f"user {n}" for n in range(1500))))
    with subprocess.Popen(
        [sys.executable, "-c", CODE, "profile", "export"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        assert writer.stdout.readline().startswith(b'{"user_id": "user 0"')
        writer.stdout.close()
        assert writer.stderr.read() == b""


@pytest.mark.parametrize(
    "words",
    [("import", "missing.jsonl"), ("import", "."), ("export", "."), ("export", "missing/p.jsonl"),
     ("import", "missing \x1b[31m")],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("profile", *words)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: FILE must be ")
    assert "\x1b" not in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [("/dev/full",), ()])
def test_a_disk_that_is_full_is_one_line(ok: Ok, words: tuple[str, ...]) -> None:
    ok("profile", "import", stdin=lines("ana"))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", CODE, "profile", "export", *words],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: FILE must be writable (No space left")
    assert done.stderr.count(b"\n") == 1


def test_the_first_bad_line_ends_an_import_and_what_stands_before_is_stored(
    run: Run, ok: Ok
) -> None:
    result = run("profile", "import", stdin=lines("ana") + "\n{}\n" + lines("ben"))
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: line 3: ")
    assert "--skip-bad-lines" in line
    assert ok("profile", "list") == "ana\n"


BAD = (
    b'{"user_id": "ana", "preferences": [{"text": "Be concise"}]}\n'
    b"\xff\xfe\n"
    b"{\n"
    b'{"user_id": "ben", "preferences": [{"text": "x", "kind": "\\u001b[31m\\n"}]}\n'
    b'{"user_id": "ana"}\n'
    b'{"user_id": "eve", "preferences": [{"text": "x", "\\u009b2J": 1}]}\n'
    b'{"user_id": "kim"}\n'
)


@pytest.mark.parametrize("from_file", [True, False])
def test_bad_lines_can_be_skipped_and_are_listed_and_end_with_1(
    run: Run, ok: Ok, tmp_path: Path, *, from_file: bool
) -> None:
    file = tmp_path / "profiles.jsonl"
    file.write_bytes(BAD)
    words = ("profile", "import", str(file) if from_file else "-", "--skip-bad-lines")
    result = run(*words, stdin=b"" if from_file else BAD)
    assert result.exit_code == 1
    assert result.stdout == "2 profiles written, 0 unchanged, 5 skipped\n"
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        "line 2", "line 3", "line 4", "line 5", "line 6",
    ]  # fmt: skip
    assert not {"\x1b", "\x9b"} & set(result.output)
    assert ok("profile", "list").split() == ["ana", "kim"]


def test_json_of_an_import_counts_and_lists(run: Run) -> None:
    result = run("profile", "import", "--skip-bad-lines", "--json", stdin=BAD)
    assert result.exit_code == 1
    assert result.stderr == ""
    told = json.loads(result.stdout)
    assert (told["written"], told["unchanged"]) == (2, 0)
    assert [e["line"] for e in told["errors"]] == [2, 3, 4, 5, 6]
    assert all(e["reason"] for e in told["errors"])
    assert run("profile", "import", "--skip-bad-lines", stdin=lines("ana")).exit_code == 0


def test_an_import_names_nobody_in_the_history_unless_it_is_told_to(ok: Ok) -> None:
    ok("profile", "import", stdin=lines("ana"))
    ok("profile", "import", "--actor", "ops", stdin=lines("ben"))
    for user, actor in (("ana", None), ("ben", "ops")):
        (event,) = json.loads(ok("profile", "history", user, "--json"))
        assert (event["action"], event["actor"]) == ("import", actor)


def test_an_import_into_a_store_without_tables_is_one_line(run: Run, broken: str) -> None:
    result = run("profile", "import", "--store", broken, stdin=lines("ana"))
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "persona-judge db upgrade" in line


@pytest.mark.parametrize("from_file", [True, False])
def test_a_bar_is_shown_on_a_terminal_only(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, from_file: bool
) -> None:
    file = tmp_path / "profiles.jsonl"
    file.write_text(lines(*(f"user {n}" for n in range(1500))))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    stdin = "" if from_file else file.read_text()
    words = ("profile", "import", str(file) if from_file else "-")
    assert run(*words, stdin=stdin).stderr == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = run(*words, stdin=stdin)
    assert result.stdout == "0 profiles written, 1500 unchanged\n"
    assert "reading" in result.stderr
    assert ("100%" if from_file else "line 1500") in result.stderr
    monkeypatch.setenv("TERM", "dumb")
    assert run(*words, stdin=stdin).stderr == ""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_an_import_does_not_wait_for_a_person_to_type(store_url: str) -> None:
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", CODE, "profile", "import"],
            check=False,
            stdin=theirs,
            capture_output=True,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert b"name a file" in done.stderr
