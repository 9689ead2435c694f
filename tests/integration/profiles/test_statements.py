"""Statements on the driver's own cursor: the same as SQLAlchemy's, and seen by who listens."""

import logging
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, insert, make_url, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from persona_judge_llm.errors import ProfileStoreUnavailableError
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
        store.put(Profile("dan", (Preference("left alone"), FULL, Preference("and this")))),
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
    for user in ("ana", "bob", "cem", "dan"):
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
    url = new_database()
    quick = open_store(url)
    seen = lived(quick)
    quick.close()
    assert set(directly) == {open_store is SQLProfileStore or "postgresql" in url}
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
    "name",
    [
        "before_execute",
        "after_execute",
        "before_cursor_execute",
        "after_cursor_execute",
        "begin",
        "commit",
        "rollback",
    ],
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


@pytest.mark.parametrize("name", ["do_execute", "do_execute_no_params", "handle_error"])
def test_who_stands_in_for_the_driver_is_asked(name: str) -> None:
    engine = create_engine("sqlite://")
    event.listen(engine, name, hear)
    with engine.connect() as connection:
        assert not driver.is_direct(connection)


@pytest.fixture
def two_schemas(postgres_server: PostgresServer) -> Iterator[Engine]:
    """An engine with one connection, on a database with our tables in `one` and in `two`."""
    name = postgres_server.create_database()
    for schema in ("one", "two"):
        postgres_server.psql(f"CREATE SCHEMA {schema}", database=name)
        url = make_url(postgres_server.url(name))
        url = url.update_query_dict({"options": f"-csearch_path={schema}"})
        with SQLProfileStore(url) as store:
            store.upgrade()
            store.put(Profile("ana", (Preference(f"of {schema}"),)))
    engine = create_engine(
        make_url(postgres_server.url(name)).set(drivername="postgresql+psycopg"),
        pool_size=1,
        max_overflow=0,
    )
    yield engine
    engine.dispose()


def test_a_schema_that_is_chosen_when_a_transaction_begins(two_schemas: Engine) -> None:
    now = ["one"]

    @event.listens_for(two_schemas, "begin")
    def choose(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET search_path TO {now[0]}")

    store = SQLProfileStore(two_schemas)
    for now[0] in ("one", "two", "one"):
        assert store.get("ana").preferences[0].text.startswith(f"of {now[0]}")
        store.update("ana", "p1", text=f"of {now[0]}, changed")
        assert store.get("ana").preferences[0].text == f"of {now[0]}, changed"


def test_a_schema_that_the_engine_is_told_of_and_told_anew(two_schemas: Engine) -> None:
    store = None
    for schema in ("one", "two", "one"):
        two_schemas.update_execution_options(schema_translate_map={None: schema})
        with two_schemas.connect() as connection:
            connection.exec_driver_sql("SET search_path TO one")
            connection.commit()
        store = store or SQLProfileStore(two_schemas)
        assert store.get("ana").preferences[0].text.startswith(f"of {schema}")
        store.put_many([Profile(f"only in {schema}")])
        assert list(store.list_users()) == ["ana", f"only in {schema}"]


def test_a_lent_connection_whose_level_was_changed_halfway_is_not_kept(
    two_schemas: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect: Any = two_schemas.dialect
    change = dialect.set_isolation_level

    def cut_off(connection: Any, level: str) -> None:
        change(connection, level)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(dialect, "set_isolation_level", cut_off)
        with pytest.raises(KeyboardInterrupt):
            SQLProfileStore(two_schemas).get("ana")
    with two_schemas.connect() as connection:
        driver_connection: Any = connection.connection.driver_connection
        assert not driver_connection.autocommit


def test_statements_are_kept_compiled_for_several_engines_and_not_for_all() -> None:
    statement = Statement(insert(rows.feedback))
    dialects = [create_engine("sqlite://").dialect for _ in range(40)]
    for dialect in dialects:
        assert statement.compiled(dialect) is statement.compiled(dialect)
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


def test_a_statement_that_failed_is_closed() -> None:
    # Left open on SQLite, it would keep a checkpoint waiting, and with it every writer.
    closed: list[str] = []

    class Cursor(sqlite3.Cursor):
        def close(self) -> None:
            closed.append("closed")
            super().close()

    class Opened(sqlite3.Connection):
        def cursor(self, *_: object) -> Cursor:  # type: ignore[override]
            return super().cursor(Cursor)

    engine = create_engine("sqlite://", connect_args={"factory": Opened})
    with engine.connect() as connection:
        closed.clear()
        with pytest.raises(OperationalError):
            say(connection, "SELECT * FROM nowhere")
        assert closed == ["closed"]


def test_an_interrupted_statement_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "_run", interrupt)
    with create_engine("sqlite://").connect() as connection:
        with pytest.raises(KeyboardInterrupt):
            say(connection, "PRAGMA user_version")
        assert connection.invalidated


def test_a_read_that_stands_alone_is_heard_by_who_listens(database: str) -> None:
    heard: list[str] = []

    def hear_connections(connection: Connection) -> None:
        heard.append(connection.dialect.name)

    def hear_statements(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        heard.append(statement.partition(" ")[0])

    with SQLProfileStore(database) as store:
        store.upgrade()
        store.put(Profile("ana"))
        for name, hears in (
            ("engine_connect", hear_connections),
            ("before_cursor_execute", hear_statements),
        ):
            heard.clear()
            event.listen(Engine, name, hears)
            try:
                store.get("ana")
            finally:
                event.remove(Engine, name, hears)
            assert len(heard) == 1
            heard.clear()
            store.get("ana")
            assert not heard


def test_a_read_that_is_interrupted_ends_its_connection(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with SQLProfileStore(database) as store:
        store.upgrade()
        before = store.put(Profile("ana"))
        ended: list[object] = []
        event.listen(store._database._connections._engine, "invalidate", lambda *a: ended.append(a))
        with monkeypatch.context() as patch:
            patch.setattr(driver, "_run", interrupt)
            with pytest.raises(KeyboardInterrupt):
                store.get("ana")
        assert len(ended) == 1
        assert store.get("ana") == before


def test_a_read_on_a_dead_connection_is_made_once_more(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = postgres_server.create_database()
    with SQLProfileStore(postgres_server.url(name)) as store:
        store.upgrade()
        before = store.put(Profile("ana"))
        asked: list[object] = []
        ask = driver.ask

        def note(*arguments: Any) -> object:
            asked.append(arguments)
            return ask(*arguments)

        monkeypatch.setattr(driver, "ask", note)
        postgres_server.psql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        assert store.get("ana") == before
        assert len(asked) == 1
        assert store._database._connections._engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_read_without_a_server_is_an_error_of_the_store() -> None:
    with SQLProfileStore("postgresql://nobody@127.0.0.1:9/none") as store:
        store._database._checked = True  # as if the server had gone since
        with pytest.raises(ProfileStoreUnavailableError, match="did not answer"):
            store.get("ana")


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


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_a_write_at_once_that_waited_for_another_one_is_made_anew(
    postgres_server: PostgresServer, level: str
) -> None:
    name = postgres_server.create_database()
    postgres_server.psql(
        f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'", database=name
    )
    url = postgres_server.url(name)
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with SQLProfileStore(url) as store, ThreadPoolExecutor(1) as pool:
        store.upgrade()
        store.put(Profile("ana", (Preference("one"),)))
        with engine.begin() as other:
            other.execute(update(rows.profiles).values(version=7))
            added = pool.submit(store.add, "ana", Preference("two"))
            wait_for_a_lock(postgres_server, name)
        assert added.result().version == 8
        assert [p.text for p in store.get("ana").preferences] == ["one", "two"]
    engine.dispose()


def wait_for_a_lock(server: PostgresServer, database: str) -> None:
    waiting = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{database}'"
    end = time.monotonic() + 10
    while not server.psql(f"{waiting} AND wait_event_type = 'Lock'"):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_write_at_once_that_a_time_limit_ends_is_not_done_later(
    postgres_server: PostgresServer,
) -> None:
    class TimeLimit(Exception):  # noqa: N818
        pass

    def end(*_: object) -> None:
        raise TimeLimit

    name = postgres_server.create_database()
    url = postgres_server.url(name)
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    before = signal.signal(signal.SIGALRM, end)
    try:
        with SQLProfileStore(url) as store:
            store.upgrade()
            store.put(Profile("ana"))
            with engine.begin() as other:
                other.execute(select(rows.profiles.c.id).with_for_update())
                signal.setitimer(signal.ITIMER_REAL, 0.5)
                with pytest.raises(TimeLimit):
                    store.add("ana", Preference("once"))
            assert store.add("ana", Preference("once")).version == 2
            assert [p.text for p in store.get("ana").preferences] == ["once"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        engine.dispose()


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
