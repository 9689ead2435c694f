"""What the asynchronous store promises beside the contract: loops, cancelling, borrowed engines."""

import asyncio
import contextlib
import gc
import io
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from persona_judge_llm.errors import (
    InvalidParameterError,
    MissingDependencyError,
    NothingToUndoError,
    ProfileConflictError,
    ProfileStoreSchemaError,
    ProfileStoreUnavailableError,
    UnknownUserError,
)
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles import AsyncSQLProfileStore, SQLProfileStore
from tests.integration.profiles import workers
from tests.integration.profiles.databases import engines_of, integrity, is_sqlite, locked, postgres

CANCELS = 200
AT_ONCE = 20
"""More than there are connections, so that some wait for one."""
USERS = [f"user{n}" for n in range(4)]
LAG = 0.25
"""How long the loop may be kept, five times what was promised: the machine has other work."""


@pytest.fixture
async def store(database: str) -> AsyncIterator[AsyncSQLProfileStore]:
    async with AsyncSQLProfileStore(database) as store:
        await store.upgrade()
        yield store


def checked_out(store: AsyncSQLProfileStore) -> int:
    pools: list[Any] = [engine.pool for engine in engines_of(store)]
    return sum(pool.checkedout() for pool in pools)


def idle_in_transaction(url: str) -> int:
    with postgres(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        ).fetchone()
    return int(found[0]) if found else 0


async def lag_of(
    work: Callable[[], Coroutine[Any, Any, object]],
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Do the work; return for how long at most another task was not let on.

    The best of three times, as the machine itself may keep a process waiting; for that which only
    computes, `time.thread_time` is a clock that does not count such waits.
    """
    found = []
    for _ in range(3):
        working = asyncio.ensure_future(work())
        worst = 0.0
        while not working.done():
            begin = clock()
            await asyncio.sleep(0.005)
            worst = max(worst, clock() - begin - 0.005)
        await working
        found.append(worst)
        if worst < LAG:
            break
    return min(found)


async def call(store: AsyncSQLProfileStore, n: int, chance: random.Random) -> None:
    """Make some call, of which a profile is whole afterwards."""
    user = chance.choice(USERS)
    kind = chance.choice(["get", "get", "put", "put", "put_many", "history", "undo"])
    profile = workers.generation(f"m.{n}", new_ids=n % 2 == 0, user=user)
    with contextlib.suppress(NothingToUndoError):
        if kind == "put":
            await store.put(profile)
        elif kind == "put_many":
            await store.put_many([profile])
        else:
            await getattr(store, kind)(user)


async def assert_sound(store: AsyncSQLProfileStore, url: str) -> None:
    assert checked_out(store) == 0
    if is_sqlite(url):
        assert integrity(url) == "ok"
    else:
        assert idle_in_transaction(url) == 0
    for user in USERS:
        profile = await store.get(user)
        workers.assert_whole(profile)
        events = await store.history(user)
        assert [e.version for e in events] == list(range(1, profile.version + 1))
        assert (await store.put(profile, profile.version)).version == profile.version + 1


async def test_cancelled_calls_give_their_connections_back(
    store: AsyncSQLProfileStore, database: str
) -> None:
    chance = random.Random(7)
    for user in USERS:
        await store.put(workers.generation("first.1", new_ids=False, user=user))
    cancelled = 0
    for start in range(0, 20 * CANCELS, AT_ONCE):
        if cancelled >= CANCELS:  # the quicker the server, the fewer calls are cancelled in time
            break
        calls = [asyncio.ensure_future(call(store, start + n, chance)) for n in range(AT_ONCE)]
        chance.shuffle(calls)
        for each in calls:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            each.cancel()
            if chance.random() < 0.5:  # impatient people press twice
                await asyncio.sleep(0)
                each.cancel()
        for ended in await asyncio.gather(*calls, return_exceptions=True):
            assert ended is None or isinstance(ended, asyncio.CancelledError), ended
            cancelled += ended is not None
    assert cancelled >= CANCELS
    await assert_sound(store, database)


async def test_no_connection_of_a_cancelled_call_is_left_to_the_collector(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # As in a loop that is busy: psycopg lets others on also where it need not wait.
    monkeypatch.setattr("psycopg.waiting.MAX_BUSY_TIME", 0.0)
    profiles = [Profile("ana", (Preference("one"),)), Profile("ana", (Preference("two"),))]
    async with AsyncSQLProfileStore(postgres_url) as store:
        await store.upgrade()
        await store.put(profiles[0])
        makes: list[Callable[[int], Coroutine[Any, Any, object]]] = [
            lambda n: store.put_many([profiles[n % 2]]),
            lambda n: store.put(profiles[n % 2]),
            lambda _: store.get("ana"),
        ]
        for make in makes:
            for steps in range(120):
                calling = asyncio.ensure_future(make(steps))
                if steps < 60:
                    for _ in range(steps):
                        await asyncio.sleep(0)
                else:
                    await asyncio.sleep((steps - 60) / 10_000)
                for _ in range(1 + steps % 2):
                    calling.cancel()
                    await asyncio.sleep(0)
                await asyncio.gather(calling, return_exceptions=True)
                assert checked_out(store) == 0
        gc.collect()
        assert [r.getMessage() for r in caplog.records if "collector" in r.getMessage()] == []
        profile, events = await store.get("ana"), await store.history("ana")
        assert [e.version for e in events] == list(range(1, profile.version + 1))


async def test_a_first_call_that_is_cancelled_keeps_nobody_from_the_tables(database: str) -> None:
    async with AsyncSQLProfileStore(database) as other:
        await other.upgrade()
    for steps in range(30):
        async with AsyncSQLProfileStore(database) as store:
            calls = [asyncio.ensure_future(store.get("ana")) for _ in range(3)]
            for _ in range(steps):
                await asyncio.sleep(0)
            calls[0].cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(c.exception(), UnknownUserError) for c in calls[1:])
            assert checked_out(store) == 0


async def test_a_cancelled_call_does_not_lose_a_database_in_memory() -> None:
    async with AsyncSQLProfileStore("sqlite://") as store:
        before = await store.put(Profile("ana", (Preference("one"),)))
        for steps in range(30):
            writing = asyncio.ensure_future(store.add("ana", Preference(f"text {steps}")))
            for _ in range(steps):
                await asyncio.sleep(0)
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing
            assert (await store.get("ana")).preferences[0] == before.preferences[0]
        profile = await store.get("ana")
        assert len(profile.preferences) == profile.version == len(await store.history("ana"))


async def test_many_calls_do_not_keep_the_loop(store: AsyncSQLProfileStore) -> None:
    async def work() -> None:
        async def use(user: str) -> None:
            for n in range(20):
                await store.add(user, Preference(f"text {n}", active=False))
                await store.get(user)
                await store.history(user)
            await store.erase(user)

        await asyncio.gather(*map(use, USERS))

    assert await lag_of(work) < LAG


async def test_an_import_and_an_export_do_not_keep_the_loop(store: AsyncSQLProfileStore) -> None:
    lines = [
        json.dumps({"user_id": f"u{n}", "preferences": [{"text": f"{n} {p}"} for p in "abcde"]})
        for n in range(2_000)
    ]

    async def work() -> None:
        await store.import_jsonl(lines)
        await store.export_jsonl(io.StringIO())

    assert await lag_of(work, time.thread_time) < LAG


async def test_waiting_for_another_writer_does_not_keep_the_loop(
    store: AsyncSQLProfileStore, database: str
) -> None:
    await store.put(Profile("ana"))

    async def work() -> None:
        with locked(database):
            writing = asyncio.ensure_future(store.add("ana", Preference("one")))
            reading = asyncio.ensure_future(store.get("ana"))
            await asyncio.sleep(3 * LAG)
            assert reading.done()
            assert not writing.done()
        await writing

    assert await lag_of(work) < LAG


def test_one_store_serves_one_loop_after_the_other(database: str) -> None:
    store = AsyncSQLProfileStore(database)

    async def work(n: int) -> list[int]:
        if n == 1:
            await store.upgrade()
            await store.put(Profile("ana"))
        # More calls than connections: what some then wait by is of this loop.
        reading = [store.get("ana") for _ in range(40)]
        assert await asyncio.gather(*reading) == [await store.get("ana")] * 40
        writing = (store.add("ana", Preference(f"{n} {k}", active=False)) for k in range(20))
        return sorted(profile.version for profile in await asyncio.gather(*writing))

    try:
        assert asyncio.run(work(1)) == list(range(2, 22))
        assert asyncio.run(work(2)) == list(range(22, 42))
    finally:
        asyncio.run(store.close())


async def test_the_first_calls_may_come_at_once(database: str) -> None:
    async with AsyncSQLProfileStore(database) as store:
        if is_sqlite(database):
            calls = [store.put(Profile(f"user{n}")) for n in range(20)]
            assert {p.version for p in await asyncio.gather(*calls)} == {1}
        else:
            await asyncio.gather(*(store.upgrade() for _ in range(5)))
        await store.check()
        first = [store.put(Profile("ana"), expected_version=0) for _ in range(20)]
        found = await asyncio.gather(*first, return_exceptions=True)
        assert [type(f) for f in found].count(Profile) == 1
        assert [type(f) for f in found].count(ProfileConflictError) == 19


async def test_an_upgrade_and_first_calls_may_come_at_once(database: str) -> None:
    async with AsyncSQLProfileStore(database) as store:
        calls: list[Any] = [store.upgrade() for _ in range(4)]
        calls += [store.add("ana", Preference(f"text {n}")) for n in range(4)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        # A server's tables may not be there yet for those who do not wait.
        refused = [f for f in found if isinstance(f, Exception)]
        assert all(isinstance(f, ProfileStoreSchemaError) for f in refused)
        assert not (is_sqlite(database) and refused)
        await store.add("ana", Preference("last"))


async def test_a_lent_engine_is_left_open(database: str) -> None:
    url = database.replace("sqlite:", "sqlite+aiosqlite:")
    engine = create_async_engine(url)
    async with AsyncSQLProfileStore(engine) as store:
        await store.upgrade()
        await store.add("ana", Preference("one"))
        before = engine.pool
    assert engine.pool is before
    assert before.checkedin() > 0  # type: ignore[attr-defined]
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM pj_profile")) == 1
    assert engine.sync_engine.get_execution_options() == {}
    with pytest.raises(ProfileStoreUnavailableError, match="closed"):
        await store.get("ana")
    await engine.dispose()


def test_engines_and_urls_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.db"
    sync_engine = create_engine(f"sqlite:///{file}")
    async_engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    wrong: list[tuple[Any, Any, str]] = [
        (AsyncSQLProfileStore, sync_engine, "SQLProfileStore"),
        (SQLProfileStore, async_engine, "AsyncSQLProfileStore"),
        (SQLProfileStore, async_engine.sync_engine, "AsyncSQLProfileStore"),
        (SQLProfileStore, f"sqlite+aiosqlite:///{file}", "synchronous driver"),
        (AsyncSQLProfileStore, f"sqlite+pysqlcipher:///{file}", "url_or_engine|install"),
        (AsyncSQLProfileStore, 7, "url_or_engine"),
    ]
    for store, given, match in wrong:
        with pytest.raises((InvalidParameterError, MissingDependencyError), match=match):
            store(given)
    assert not file.exists()


async def test_what_one_store_exports_another_imports(
    store: AsyncSQLProfileStore, tmp_path: Path
) -> None:
    lines = [
        json.dumps({"user_id": f"user{n:04}", "preferences": [{"text": f"text {n}", "id": "p1"}]})
        for n in range(1_200)
    ]
    done: list[int] = []
    report = await store.import_jsonl(iter(lines), progress=done.append)
    assert (report.written, report.unchanged, done[-1]) == (1_200, 0, 1_200)
    assert await store.export_jsonl(tmp_path / "a.jsonl") == 1_200
    assert [user async for user in store.list_users()] == [f"user{n:04}" for n in range(1_200)]

    async with AsyncSQLProfileStore(f"sqlite:///{tmp_path / 'other.db'}") as other:
        assert (await other.import_jsonl(tmp_path / "a.jsonl")).written == 1_200
        assert (await other.import_jsonl(tmp_path / "a.jsonl")).written == 0
        assert await other.export_jsonl(tmp_path / "b.jsonl") == 1_200
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()

    with SQLProfileStore(f"sqlite:///{tmp_path / 'other.db'}") as blocking:
        assert blocking.get("user0007").preferences[0].text == "text 7"
