"""Reads and writes that overtake each other: who was served something newer is served no older.

Each test holds one call at the place where others can overtake it, and lets it go on later.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from persona_judge_llm.errors import UnknownUserError
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles import SQLProfileStore, reads
from tests.integration.profiles.databases import cache_of

TTL = 5.0
SECONDS = 60


@pytest.fixture
def now() -> list[float]:
    """The time by the cache's clock."""
    return [100.0]


@pytest.fixture
def store(sqlite_url: str, now: list[float]) -> Iterator[SQLProfileStore]:
    with SQLProfileStore(sqlite_url, cache_ttl=TTL, cache_size=2) as store:
        cache_of(store)._clock = lambda: now[0]
        yield store


@pytest.fixture
def other(sqlite_url: str, store: SQLProfileStore) -> Iterator[SQLProfileStore]:
    """Another process, as it were: a store that the first one does not know of."""
    with SQLProfileStore(sqlite_url) as other:
        yield other


class Held:
    """A call that waits at a place until it is let go."""

    def __init__(self) -> None:
        self.arrived, self.let_go = threading.Event(), threading.Event()
        self.result: Callable[[], Any] = lambda: None

    def wait(self) -> None:
        if not self.arrived.is_set():  # the first to come; the others pass
            self.arrived.set()
            assert self.let_go.wait(SECONDS)

    def go_on(self) -> Any:
        self.let_go.set()
        return self.result()


@contextmanager
def held(call: Callable[[], object], owner: object, name: str, *, before: bool) -> Iterator[Held]:
    """Make the call in a thread, which is held before or after it calls `owner.name`."""
    hold = Held()
    original = getattr(owner, name)

    def replaced(*args: Any) -> object:
        if before:
            hold.wait()
            return original(*args)
        result = original(*args)
        hold.wait()
        return result

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(owner, name, replaced)
        future = pool.submit(call)
        hold.result = lambda: future.result(SECONDS)
        try:
            assert hold.arrived.wait(SECONDS)
            yield hold
        finally:
            hold.let_go.set()


def reading(store: SQLProfileStore) -> Any:
    """Hold a read that has read from the database and not yet told the cache."""
    return held(lambda: read(store), reads, "read", before=False)


def writing(store: SQLProfileStore, call: Callable[[], object]) -> Any:
    """Hold a write that is committed and has not yet told the cache."""
    return held(call, cache_of(store), "forget", before=True)


def read(store: SQLProfileStore) -> str:
    """What the store says of the user: text and version, or that there is none."""
    try:
        profile = store.get("ana")
    except UnknownUserError:
        return "unknown"
    return f"{profile.preferences[0].text} {profile.version}"


def put(store: SQLProfileStore, text: str) -> None:
    store.put(Profile("ana", (Preference(text, id="p1"),)))


def crowd_out(store: SQLProfileStore) -> None:
    """Read others, until there is no place for the user in the cache."""
    for user in ("ben", "cleo"):
        store.get(user)


@pytest.fixture(autouse=True)
def others(other: SQLProfileStore) -> None:
    other.put_many([Profile("ben"), Profile("cleo")])


def test_a_read_that_a_write_overtakes(store: SQLProfileStore, other: SQLProfileStore) -> None:
    put(other, "old")
    with reading(store) as reader:
        put(store, "new")
        assert reader.go_on() == "new 2"
    assert read(store) == "new 2"


def test_a_read_that_a_write_of_many_overtakes(
    store: SQLProfileStore, other: SQLProfileStore
) -> None:
    put(other, "old")
    with reading(store) as reader:
        store.put_many([Profile("ana", (Preference("new"),))])
        assert reader.go_on() == "new 2"
    assert read(store) == "new 2"


def test_a_read_that_an_erase_overtakes(store: SQLProfileStore, other: SQLProfileStore) -> None:
    put(other, "old")
    with reading(store) as reader:
        store.erase("ana")
        assert reader.go_on() == "unknown"
    assert read(store) == "unknown"


def test_a_read_that_an_erase_and_a_return_overtake(
    store: SQLProfileStore, other: SQLProfileStore
) -> None:
    put(other, "old")
    with reading(store) as reader:
        store.erase("ana")
        put(store, "new")
        assert reader.go_on() == "new 1"
    assert read(store) == "new 1"


def test_a_read_that_another_read_overtakes(store: SQLProfileStore, other: SQLProfileStore) -> None:
    put(other, "old")
    with reading(store) as reader:
        put(other, "new")
        assert read(store) == "new 2"
        reader.go_on()
    assert read(store) == "new 2"


def test_a_read_that_a_read_of_the_next_life_overtakes(
    store: SQLProfileStore, other: SQLProfileStore
) -> None:
    put(other, "older")
    put(other, "old")
    with reading(store) as reader:
        other.erase("ana")
        put(other, "new")
        assert read(store) == "new 1"
        reader.go_on()
    assert read(store) == "new 1"


def test_a_read_that_a_read_of_nobody_overtakes(
    store: SQLProfileStore, other: SQLProfileStore
) -> None:
    put(other, "old")
    with reading(store) as reader:
        other.erase("ana")
        assert read(store) == "unknown"
        reader.go_on()
    assert read(store) == "unknown"


def test_a_read_that_another_overtakes_which_is_crowded_out_again(
    store: SQLProfileStore, other: SQLProfileStore
) -> None:
    put(other, "old")
    with reading(store) as reader:
        put(other, "new")
        assert read(store) == "new 2"
        crowd_out(store)
        reader.go_on()
    assert read(store) == "new 2"


def test_a_read_that_took_long_is_no_younger_for_it(
    store: SQLProfileStore, other: SQLProfileStore, now: list[float]
) -> None:
    put(other, "old")
    with reading(store) as reader:
        put(other, "new")
        now[0] += 2 * TTL
        reader.go_on()
    assert read(store) == "new 2"  # which was written longer ago than may go unseen


def test_a_write_that_another_overtakes(store: SQLProfileStore) -> None:
    put(store, "old")
    with writing(store, lambda: put(store, "new")) as writer:
        put(store, "newer")
        assert read(store) == "newer 3"
        writer.go_on()
    assert read(store) == "newer 3"


def test_a_write_that_another_overtakes_which_is_crowded_out_again(store: SQLProfileStore) -> None:
    put(store, "old")
    with writing(store, lambda: put(store, "new")) as writer:
        put(store, "newer")
        assert read(store) == "newer 3"
        crowd_out(store)
        writer.go_on()
    assert read(store) == "newer 3"


def test_a_write_that_an_erase_overtakes(store: SQLProfileStore) -> None:
    put(store, "old")
    with writing(store, lambda: put(store, "new")) as writer:
        store.erase("ana")
        assert read(store) == "unknown"
        writer.go_on()
    assert read(store) == "unknown"


def test_a_write_that_an_erase_and_a_return_overtake(store: SQLProfileStore) -> None:
    put(store, "old")
    with writing(store, lambda: put(store, "new")) as writer:
        store.erase("ana")
        put(store, "of the next life")
        writer.go_on()
    assert read(store) == "of the next life 1"


def test_a_write_that_another_program_overtakes(
    store: SQLProfileStore, other: SQLProfileStore, now: list[float]
) -> None:
    put(store, "old")
    now[0] += TTL + 0.1
    with writing(store, lambda: put(store, "new")) as writer:
        put(other, "newer")
        assert read(store) == "newer 3"
        writer.go_on()
    assert read(store) == "newer 3"


def test_a_write_of_which_nobody_knows_whether_it_was_stored(
    store: SQLProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "old")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache_of(store), "forget", fail)  # the transaction has ended by then
        with pytest.raises(KeyboardInterrupt):
            put(store, "new")
    assert read(store) == "new 2"


def test_nobody_sees_a_version_go_back_whoever_writes(
    store: SQLProfileStore, other: SQLProfileStore
) -> None:
    put(store, "old")
    ended = threading.Event()

    def look() -> list[int]:
        seen = []
        while not ended.is_set():
            seen.append(store.get("ana").version)
            crowd_out(store)
        return seen

    with ThreadPoolExecutor(3) as pool:
        looking = [pool.submit(look) for _ in range(3)]
        try:
            for n in range(50):
                put(store if n % 2 else other, f"text {n}")
                cache_of(store).fresh("ben")
        finally:
            ended.set()
        for each in looking:
            seen = each.result(SECONDS)
            assert seen == sorted(seen)
            assert seen
