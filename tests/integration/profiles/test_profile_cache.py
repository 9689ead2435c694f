"""The cache of profiles: never an older one than was served before; no waiting, an own clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from persona_judge_llm.errors import (
    InvalidParameterError,
    InvalidPreferenceError,
    ProfileConflictError,
    UnknownUserError,
)
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles import SQLProfileStore, reads
from persona_judge_profiles.cache import ProfileCache
from persona_judge_profiles.rows import Stamp, Stamped


def stamped(user_id: str, version: int, incarnation: int = 1) -> Stamped:
    return Stamped(Profile(user_id, version=version), Stamp(incarnation, version), 1)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'p.db'}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[SQLProfileStore]:
    with SQLProfileStore(url, cache_ttl=10.0, cache_size=3) as store:
        store._cache._clock = clock
        yield store


@pytest.fixture
def other(url: str) -> Iterator[SQLProfileStore]:
    with SQLProfileStore(url) as store:
        yield store


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """Every statement that any engine sends to its database during the test."""
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield statements
    event.remove(Engine, "before_cursor_execute", note)


def text(store: SQLProfileStore, user_id: str = "ana") -> str:
    return store.get(user_id).preferences[0].text


def test_within_the_time_nothing_is_asked_and_after_it_only_the_stamp(
    store: SQLProfileStore, other: SQLProfileStore, clock: Clock, sent: list[str]
) -> None:
    other.add("ana", Preference("one"))
    assert text(store) == "one"
    sent.clear()
    clock.now += 10.0
    assert text(store) == "one"
    assert sent == []
    clock.now += 0.1
    assert text(store) == "one"
    assert len(sent) == 1
    assert "pj_preference" not in sent[0]
    sent.clear()
    assert text(store) == "one"
    assert sent == []


def test_a_write_of_another_store_is_seen_after_the_time(
    store: SQLProfileStore, other: SQLProfileStore, clock: Clock
) -> None:
    other.add("ana", Preference("one", id="p"))
    assert text(store) == "one"
    other.update("ana", "p", text="two")
    assert text(store) == "one"
    clock.now += 11
    assert text(store) == "two"


def test_own_writes_are_seen_at_once(store: SQLProfileStore) -> None:
    store.add("ana", Preference("one", id="p"))
    assert text(store) == "one"
    store.update("ana", "p", text="two")
    assert text(store) == "two"
    store.undo("ana")
    assert text(store) == "one"
    store.put_many([Profile("ana", (Preference("three"),))])
    assert text(store) == "three"
    store.import_jsonl(['{"user_id": "ana", "preferences": [{"text": "four"}]}'])
    assert text(store) == "four"
    with pytest.raises(ProfileConflictError):
        store.put(Profile("ana"), expected_version=1)
    assert text(store) == "four"
    store.erase("ana")
    with pytest.raises(UnknownUserError):
        store.get("ana")


def test_a_user_who_was_erased_and_came_back_is_another_one(
    store: SQLProfileStore, other: SQLProfileStore, clock: Clock
) -> None:
    other.add("ana", Preference("old"))
    assert text(store) == "old"
    other.erase("ana")
    other.add("ana", Preference("new"))
    clock.now += 11
    assert store.get("ana").version == 1
    assert text(store) == "new"


def test_a_user_erased_elsewhere_is_unknown_after_the_time(
    store: SQLProfileStore, other: SQLProfileStore, clock: Clock
) -> None:
    other.add("ana", Preference("old"))
    assert text(store) == "old"
    other.erase("ana")
    clock.now += 11
    with pytest.raises(UnknownUserError):
        store.get("ana")
    with pytest.raises(UnknownUserError):
        store.get("ana")


@pytest.mark.parametrize("change", ["update", "erase", "erase and come back", "erase elsewhere"])
def test_a_slow_reader_brings_nothing_old_back(
    store: SQLProfileStore,
    other: SQLProfileStore,
    change: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.put(Profile("ana", (Preference("old", id="p"),)))
    store._cache.forget("ana")
    read = reads.read
    served: list[str] = []

    def step() -> None:
        if change == "update":
            store.update("ana", "p", text="new")
        elif change == "erase elsewhere":
            other.erase("ana")
        else:
            store.erase("ana")
            if change != "erase":
                store.add("ana", Preference("new"))

    def slow(*args: object) -> Stamped | None:
        found = read(*args)  # type: ignore[arg-type]
        monkeypatch.setattr(reads, "read", read)
        # The reader holds what it read, and somebody else is served something newer meanwhile.
        step()
        served.append(outcome())
        return found

    def outcome() -> str:
        try:
            return text(store)
        except UnknownUserError:
            return "nobody"

    monkeypatch.setattr(reads, "read", slow)
    outcome()  # the slow reader itself may tell what was true when it read
    served += [outcome(), outcome()]
    assert set(served) == {"new" if change in ("update", "erase and come back") else "nobody"}


def test_the_least_lately_used_goes_first(store: SQLProfileStore, sent: list[str]) -> None:
    store.put_many([Profile(user) for user in "abcd"])
    for user in "abcad":  # b is the least lately used when d comes
        store.get(user)
    sent.clear()
    for user in "acd":
        store.get(user)
    assert sent == []
    store.get("b")
    assert len(sent) == 1
    assert len(store._cache._entries) == 3


def test_without_a_cache_every_read_asks(url: str, sent: list[str]) -> None:
    for settings in ({}, {"cache_ttl": 5.0, "cache_size": 0}):
        with SQLProfileStore(url, **settings) as store:  # type: ignore[arg-type]
            store.put(Profile("ana"))
            sent.clear()
            store.get("ana")
            store.get("ana")
            assert len(sent) == 2


def test_no_older_version_replaces_a_newer_one() -> None:
    cache = ProfileCache(10.0, 3)
    cache.fill("ana", stamped("ana", 5), cache.mark("ana"))
    served = cache.fill("ana", stamped("ana", 4), cache.mark("ana"))
    assert served is not None
    assert served.version == 5
    found = cache.fresh("ana")
    assert found is not None
    assert found.version == 5
    cache.fill("ana", stamped("ana", 1, incarnation=2), cache.mark("ana"))
    found = cache.fresh("ana")
    assert found is not None
    assert found.version == 1


@pytest.mark.parametrize("user_id", [None, 7, [], {}, "", "a\0b"])
def test_an_odd_user_id_is_refused_as_without_a_cache(store: SQLProfileStore, user_id: str) -> None:
    with pytest.raises(InvalidPreferenceError, match="user_id"):
        store.get(user_id)


@pytest.mark.parametrize(
    "settings",
    [{"cache_ttl": v} for v in (-1, float("nan"), float("inf"), True, "1", None)]
    + [{"cache_size": v} for v in (-1, 1.5, True, None)],
)
def test_settings_that_cannot_be_used_are_refused(url: str, settings: dict[str, float]) -> None:
    with pytest.raises(InvalidParameterError, match=next(iter(settings))):
        SQLProfileStore(url, **settings)  # type: ignore[arg-type]


def test_a_write_with_an_unsure_outcome_is_forgotten(
    store: SQLProfileStore, monkeypatch: pytest.MonkeyPatch, sent: list[str]
) -> None:
    store.add("ana", Preference("one", id="p"))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("persona_judge_profiles.writes.run", fail)
    with pytest.raises(KeyboardInterrupt):
        store.update("ana", "p", text="two")
    sent.clear()
    assert text(store) == "one"
    assert len(sent) == 1
