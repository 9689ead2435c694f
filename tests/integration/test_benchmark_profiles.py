"""The benchmark of the profile stores on few users: every row is there, and what must hold holds.

No timing is asserted: with so few users, on a busy machine, none means anything.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import profiles
from benchmarks.profile_stores import people, plain, theirs
from benchmarks.profile_stores.bench import Bench
from benchmarks.profile_stores.databases import NoDatabaseError, SQLite, postgresql
from benchmarks.profile_stores.sizes import QUICK
from benchmarks.report import section, with_section
from benchmarks.results import Check, Figure, Result
from persona_judge_llm.profile_lines import from_line, to_line
from tests import postgres_server

ROOT = Path(__file__).parents[2]
OURS = (
    "import",
    "import, most memory",
    "database",
    "export",
    "statements that reach the database",
    "read of a user",
    "read of a user, cached",
    "read of a user, cached, stale and unchanged",
    "read of a user, async store",
    "version of a user",
    "change of one preference at a version",
    "put_many of new users",
    "put_many of users who are stored like that",
    "put_many of users who changed",
    "erase",
)
THEIRS = (
    "get, an item a user",
    "get, made a Profile",
    "search, an item a preference",
    "put, no version",
    "get and put, an item a user",
    "batch of puts, an item a user",
)
UNITS = ("s", "users/s", "MB", "µs of client CPU", "reads/s of 8 threads", "ms, p50", "ms, p99")
KEPT = "# What decoding costs\n\n## Memory\n\nas it was\n"


@pytest.mark.slow
def test_quick_mode_writes_its_section_and_leaves_the_others_as_they_are(tmp_path):
    (tmp_path / "RESULTS.md").write_text(KEPT)
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--only", "profiles"]
    run = subprocess.run(
        [*command, "--users", "300", "--rounds", "1", "--output", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    report = (tmp_path / "RESULTS.md").read_text()
    assert report.startswith(KEPT)
    assert "| users | 300, of 5 preferences each |" in report
    databases = {"SQLite": "LangGraph SqliteStore"}
    if "| everything | PostgreSQL |" not in report:
        databases["PostgreSQL"] = "LangGraph PostgresStore"
    elif os.environ.get("CI", "").lower() not in ("", "false"):
        pytest.fail("CI has a PostgreSQL server")
    for database, their_name in databases.items():
        rows = [line for line in report.splitlines() if line.startswith(f"| {database} |")]
        for method in (*OURS, *(f"{their_name}: {method}" for method in THEIRS)):
            assert any(row.startswith(f"| {database} | {method} |") for row in rows), method
        for unit in UNITS:
            assert any(f"| {unit} |" in row for row in rows), (database, unit)
        for check in (
            "the export is the imported file, byte by byte",
            "one statement a read",
            "no transaction around a read",
        ):
            (row,) = [r for r in report.splitlines() if r.startswith(f"| {database}: {check} |")]
            assert row.endswith("| yes |"), row


def test_lines_are_those_of_an_export_and_sorted(tmp_path):
    path = tmp_path / "users.jsonl"
    people.write_lines(30, path)
    lines = path.read_text().splitlines()

    found = [from_line(line) for line in lines]

    assert [to_line(profile) for profile in found] == lines
    assert found == [people.profile(number) for number in range(30)]
    assert [p.user_id for p in found] == sorted(p.user_id for p in found)
    assert {len(p.preferences) for p in found} == {people.PREFERENCES}


def test_a_section_is_replaced_where_it_stands():
    def made(title: str, median: float) -> Result:
        result = Result(title, "Small.", machine={"users": "3"})
        result.figures.append(Figure.of("read", "SQLite", "µs", [median], 5.0, at_most=True))
        result.checks.append(Check("it holds", held=True, found="1 of 1"))
        return result

    first, last = made("Profile stores", 4.0), section("memory", made("Memory", 1.0))
    document = with_section(KEPT.replace("Memory", "Speed"), "profiles", first)
    assert "| SQLite | read | 4 |  | µs | 1 | at most 5 | yes |" in document
    document += "\n" + last

    changed = with_section(document, "profiles", made("Profile stores", 6.0))

    assert changed == document.replace(
        "| 4 |  | µs | 1 | at most 5 | yes |", "| 6 |  | µs | 1 | at most 5 | **no** |"
    )


def test_what_is_not_installed_is_told_and_not_measured(tmp_path, monkeypatch):
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(theirs, "import_module", missing)
    result = Result("Profile stores", "")
    bench = Bench(SQLite(tmp_path), QUICK, result)

    bench.fill_theirs()

    (gap,) = result.gaps
    assert (gap.what, gap.setting) == ("LangGraph SqliteStore", "SQLite")
    assert gap.why == "pip install langgraph-checkpoint-sqlite"
    with bench.theirs() as stores:
        assert stores is None
    assert result.figures == []


def test_without_a_server_postgresql_is_told_and_not_measured(tmp_path, monkeypatch):
    def none_here() -> None:
        raise postgres_server.NoServerError("PostgreSQL's programs are not installed")

    monkeypatch.setattr(postgres_server, "PostgresServer", none_here)
    with pytest.raises(NoDatabaseError, match="apt-get install postgresql"), postgresql(tmp_path):
        pass
    monkeypatch.setattr(profiles, "KINDS", {"PostgreSQL": postgresql})

    result = profiles.measure(QUICK)

    (gap,) = result.gaps
    assert (gap.what, gap.setting) == ("everything", "PostgreSQL")
    assert "not installed" in gap.why
    assert (result.figures, result.comparisons, result.checks) == ([], [], [])


@pytest.mark.slow
def test_figures_without_langgraph_are_still_measured(tmp_path, monkeypatch):
    @contextmanager
    def folder(_):
        yield SQLite(tmp_path)

    monkeypatch.setattr(profiles, "KINDS", {"SQLite": folder})
    monkeypatch.setattr(
        theirs, "store_class", lambda _: (_ for _ in ()).throw(theirs.NotInstalledError("pip"))
    )
    sizes, path = profiles.sizes_of(["--quick", "--users", "40", "--rounds", "1"])

    result = profiles.measure(sizes)

    assert path is None
    assert [gap.what for gap in result.gaps] == ["LangGraph SqliteStore"]
    assert {f.method for f in result.figures} >= set(OURS)
    assert [c.against for c in result.comparisons] == [plain.READ, plain.WRITE]
    assert all(check.held for check in result.checks)
    assert len(result.checks) == 3
