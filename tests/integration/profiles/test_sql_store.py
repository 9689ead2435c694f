"""What an SQL database adds to the contract: tenants, files, statements, borrowed engines."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, text

from persona_judge_llm.errors import (
    InvalidParameterError,
    InvalidPreferenceError,
    ProfileStoreSchemaError,
    ProfileStoreUnavailableError,
    UnknownUserError,
)
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles import SQLProfileStore
from persona_judge_profiles.schema import VERSION_TABLE
from persona_judge_profiles.statements import Call, run

SECRET = "sentinel-7f3a-must-not-be-seen"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'profiles.db'}"


@pytest.fixture
def store(url: str) -> Iterator[SQLProfileStore]:
    with SQLProfileStore(url) as store:
        yield store


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Every statement that any engine sends to its database during the test."""
    sent: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


def test_two_tenants_of_one_database_do_not_see_each_other(url: str) -> None:
    with SQLProfileStore(url, "one") as one, SQLProfileStore(url, "two") as two:
        one.add("ana", Preference("of one"))
        assert list(two.list_users()) == []
        for call in (two.get, two.get_version, two.history, two.erase):
            with pytest.raises(UnknownUserError):
                call("ana")
        assert two.put(Profile("ana"), expected_version=0).version == 1
        two.erase("ana")
        assert one.get("ana").preferences[0].text == "of one"


def test_profiles_outlive_the_store(url: str) -> None:
    with SQLProfileStore(url) as store:
        stored = store.add("ana", Preference("Be brief"))
    with SQLProfileStore(url) as store:
        assert store.get("ana") == stored


def test_an_in_memory_database_is_each_stores_own() -> None:
    with SQLProfileStore("sqlite:///:memory:") as one, SQLProfileStore("sqlite://") as two:
        one.add("ana", Preference("Be brief"))
        assert list(two.list_users()) == []


def test_a_relative_path_stays_where_the_store_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with SQLProfileStore("sqlite:///relative.db") as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.put(Profile("ana"))
    assert (tmp_path / "relative.db").exists()


def test_the_history_tells_each_write_and_no_text(store: SQLProfileStore, tmp_path: Path) -> None:
    store.put(Profile("ana", (Preference("one", id="x"),)))
    store.add("ana", Preference("two"))
    store.update("ana", "x", text="three")
    store.remove("ana", "x")
    told = [(e.version, e.action, e.preference_id) for e in store.history("ana")]
    assert told == [(1, "put", None), (2, "add", "p1"), (3, "update", "x"), (4, "remove", "x")]
    assert all(e.at.tzinfo is not None for e in store.history("ana"))


def test_an_erase_takes_the_history_too(store: SQLProfileStore) -> None:
    store.add("ana", Preference("one"))
    store.erase("ana")
    with pytest.raises(UnknownUserError):
        store.history("ana")
    store.put(Profile("ana"))
    assert [e.version for e in store.history("ana")] == [1]


def test_a_read_is_one_statement_outside_any_transaction(
    store: SQLProfileStore, statements: list[str]
) -> None:
    store.put(Profile("ana", tuple(Preference(f"text {n}") for n in range(5))))
    statements.clear()
    store.get("ana")
    store.get_version("ana")
    assert [s.split()[0] for s in statements] == ["SELECT", "SELECT"]


def test_what_cannot_be_stored_does_not_reach_the_database(
    store: SQLProfileStore, statements: list[str]
) -> None:
    with pytest.raises(InvalidPreferenceError):
        store.update("ana", "p1", weight=float("nan"))
    with pytest.raises(InvalidPreferenceError):
        store.get("x" * 256)
    with pytest.raises(InvalidPreferenceError):
        store.add("a\0b", Preference("one"))
    assert statements == []


def test_a_write_that_fails_midway_leaves_nothing(
    store: SQLProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.add("ana", Preference("one"))

    def fail(connection: Connection, *calls: Call) -> None:
        run(connection, *calls)
        raise KeyboardInterrupt

    monkeypatch.setattr("persona_judge_profiles.writes.run", fail)
    with pytest.raises(KeyboardInterrupt):
        store.add("ana", Preference("two"))
    monkeypatch.undo()
    assert store.get("ana") == before
    assert store.add("ana", Preference("three")).version == 2


def test_users_are_listed_across_pages(
    store: SQLProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_judge_profiles.store._PAGE", 3)
    for n in range(7):
        store.put(Profile(f"user{n}"))
    assert list(store.list_users()) == [f"user{n}" for n in range(7)]


def test_making_a_store_touches_nothing(tmp_path: Path, url: str, statements: list[str]) -> None:
    SQLProfileStore(url).close()
    assert list(tmp_path.iterdir()) == []
    assert statements == []


def test_our_connections_use_a_log_enforce_keys_and_overwrite(store: SQLProfileStore) -> None:
    with store._database._connections.reading() as connection:
        pragmas = ("journal_mode", "foreign_keys", "secure_delete")
        found = [connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in pragmas]
    assert found == ["wal", 1, 1]


def test_a_missing_folder_is_an_unavailable_store(tmp_path: Path) -> None:
    with (
        SQLProfileStore(f"sqlite:///{tmp_path}/none/p.db") as store,
        pytest.raises(ProfileStoreUnavailableError, match="did not answer"),
    ):
        store.get("ana")


def test_a_file_that_is_no_database_is_an_unavailable_store(tmp_path: Path, url: str) -> None:
    (tmp_path / "profiles.db").write_bytes(b"not a database" * 1_000)
    with SQLProfileStore(url) as store, pytest.raises(ProfileStoreUnavailableError):
        store.get("ana")


def test_a_database_locked_for_good_is_an_unavailable_store(
    store: SQLProfileStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.put(Profile("ana"))
    monkeypatch.setattr("persona_judge_profiles.urls.BUSY_SECONDS", 0.1)
    holder = create_engine(url)
    with holder.connect() as connection, SQLProfileStore(url) as impatient:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(ProfileStoreUnavailableError, match="locked"):
            impatient.add("ana", Preference("one"))
        assert impatient.get("ana") == before
    holder.dispose()


def test_a_closed_store_says_so(url: str) -> None:
    store = SQLProfileStore(url)
    store.close()
    with pytest.raises(ProfileStoreUnavailableError, match="closed"):
        store.get("ana")


def test_a_lent_database_without_tables_names_the_way_out(url: str) -> None:
    engine = create_engine(url)
    store = SQLProfileStore(engine)
    with pytest.raises(ProfileStoreSchemaError, match=r"store\.upgrade\(\)"):
        store.check()
    for _ in range(2):
        with pytest.raises(ProfileStoreSchemaError, match=r"store\.upgrade\(\)"):
            store.add("ana", Preference("one"))
    store.upgrade()
    assert store.add("ana", Preference("one")).version == 1
    engine.dispose()


def test_tables_of_another_revision_are_refused_and_not_touched(url: str) -> None:
    with SQLProfileStore(url) as store:
        store.upgrade()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0000'"))
    engine.dispose()
    with SQLProfileStore(url) as store:
        for call in (store.check, lambda: store.get("ana")):
            with pytest.raises(ProfileStoreSchemaError, match="0000"):
                call()


def test_tables_that_vanish_under_the_store_are_a_schema_error(store: SQLProfileStore) -> None:
    store.put(Profile("ana"))
    with store._database._connections.reading() as connection:
        connection.exec_driver_sql("DROP TABLE pj_preference")
    with pytest.raises(ProfileStoreSchemaError, match=r"store\.upgrade\(\)"):
        store.get("ana")


def test_a_lent_engine_is_left_as_it_was(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        before = [
            connection.exec_driver_sql(f"PRAGMA {p}").scalar()
            for p in ("journal_mode", "foreign_keys", "busy_timeout", "secure_delete")
        ]
        isolation = connection.get_isolation_level()
    with SQLProfileStore(engine) as store:
        store.upgrade()
        store.add("ana", Preference("one"))
        store.erase("ana")
    with engine.connect() as connection:  # closing the store has not closed the engine
        after = [
            connection.exec_driver_sql(f"PRAGMA {p}").scalar()
            for p in ("journal_mode", "foreign_keys", "busy_timeout", "secure_delete")
        ]
        assert connection.get_isolation_level() == isolation
        assert getattr(connection.connection.dbapi_connection, "isolation_level", None) == ""
    assert after == before
    assert engine.get_execution_options() == {}
    engine.dispose()


def test_an_erase_leaves_no_row_where_foreign_keys_are_not_enforced(url: str) -> None:
    engine = create_engine(url)
    with SQLProfileStore(engine) as store:
        store.upgrade()
        store.add("ana", Preference("one"))
        store.erase("ana")
    with engine.connect() as connection:
        for table in ("pj_profile", "pj_preference", "pj_event", "pj_feedback"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0
    engine.dispose()


def test_a_lent_engine_may_begin_transactions_of_its_own(url: str) -> None:
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def _manual(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _begin(connection: object) -> None:
        connection.exec_driver_sql("BEGIN")  # type: ignore[attr-defined]

    with SQLProfileStore(engine) as store:
        store.upgrade()
        store.add("ana", Preference("one"))
        assert store.add("ana", Preference("two")).version == 2
        assert store.get_version("ana") == 2
    engine.dispose()


def test_a_lent_engine_with_one_shared_connection_serves_many_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    with SQLProfileStore(engine) as store, ThreadPoolExecutor(8) as pool:
        store.upgrade()
        list(pool.map(lambda n: store.add("ana", Preference(f"text {n}")), range(32)))
        assert store.get_version("ana") == 32
    engine.dispose()


def test_the_tables_live_beside_those_of_an_application(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('theirs')")
    with SQLProfileStore(url) as store:
        store.put(Profile("ana"))
    with engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert all(n == "alembic_version" or n.startswith("pj_") for n in names.scalars())
        assert connection.exec_driver_sql("SELECT * FROM alembic_version").scalar() == "theirs"
    engine.dispose()


@pytest.mark.parametrize(
    "wrong",
    [
        f"no-database-{SECRET}",
        f"sqlite://{SECRET}.db",
        f"oracle9://u:{SECRET}@h/db",
        f"sqlite+aiosqlite:///{SECRET}.db",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(wrong: str) -> None:
    with pytest.raises(InvalidParameterError, match="url_or_engine") as caught:
        SQLProfileStore(wrong)
    assert SECRET not in str(caught.value)


def test_a_store_that_is_no_url_and_no_engine_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="url_or_engine"):
        SQLProfileStore(7)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="tenant"):
        SQLProfileStore("sqlite://", tenant="")


def test_a_password_is_shown_neither_by_the_store_nor_by_its_errors() -> None:
    pytest.importorskip("psycopg")
    url = f"postgresql+psycopg://someone:{SECRET}@127.0.0.1:1/db"
    with SQLProfileStore(url) as store:
        assert SECRET not in repr(store)
        with pytest.raises(ProfileStoreUnavailableError) as caught:
            store.get("ana")
    assert SECRET not in str(caught.value)
    assert SECRET not in str(caught.value.__cause__)


@pytest.mark.parametrize("lent", [False, True])
def test_no_user_id_and_no_text_is_in_an_error_or_a_log(
    url: str, caplog: pytest.LogCaptureFixture, *, lent: bool
) -> None:
    caplog.set_level(logging.INFO)
    engine = create_engine(url)
    with SQLProfileStore(engine if lent else url) as store:
        store.upgrade()
        store.add(SECRET, Preference(SECRET))
        with store._database._connections.reading() as connection:
            connection.exec_driver_sql("DROP TABLE pj_event")
        with pytest.raises(ProfileStoreSchemaError) as of_a_write:
            store.add(SECRET, Preference(SECRET))
        with store._database._connections.reading() as connection:
            connection.exec_driver_sql("DROP TABLE pj_profile")
        with pytest.raises(ProfileStoreSchemaError) as of_a_read:
            store.get(SECRET)
        for caught in (of_a_write, of_a_read):
            error: BaseException | None = caught.value
            while error is not None:
                assert SECRET not in str(error)
                error = error.__cause__ or error.__context__
    engine.dispose()
    assert SECRET not in caplog.text


def test_importing_the_store_opens_nothing_and_needs_no_migration_tool() -> None:
    code = "import sys, persona_judge_profiles; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from persona_judge_llm.errors import MissingDependencyError\n"
        "try: import persona_judge_profiles\n"
        "except MissingDependencyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "persona-judge-llm[profiles]" in done.stdout
