"""Reads: uncached, cached, on an event loop, and LangGraph's."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Engine, event

from benchmarks.profile_stores import people, plain
from benchmarks.profile_stores.bench import Bench
from benchmarks.profile_stores.theirs import NAMESPACE, name
from benchmarks.profile_stores.timing import THREADS, Call, in_turn, pace, rate_of_threads
from benchmarks.results import Check
from persona_judge_llm.preferences import Profile
from persona_judge_llm.profile_lines import profile_from
from persona_judge_profiles import AsyncSQLProfileStore, SQLProfileStore

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

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
    cheaper = _one_thread(bench, rounds)
    _threads(bench, rounds, cheaper)
    _cached(bench)
    asyncio.run(_on_loop(bench, rounds))


def _one_thread(bench: Bench, rounds: Sequence[Sequence[str]]) -> str | None:
    """Time the reads in turn; return LangGraph's cheaper one, which ours is compared with."""
    with (
        SQLProfileStore(bench.url) as store,
        plain.reader(bench) as alone,
        bench.theirs() as both,
    ):
        if len(store.get(people.user_id(0)).preferences) != people.PREFERENCES:
            raise AssertionError("the store lacks preferences")
        theirs = _calls(bench, both)
        methods: dict[str, Call] = {
            READ: store.get,
            "version of a user": store.get_version,
            plain.READ: alone,
        }
        if both is not None:
            made = f"{name(bench.databases)}: get, made a Profile"
            methods |= theirs | {made: lambda user: _profile(both[0], user)}
        found = in_turn(methods, rounds)
    cpu = {method: [pace.cpu for pace in paces] for method, paces in found.items()}
    rate = {method: [pace.rate for pace in paces] for method, paces in found.items()}
    for method in methods:
        goal = CPU_GOALS[bench.databases.name] if method == READ else None
        bench.note(method, CPU, cpu[method], goal, at_most=True)
        bench.note(method, RATE, rate[method])
    bench.compare((f"{READ}, CPU", cpu[READ]), (plain.READ, cpu[plain.READ]), None, at_most=True)
    if both is None:
        return None
    for other in (*theirs, made):
        bench.compare((f"{READ}, CPU", cpu[READ]), (other, cpu[other]), at_most=True)
        bench.compare((f"{READ}, {RATE}", rate[READ]), (other, rate[other]))
    return min(theirs, key=lambda method: statistics.median(cpu[method]))


def _calls(bench: Bench, both: "tuple[BaseStore, BaseStore] | None") -> dict[str, Call]:
    """Return how LangGraph's stores are read in either layout."""
    if both is None:
        return {}
    by_user, by_preference = both
    calls: dict[str, Call] = {
        f"{name(bench.databases)}: get, an item a user": lambda user: by_user.get(
            (NAMESPACE,), user
        ),
        f"{name(bench.databases)}: search, an item a preference": lambda user: by_preference.search(
            (NAMESPACE, user), limit=10
        ),
    }
    item, items = (call(people.user_id(0)) for call in calls.values())
    listed = getattr(item, "value", {}).get("preferences", ())
    found = len(items) if isinstance(items, list) else 0
    if not len(listed) == found == people.PREFERENCES:
        raise AssertionError("LangGraph's stores lack preferences")
    return calls


def _profile(store: "BaseStore", user: str) -> Profile:
    """Return what our store returns and the engine needs: checked preferences."""
    item = store.get((NAMESPACE,), user)
    if item is None:
        raise AssertionError(f"{user} is not there")
    return profile_from(user, item.value)


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
    # More than were asked for: a question whether the connection still lives is one, too.
    each = [len(arrived) / _COUNTED]
    bench.note("statements that reach the database", "a read", each, 1.0, at_most=True)


def _threads(bench: Bench, rounds: Sequence[Sequence[str]], cheaper: str | None) -> None:
    """Read from several threads at once."""
    unit = f"reads/s of {THREADS} threads"
    ours, theirs = [], []
    with SQLProfileStore(bench.url) as store, bench.theirs(pooled=True) as both:
        calls = _calls(bench, both)
        for keys in rounds:
            ours.append(rate_of_threads(store.get, keys))
            if cheaper is not None:
                theirs.append(rate_of_threads(calls[cheaper], keys))
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


async def _on_loop(bench: Bench, rounds: Sequence[Sequence[str]]) -> None:
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
