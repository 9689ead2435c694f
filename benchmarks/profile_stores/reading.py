"""Reads: uncached, cached, on an event loop, and LangGraph's."""

import asyncio
import statistics
import time
from collections.abc import Sequence

from sqlalchemy import Engine, event

from benchmarks.profile_stores import people
from benchmarks.profile_stores.bench import Bench
from benchmarks.profile_stores.theirs import NAMESPACE, name
from benchmarks.profile_stores.timing import THREADS, Call, Pace, in_turn, pace, rate_of_threads
from benchmarks.results import Check
from persona_judge_profiles import AsyncSQLProfileStore, SQLProfileStore

READ = "read of a user"
CPU_GOALS = {"SQLite": 100.0, "PostgreSQL": 250.0}
CACHED_GOAL = 2.0
CPU, RATE = "µs of client CPU", "reads/s"
HOUR = 3600.0
_COUNTED = 100
_CROWD = 1_000


def measure(bench: Bench) -> None:
    """Time every way to read."""
    _statements(bench)
    rounds = [bench.keys(bench.sizes.reads) for _ in range(bench.sizes.rounds)]
    with SQLProfileStore(bench.url) as store, bench.theirs() as both:
        if len(store.get(people.user_id(0)).preferences) != people.PREFERENCES:
            raise AssertionError("the store lacks preferences")
        methods: dict[str, Call] = {READ: store.get, "version of a user": store.get_version}
        by_user = f"{name(bench.databases)}: get, an item a user"
        by_preference = f"{name(bench.databases)}: search, an item a preference"
        if both is not None:
            users, preferences = both
            methods[by_user] = lambda user: users.get((NAMESPACE,), user)
            methods[by_preference] = lambda user: preferences.search((NAMESPACE, user), limit=10)
            _same(methods[by_user], methods[by_preference])
        found = in_turn(methods, rounds)
    for method, paces in found.items():
        goal = CPU_GOALS.get(bench.databases.name) if method == READ else None
        bench.note(method, CPU, [p.cpu for p in paces], goal, at_most=True)
        bench.note(method, RATE, [p.rate for p in paces])
    if both is not None:
        cheaper = min((by_user, by_preference), key=lambda m: _middle(found[m]))
        ours, theirs = found[READ], found[cheaper]
        bench.compare(
            (f"{READ}, CPU", [p.cpu for p in ours]),
            (cheaper, [p.cpu for p in theirs]),
            at_most=True,
        )
        bench.compare(
            (f"{READ}, reads/s", [p.rate for p in ours]), (cheaper, [p.rate for p in theirs])
        )
        _threads(bench, rounds, cheaper, by_preference)
    else:
        _threads(bench, rounds, None, by_preference)
    _cached(bench)
    _on_loop(bench, rounds)


def _same(by_user: Call, by_preference: Call) -> None:
    """Make sure that LangGraph's stores hold what ours does."""
    user = people.user_id(0)
    item, items = by_user(user), by_preference(user)
    listed = getattr(item, "value", {}).get("preferences", ())
    if len(listed) != people.PREFERENCES or len(list(items)) != people.PREFERENCES:  # type: ignore[call-overload]
        raise AssertionError("LangGraph's stores lack preferences")


def _middle(paces: Sequence[Pace]) -> float:
    return statistics.median(p.cpu for p in paces)


def _statements(bench: Bench) -> None:
    """Count the statements of uncached reads: those that we ask for, and those that arrive."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with bench.databases.watched(bench.ours) as seen, SQLProfileStore(bench.url) as store:
            store.get(people.user_id(0))  # the first call looks at the tables
            asked.clear()
            before = len(seen())
            for user in bench.keys(_COUNTED):
                store.get(user)
            arrived = seen()[before:]
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    begun = [s for s in arrived if "BEGIN" in s.upper()]
    where = bench.databases.name
    found = f"{len(asked)} in {_COUNTED} reads"
    check = Check(f"{where}: one statement a read", len(asked) == _COUNTED, found)
    bench.result.checks.append(check)
    found = f"{len(begun)} BEGIN among {len(arrived)} that reached the database"
    check = Check(f"{where}: no transaction around a read", not begun, found)
    bench.result.checks.append(check)
    bench.note("statements that reach the database in a read", "", [len(arrived) / _COUNTED])


def _threads(
    bench: Bench, rounds: Sequence[Sequence[str]], cheaper: str | None, by_preference: str
) -> None:
    """Read from several threads at once."""
    unit = f"reads/s of {THREADS} threads"
    ours, theirs = [], []
    with SQLProfileStore(bench.url) as store, bench.theirs(pooled=True) as both:
        for keys in rounds:
            ours.append(rate_of_threads(store.get, keys))
            if both is None or cheaper is None:
                continue
            users, preferences = both
            if cheaper == by_preference:
                call: Call = lambda user: preferences.search((NAMESPACE, user), limit=10)  # noqa: E731
            else:
                call = lambda user: users.get((NAMESPACE,), user)  # noqa: E731
            theirs.append(rate_of_threads(call, keys))
    bench.note(READ, unit, ours)
    if cheaper is not None:
        bench.note(cheaper, unit, theirs)
        bench.compare((f"{READ}, {unit}", ours), (cheaper, theirs))


def _cached(bench: Bench) -> None:
    crowd = bench.keys(min(_CROWD, bench.sizes.reads))
    with SQLProfileStore(bench.url, cache_ttl=HOUR) as store:
        for user in crowd:
            store.get(user)
        paces = [pace(store.get, crowd * 10) for _ in range(bench.sizes.rounds)]
    bench.note(f"{READ}, cached", CPU, [p.cpu for p in paces], CACHED_GOAL, at_most=True)
    with SQLProfileStore(bench.url, cache_ttl=1e-9) as store:  # only the stamp is asked for
        for user in crowd:
            store.get(user)
        paces = [pace(store.get, crowd) for _ in range(bench.sizes.rounds)]
    bench.note(f"{READ}, cached, stale and unchanged", CPU, [p.cpu for p in paces])


def _on_loop(bench: Bench, rounds: Sequence[Sequence[str]]) -> None:
    asyncio.run(_reads_on_loop(bench, rounds))


async def _reads_on_loop(bench: Bench, rounds: Sequence[Sequence[str]]) -> None:
    cpu, rate, together = [], [], []
    async with AsyncSQLProfileStore(bench.url) as store:
        for user in rounds[0][:50]:
            await store.get(user)
        for keys in rounds:
            began, start = time.process_time(), time.perf_counter()
            for user in keys:
                await store.get(user)
            rate.append(len(keys) / (time.perf_counter() - start))
            cpu.append((time.process_time() - began) / len(keys) * 1e6)

            async def work(part: Sequence[str]) -> None:
                for user in part:
                    await store.get(user)

            start = time.perf_counter()
            await asyncio.gather(*(work(keys[first::THREADS]) for first in range(THREADS)))
            together.append(len(keys) / (time.perf_counter() - start))
    bench.note(f"{READ}, async store", CPU, cpu)
    bench.note(f"{READ}, async store", RATE, rate)
    bench.note(f"{READ}, async store", f"reads/s of {THREADS} tasks", together)
