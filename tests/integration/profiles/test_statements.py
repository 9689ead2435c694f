"""Statements on the driver's own cursor: the same as SQLAlchemy's, and seen by who listens."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, insert
from sqlalchemy.exc import IntegrityError, OperationalError

from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.stores import blocking
from persona_judge_profiles import AsyncSQLProfileStore, SQLProfileStore, at_once, driver, rows
from persona_judge_profiles.statements import Call, Statement, run, say
from tests.postgres_server import PostgresServer

SOON = datetime.now(timezone.utc) + timedelta(hours=1)
FULL = Preference(
    "Answer in ü, ß and \U0001f600",
    weight=2.5,
    kind="must",
    dimension="tone",
    active=False,
    opposes=frozenset({"p2", "p9"}),
    expires_at=SOON,
    source="inferred",
    scope="work",
)


def hear(*_: object) -> None:
    """Listen, which sends every statement through SQLAlchemy."""


@pytest.fixture(params=["sync", "async"])
def open_store(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    if request.param == "sync":
        return SQLProfileStore
    return lambda url: blocking(AsyncSQLProfileStore(url))


def lived(store: Any) -> list[object]:
    """Write in every way, and return all that can be read afterwards; no times."""
    store.upgrade()
    seen: list[object] = [
        store.put(Profile("ana", (Preference("one"), FULL), settings={"a": [1, None, "ü"]})),
        store.add("ana", Preference("three"), expected_version=1, actor="me"),
        store.update("ana", "p1", weight=3, opposes=["p3"], dimension="length"),
        store.confirm("ana", "p2"),
        store.reorder("ana", ["p3", "p1", "p2"]),
        store.remove("ana", "p2"),
        store.undo("ana"),
        store.put_many([Profile("ana", (FULL,)), Profile("bob", (FULL, Preference("two")))]),
        store.put_many([Profile("bob", (FULL, Preference("two"))), Profile("cem")]),
        store.get_version("ana"),
        list(store.list_users()),
    ]
    for user in ("ana", "bob", "cem"):
        seen.append(store.get(user))
        seen.append([(e.version, e.action, e.actor, e.undoes) for e in store.history(user)])
    return seen


def test_the_driver_and_sqlalchemy_say_the_same(
    new_database: Callable[[], str],
    open_store: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directly: list[bool] = []
    is_direct = driver.is_direct

    def note(connection: Connection) -> bool:
        directly.append(is_direct(connection))
        return directly[-1]

    monkeypatch.setattr(driver, "is_direct", note)
    quick = open_store(new_database())
    seen = lived(quick)
    quick.close()
    assert all(directly)
    directly.clear()
    event.listen(Engine, "before_cursor_execute", hear)
    try:
        heard = open_store(new_database())
        assert lived(heard) == seen
        heard.close()
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    assert directly
    assert not any(directly)


@pytest.mark.parametrize(
    "name", ["before_execute", "after_execute", "before_cursor_execute", "after_cursor_execute"]
)
def test_who_listens_hears_every_statement(name: str) -> None:
    for target in (Engine, engine := create_engine("sqlite://")):
        with engine.connect() as connection:
            assert driver.is_direct(connection)
        event.listen(target, name, hear)
        try:
            with engine.connect() as connection:
                assert not driver.is_direct(connection)
        finally:
            event.remove(target, name, hear)


def test_who_logs_statements_sees_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
        engine = create_engine("sqlite://")
        with engine.connect() as connection:
            say(connection, "PRAGMA user_version")
    assert "PRAGMA user_version" in caplog.text


def test_who_handles_errors_or_has_another_schema_gets_what_sqlalchemy_does() -> None:
    engine = create_engine("sqlite://")
    elsewhere = engine.execution_options(schema_translate_map={None: "other"})
    with elsewhere.connect() as connection:
        assert not driver.is_direct(connection)
    event.listen(engine, "handle_error", hear)
    with engine.connect() as connection:
        assert not driver.is_direct(connection)


def test_statements_are_kept_compiled_for_several_engines_and_not_for_all() -> None:
    statement = Statement(insert(rows.feedback))
    dialects = [create_engine("sqlite://").dialect for _ in range(40)]
    for dialect in dialects:
        assert statement._compile(dialect) is statement._compile(dialect)
    assert list(statement._compiled) == dialects[-16:]


def test_a_driver_without_pipelines_is_asked_one_by_one(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setattr(psycopg.Pipeline, "is_supported", lambda: False)
    monkeypatch.setattr(driver, "_pipeline", None)
    with SQLProfileStore(postgres_server.url(postgres_server.create_database())) as store:
        assert lived(store)


def test_another_driver_is_left_to_sqlalchemy(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine("sqlite://")
    monkeypatch.setattr(engine.dialect, "driver", "pysqlcipher")
    with engine.connect() as connection:
        assert not driver.is_direct(connection)


def test_errors_are_those_of_sqlalchemy_and_show_no_parameters(database: str) -> None:
    with SQLProfileStore(database) as store:
        store.upgrade()
        store.put(Profile("ana"))
        row = {"tenant": "default", "user_id": "ana", "incarnation": 1}
        again = {**row, **rows.profile_columns(Profile("ana", version=1), SOON)}
        connections = store._database._connections
        with pytest.raises(IntegrityError) as caught, connections.writing() as connection:
            run(connection, Call(Statement(insert(rows.profiles), again), again))
        assert caught.value.params is None
        with pytest.raises(Exception, match="nonsense") as other, connections.reading() as c:
            say(c, "nonsense")
        assert type(other.value).__module__ == OperationalError.__module__


def test_an_interrupted_statement_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "_run", interrupt)
    with create_engine("sqlite://").connect() as connection:
        with pytest.raises(KeyboardInterrupt):
            say(connection, "PRAGMA user_version")
        assert connection.invalidated


def test_a_write_at_once_is_what_a_locked_one_is(
    postgres_server: PostgresServer,
    open_store: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[object] = []
    act = at_once.act

    def note(*arguments: Any) -> object:
        done.append(act(*arguments))
        return done[-1]

    monkeypatch.setattr(at_once, "act", note)
    quick = open_store(postgres_server.url(postgres_server.create_database()))
    seen = lived(quick)
    quick.close()
    assert len(done) == 4  # added, updated, confirmed, and the last one removed
    assert None not in done
    monkeypatch.setattr(at_once, "prepare", lambda *_: None)
    locked = open_store(postgres_server.url(postgres_server.create_database()))
    assert lived(locked) == seen
    locked.close()
    assert len(done) == 4


def test_a_write_at_once_that_another_one_overtakes_does_nothing_and_is_made_anew(
    postgres_server: PostgresServer, open_store: Callable[[str], Any], monkeypatch: Any
) -> None:
    url = postgres_server.url(postgres_server.create_database())
    store = open_store(url)
    store.upgrade()
    store.put(Profile("ana", (Preference("one"),)))
    act = at_once.act
    overtaken: list[bool] = []

    def be_late(connection: Connection, prepared: at_once.Prepared) -> object:
        if not overtaken:
            overtaken.append(True)
            with SQLProfileStore(url) as other:
                other.add("ana", Preference("theirs"))
            assert act(connection, prepared) is None
            return None
        return act(connection, prepared)

    monkeypatch.setattr(at_once, "act", be_late)
    assert [p.text for p in store.add("ana", Preference("ours")).preferences] == [
        "one",
        "theirs",
        "ours",
    ]
    assert [(e.version, e.action) for e in store.history("ana")] == [
        (1, "put"),
        (2, "add"),
        (3, "add"),
    ]
    store.close()


def test_an_old_snapshot_is_forgotten_by_a_write_at_once(postgres_server: PostgresServer) -> None:
    name = postgres_server.create_database()
    with SQLProfileStore(postgres_server.url(name)) as store:
        store.upgrade()
        store.add("ana", Preference("one"))
        for n in range(45):
            store.update("ana", "p1", text=f"text {n}")
    kept = postgres_server.psql(
        "SELECT version FROM pj_event WHERE before IS NOT NULL ORDER BY version", database=name
    )
    assert [int(version) for (version,) in kept] == list(range(7, 47))


def test_an_import_looks_users_up_and_does_not_read_the_tenant(
    postgres_server: PostgresServer,
) -> None:
    name = postgres_server.create_database()
    with SQLProfileStore(postgres_server.url(name)) as store:
        store.upgrade()
        for first in range(0, 3_000, 500):
            store.put_many(Profile(f"user{n}") for n in range(first, first + 500))
    (read,) = postgres_server.psql(
        "SELECT idx_tup_read FROM pg_stat_user_indexes"
        " WHERE indexrelname = 'uq_pj_profile_tenant_user_id'",
        database=name,
    )
    assert int(read[0]) == 0
