"""Databases that are gone, full, busy or cut off: a typed error in time, nothing half-written."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import Connection, event, make_url

from persona_judge_llm.errors import ProfileStoreUnavailableError
from persona_judge_llm.feedback import FeedbackSummary
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.stores import blocking
from persona_judge_profiles import (
    AsyncSQLProfileStore,
    SQLProfileStore,
    at_once,
    ratings,
    statements,
    writes,
)
from persona_judge_profiles.waiting import pause
from tests.integration.profiles import workers
from tests.integration.profiles.databases import (
    engines_of,
    integrity,
    locked,
    sqlite,
)
from tests.integration.profiles.workers import Processes
from tests.postgres_server import PostgresServer

SECONDS = 2.5
"""In which an outage is told."""
PATIENCE = 4 * SECONDS
"""For the same on a machine that has other things to do."""
POOL = 15

LARGE = tuple(Preference("x" * 2_000, id=f"p{n}") for n in range(8))


@pytest.fixture(params=["sync", "async"])
def open_store(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Any]]:
    """Opens stores of each kind, which are closed at the end."""
    made: list[Any] = []

    def open_one(url: str) -> Any:
        on_a_loop = request.param == "async"
        made.append(blocking(AsyncSQLProfileStore(url)) if on_a_loop else SQLProfileStore(url))
        return made[-1]

    yield open_one
    for store in made:
        store.close()


@pytest.fixture
def store(open_store: Callable[[str], Any], database: str) -> Any:
    """A store of each kind on a database of each kind, with the tables made."""
    store = open_store(database)
    store.upgrade()
    return store


@pytest.fixture
def on_postgres(open_store: Callable[[str], Any], postgres_url: str) -> Any:
    store = open_store(postgres_url)
    store.upgrade()
    return store


@pytest.fixture
def on_sqlite(open_store: Callable[[str], Any], sqlite_url: str) -> Any:
    return open_store(sqlite_url)


@contextmanager
def unavailable(match: str = "did not answer") -> Iterator[None]:
    begin = time.monotonic()
    with pytest.raises(ProfileStoreUnavailableError, match=match):
        yield
    assert time.monotonic() - begin < PATIENCE


def calls(store: Any) -> dict[str, Callable[[], object]]:
    return {
        "get": lambda: store.get("ana"),
        "get_version": lambda: store.get_version("ana"),
        "put": lambda: store.put(Profile("ana")),
        "add": lambda: store.add("ana", Preference("two")),
        "undo": lambda: store.undo("ana"),
        "history": lambda: store.history("ana"),
        "put_many": lambda: store.put_many([Profile("ana")]),
        "import_jsonl": lambda: store.import_jsonl(['{"user_id": "ana"}']),
        "list_users": lambda: list(store.list_users()),
        "erase": lambda: store.erase("ana"),
        "summary": lambda: store.summary("ana"),
        "check": store.check,
        "upgrade": store.upgrade,
    }


def assert_untouched(store: Any, before: Profile) -> None:
    assert store.get("ana") == before
    assert [e.version for e in store.history("ana")] == list(range(1, before.version + 1))
    assert list(store.list_users()) == ["ana"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_stopped_and_started_again(
    on_postgres: Any, postgres_server: PostgresServer, mode: Literal["fast", "immediate"]
) -> None:
    store = on_postgres
    before = store.put(Profile("ana", (Preference("one"),)))
    postgres_server.stop(mode)
    for call in calls(store).values():
        with unavailable():
            call()
    postgres_server.start()
    assert_untouched(store, before)
    assert store.add("ana", Preference("two")).version == 2


@pytest.mark.slow
def test_a_server_that_crashes_under_load_keeps_what_was_acknowledged(
    on_postgres: Any, postgres_server: PostgresServer
) -> None:
    store = on_postgres
    ended = threading.Event()
    under_way = threading.Semaphore(0)

    def write(worker: int) -> tuple[int, BaseException | None]:
        done = 0
        while not ended.is_set():
            try:
                store.add(f"user{worker}", Preference(f"text {done}", active=False))
            except Exception as error:  # noqa: BLE001  # which is what is looked at
                return done, error
            done += 1
            under_way.release()
        return done, None

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, worker) for worker in range(4)]
        try:
            for _ in range(20):
                assert under_way.acquire(timeout=60)
            postgres_server.stop("immediate")
            found = [each.result(60) for each in writing]
        finally:
            ended.set()
    assert all(isinstance(error, ProfileStoreUnavailableError) for _, error in found)
    postgres_server.start()
    for worker, (done, _) in enumerate(found):
        texts = []
        if done or f"user{worker}" in list(store.list_users()):
            texts = [p.text for p in store.get(f"user{worker}").preferences]
        assert texts in [[f"text {n}" for n in range(count)] for count in (done, done + 1)]


def test_connections_that_the_server_ended_meanwhile_are_not_noticed(
    on_postgres: Any, postgres_url: str, postgres_server: PostgresServer
) -> None:
    before = on_postgres.put(Profile("ana", (Preference("one"),)))
    assert postgres_server.disconnect(make_url(postgres_url).database or "") > 0
    assert_untouched(on_postgres, before)
    assert postgres_server.disconnect(make_url(postgres_url).database or "") > 0
    assert on_postgres.add("ana", Preference("two")).version == 2


@pytest.mark.parametrize("moment", ["before the preferences", "before the commit", "at once"])
def test_a_connection_that_the_server_ends_in_the_middle_of_a_write(
    on_postgres: Any,
    postgres_url: str,
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    store = on_postgres
    before = store.put(Profile("ana", (Preference("one"),)))

    def cut_off(*calls: Any) -> Any:
        done = statements.run(*calls) if moment == "before the commit" else None
        assert postgres_server.disconnect(make_url(postgres_url).database or "") == 1
        return done or statements.run(*calls)

    with monkeypatch.context() as patch, unavailable():
        if moment == "at once":
            patch.setattr(at_once, "run", cut_off)
            store.add("ana", Preference("two"))
        else:
            patch.setattr(writes, "run", cut_off)
            store.put(Profile("ana", (Preference("two"), Preference("three"))))
    assert_untouched(store, before)
    assert store.add("ana", Preference("two")).version == 2


def test_a_write_of_which_the_answer_was_lost_is_not_done_again(
    on_postgres: Any,
    postgres_url: str,
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = on_postgres
    store.put(Profile("ana", (Preference("one"),)))

    def lose_the_answer(connection: Connection, *calls: statements.Call) -> object:
        statements.run(connection, *calls)
        assert postgres_server.disconnect(make_url(postgres_url).database or "") == 1
        return statements.run(connection, *calls)

    with monkeypatch.context() as patch, unavailable():
        patch.setattr(at_once, "run", lose_the_answer)
        store.add("ana", Preference("two"))
    assert [p.text for p in store.get("ana").preferences] == ["one", "two"]
    assert [e.version for e in store.history("ana")] == [1, 2]


@pytest.mark.slow
def test_a_pool_of_which_every_connection_is_in_use(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.put(Profile("ana", (Preference("one"),)))
    holding_one, let_go = threading.Semaphore(0), threading.Event()
    summary = ratings.summary

    def add_up_slowly(connection: Connection, *args: str) -> object:
        holding_one.release()
        while not let_go.is_set():
            pause(0.01, on_loop=connection.dialect.is_async)
        return summary(connection, *args)

    with monkeypatch.context() as patch, ThreadPoolExecutor(POOL + 2) as pool:
        patch.setattr(ratings, "summary", add_up_slowly)
        try:
            reading = [pool.submit(store.summary, "ana") for _ in range(POOL)]
            for _ in range(POOL):
                assert holding_one.acquire(timeout=60)
            for waiting in [pool.submit(calls(store)[name]) for name in ("get", "add")]:
                with unavailable():
                    waiting.result(PATIENCE)
        finally:
            let_go.set()
        assert [each.result(60) for each in reading] == [FeedbackSummary(0, None, None, {})] * POOL
    assert_untouched(store, before)
    assert store.add("ana", Preference("two")).version == 2


def test_a_profile_that_another_program_locks_for_good(
    open_store: Callable[[str], Any], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_judge_profiles.urls.LOCK_SECONDS", 1)
    store = open_store(postgres_url)
    store.upgrade()
    before = store.put(Profile("ana", (Preference("one"),)))
    with ThreadPoolExecutor(1) as pool, locked(postgres_url):
        waiting = pool.submit(store.add, "ana", Preference("two"))
        assert store.get("ana") == before
        with unavailable():
            waiting.result(PATIENCE)
    assert_untouched(store, before)
    assert store.add("ana", Preference("two")).version == 2


@pytest.mark.parametrize("tables", ["with tables", "without tables"])
def test_a_file_that_another_program_locks(
    open_store: Callable[[str], Any],
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tables: str,
) -> None:
    monkeypatch.setattr("persona_judge_profiles.urls.BUSY_SECONDS", 0.2)
    before = Profile("ana", (Preference("one"),))
    if tables == "with tables":
        with SQLProfileStore(sqlite_url) as other:
            before = other.put(before)
    store = open_store(sqlite_url)
    with locked(sqlite_url):
        for name in ("put", "add", "put_many", "upgrade") + ("erase",) * before.version:
            with unavailable("locked"):
                calls(store)[name]()
        if before.version:
            assert store.get("ana") == before
    if before.version:
        assert_untouched(store, before)
    assert store.add("ana", Preference("two")).version == before.version + 1
    assert integrity(sqlite_url) == "ok"


@contextmanager
def no_room(store: Any, url: str) -> Iterator[None]:
    """Let the file grow no further, by whichever connection of the store."""
    with sqlite(url) as connection:
        limit = connection.execute("PRAGMA page_count").fetchone()[0]

    def set_limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={limit}").close()

    for engine in engines_of(store):
        event.listen(engine, "checkout", set_limit)
    yield
    limit = 1_000_000


def test_a_file_that_may_grow_no_further(on_sqlite: Any, sqlite_url: str) -> None:
    store = on_sqlite
    before = store.put(Profile("ana", (Preference("one"),)))
    with no_room(store, sqlite_url):
        for write in (
            lambda: store.put(Profile("ana", LARGE)),
            lambda: store.put(Profile("ben", LARGE), expected_version=0),
            lambda: store.put_many(Profile(f"user{n}", LARGE) for n in range(3)),
        ):
            with unavailable("full"):
                write()
        assert_untouched(store, before)
    assert_untouched(store, before)
    assert store.put(Profile("ana", LARGE)).version == 2
    assert integrity(sqlite_url) == "ok"


def test_a_disk_on_which_nothing_more_can_be_written(tmp_path: Path, processes: Processes) -> None:
    url = f"sqlite:///{tmp_path / 'p.db'}"
    stored, message, texts, later = processes.at_once(workers.fill_up, [(url, 400_000)])[0]
    assert stored > 0
    assert "disk" in message
    assert texts == {f"text of write {stored}"}  # of the last write that was acknowledged
    assert later == stored + 1
    assert integrity(url) == "ok"
    with SQLProfileStore(url) as store:
        assert store.get_version("ana") == later
