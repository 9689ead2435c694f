"""Writes: one preference, many profiles, erasing; and LangGraph's puts."""

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.profile_stores import people, plain, theirs
from benchmarks.profile_stores.bench import Bench
from benchmarks.profile_stores.theirs import NAMESPACE
from benchmarks.profile_stores.timing import Call, latencies, percentile
from persona_judge_llm.preferences import Profile
from persona_judge_profiles import SQLProfileStore

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

UPSERT = "change of one preference at a version"
UPSERT_GOALS = {"SQLite": 800.0, "PostgreSQL": 400.0}
WRITES = "writes/s"
MANY = "put_many of new users"
_BATCH = 1_000
"""Items in one of LangGraph's batches, as many as ours has profiles in a transaction."""


def measure(bench: Bench) -> None:
    """Time every way to write; the database is another one afterwards."""
    with SQLProfileStore(bench.url) as store:
        _single(bench, store)
        _many(bench, store)
        _erased(bench, store)


def upsert(store: SQLProfileStore) -> Call:
    """Return what changes a user's preference at the version that the store is known to have."""
    versions: dict[str, int] = {}
    numbers = count(1)

    def change(user: str) -> None:
        weight = 1.0 + next(numbers) % 1_000_000 / 1e6  # another one at every call
        expected = versions.get(user, 1)
        changed = store.update(user, "p2", expected_version=expected, weight=weight)
        versions[user] = changed.version

    return change


def blind_put(store: "BaseStore") -> Call:
    """Return what writes an item of one preference over whatever is there."""

    def change(user: str) -> None:
        store.put((NAMESPACE, user), "p2", people.values(7)["preferences"][1])

    return change


def read_and_put(store: "BaseStore") -> Call:
    """Return what changes one preference of a user's item and counts its version."""

    def change(user: str) -> None:
        item = store.get((NAMESPACE,), user)
        if item is None:
            raise AssertionError(f"{user} is not there")
        value = dict(item.value)
        value["preferences"][1]["weight"] += 0.001
        value["version"] = value.get("version", 1) + 1
        store.put((NAMESPACE,), user, value)

    return change


def _single(bench: Bench, store: SQLProfileStore) -> None:
    name = theirs.name(bench.databases)
    blind, counted = f"{name}: put, no version", f"{name}: get and put, an item a user"
    shipped = f"{blind}, file settings as it comes"
    with bench.theirs() as both:
        methods: dict[str, Call] = {UPSERT: upsert(store)}
        if both is not None:
            users, preferences = both
            methods |= {blind: blind_put(preferences), counted: read_and_put(users)}
        taken: dict[str, list[list[float]]] = {}
        for _ in range(bench.sizes.rounds):
            keys = bench.keys(bench.sizes.writes)
            for method, call in methods.items():
                taken.setdefault(method, []).append(latencies(call, keys))
        if both is not None and bench.databases.name == "SQLite":
            theirs.harden(both[1])
            fresh = [bench.keys(bench.sizes.writes) for _ in range(bench.sizes.rounds)]
            taken[shipped] = [latencies(methods[blind], keys) for keys in fresh]
    rates = {m: [len(r) / sum(r) * 1e3 for r in rounds] for m, rounds in taken.items()}
    for method, rounds in taken.items():
        goal = UPSERT_GOALS.get(bench.databases.name) if method == UPSERT else None
        bench.note(method, WRITES, rates[method], goal)
        for share in (0.5, 0.99):
            values = [percentile(sorted(times), share) for times in rounds]
            bench.note(method, f"ms, p{share * 100:.0f}", values)
    for method in (blind, counted, shipped):
        if method in rates:
            bench.compare((UPSERT, rates[UPSERT]), (method, rates[method]))


def _many(bench: Bench, store: SQLProfileStore) -> None:
    many, rounds = bench.sizes.many, bench.sizes.rounds
    strangers = (people.profile(number) for number in count(bench.sizes.users))
    theirs_strangers = count(bench.sizes.users)
    rates: dict[str, list[float]] = {}
    name = theirs.name(bench.databases)
    with bench.theirs() as both, plain.writer(bench) as alone:
        for _ in range(rounds):
            profiles = list(islice(strangers, many))
            ready = plain.ready(bench, profiles)
            calls: dict[str, Callable[[], object]] = {
                MANY: lambda: store.put_many(profiles),  # noqa: B023
                plain.WRITE: lambda: alone(ready),  # noqa: B023
            }
            if both is not None:
                numbers = list(islice(theirs_strangers, many))
                by_user, by_preference = both
                calls |= {
                    f"{name}: batch of puts, an item a user": lambda: _put_batches(
                        by_user,  # noqa: B023
                        _items(numbers),  # noqa: B023
                    ),
                    f"{name}: batch of puts, an item a preference": lambda: _put_batches(
                        by_preference,  # noqa: B023
                        _items_of_each(numbers),  # noqa: B023
                    ),
                }
            for method, call in calls.items():
                rates.setdefault(method, []).append(many / _seconds(call))
    for method, values in rates.items():
        bench.note(method, "users/s", values)
        if method != MANY:
            bench.compare(
                (MANY, rates[MANY]), (method, values), None if method == plain.WRITE else 1.0
            )
    few = profiles[: max(1, many // 5)]
    unchanged = len(few) / _seconds(lambda: store.put_many(few))
    bench.note("put_many of users who are stored like that", "users/s", [unchanged])
    other = [Profile(p.user_id, (*p.preferences, people.addition(n))) for n, p in enumerate(few)]
    bench.note(
        "put_many of users who changed",
        "users/s",
        [len(few) / _seconds(lambda: store.put_many(other))],
    )


_Item: TypeAlias = "tuple[tuple[str, ...], str, dict[str, Any]]"


def _items(numbers: list[int]) -> "Iterator[_Item]":
    for number in numbers:
        yield (NAMESPACE,), people.user_id(number), people.values(number)


def _items_of_each(numbers: list[int]) -> "Iterator[_Item]":
    for number in numbers:
        for preference in people.values(number)["preferences"]:
            yield (NAMESPACE, people.user_id(number)), preference["id"], preference


def _put_batches(store: "BaseStore", items: "Iterator[_Item]") -> None:
    from langgraph.store.base import PutOp

    while batch := list(islice(items, _BATCH)):
        store.batch(PutOp(*item) for item in batch)


def _erased(bench: Bench, store: SQLProfileStore) -> None:
    gone = sorted(set(bench.keys(bench.sizes.erased)))
    times = latencies(store.erase, gone)
    bench.note("erase", WRITES, [len(times) / sum(times) * 1e3])
    bench.note("erase", "ms, p50", [statistics.median(times)])


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
