"""`persona-judge db`: the tables of SQLite files and of a PostgreSQL server."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from typer.testing import Result

Run = Callable[..., Result]
Ok = Callable[..., str]

INSERT = (
    "INSERT INTO pj_profile (id, tenant, user_id, version, settings, updated_at) "
    "VALUES (1, 'default', 'ana', 3, '{}', '2026-01-01 00:00:00')"
)


@pytest.fixture
def old(tmp_path: Path, store_url: str) -> Path:
    """The file of the store, with the tables of the first revision and a user in them."""
    config = Config()
    config.set_main_option("script_location", "persona_judge_profiles:migrations")
    engine = create_engine(store_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(INSERT)
    engine.dispose()
    return tmp_path / "profiles.db"


def one_error(result: Result) -> str:
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_tables_that_are_missing_are_one_line_and_the_way_out(run: Run, ok: Ok) -> None:
    line = one_error(run("db", "check"))
    assert "no tables" in line
    assert line.endswith("run: persona-judge db upgrade")
    ok("db", "upgrade")
    ok("db", "check")
    ok("db", "upgrade")
    assert ok("profile", "list") == ""


def test_tables_of_an_older_version_are_told_and_upgraded_with_what_they_hold(
    run: Run, ok: Ok, old: Path
) -> None:
    for words in (("db", "check"), ("profile", "list"), ("profile", "add", "ana", "Be concise")):
        line = one_error(run(*words))
        assert "0001" in line
        assert line.endswith("run: persona-judge db upgrade")
    assert "upgraded" in ok("db", "upgrade")
    assert "those of this version" in ok("db", "check")
    assert ok("profile", "list") == "ana\n"
    assert ok("profile", "add", "ana", "Be concise").endswith("version 4\n")


@pytest.mark.parametrize("name", ["check", "upgrade", "stamp"])
def test_tables_of_a_newer_version_are_one_line(run: Run, ok: Ok, old: Path, name: str) -> None:
    ok("db", "upgrade")
    connection = sqlite3.connect(old)
    connection.execute("UPDATE pj_alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    assert "9999" in one_error(run("db", name))


def test_tables_that_something_else_made_can_be_stamped(run: Run, ok: Ok, old: Path) -> None:
    ok("db", "upgrade")
    connection = sqlite3.connect(old)
    connection.execute("DROP TABLE pj_alembic_version")
    connection.close()
    one_error(run("db", "check"))
    assert "recorded" in ok("db", "stamp")
    ok("db", "check")
    assert ok("profile", "list") == "ana\n"


@pytest.mark.parametrize("name", ["check", "upgrade", "stamp"])
@pytest.mark.parametrize(
    "url",
    ["sqlite:////nowhere/at/all.db", "not a url", "mysterydb://me:secret@host/db",
     "postgresql://me:secret@/db?host=/nowhere"],
)  # fmt: skip
def test_a_database_that_cannot_be_reached_is_one_line_without_its_password(
    run: Run, name: str, url: str
) -> None:
    assert "secret" not in one_error(run("db", name, "--store", url))


@pytest.mark.parametrize("name", ["check", "upgrade", "stamp"])
def test_a_file_that_is_no_database_stays_as_it_is(run: Run, tmp_path: Path, name: str) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear Sir or Madam, " * 99)
    one_error(run("db", name, "--store", f"sqlite:///{file}"))
    assert file.read_text() == "Dear Sir or Madam, " * 99


def test_a_server_gets_its_tables_by_upgrade_alone(run: Run, ok: Ok, postgres_url: str) -> None:
    store = ("--store", postgres_url)
    for words in (("db", "check"), ("profile", "list"), ("profile", "add", "ana", "Be concise")):
        assert one_error(run(*words, *store)).endswith("run: persona-judge db upgrade")
    ok("db", "upgrade", *store)
    ok("db", "check", *store)
    ok("profile", "add", "ana", "Be concise", "--scope", "work", "--actor", "ops", *store)
    assert ok("profile", "list", "ana", *store) == "p1  Be concise (only for work)\n"
    ok("profile", "add", "ana", "Be kind", *store)
    assert ok("profile", "undo", "ana", *store) == "ana: undo of version 2: add p2, version 3\n"
    exported = ok("profile", "export", *store)
    assert ok("profile", "import", *store, stdin=exported) == "0 profiles written, 1 unchanged\n"
