"""The cache as the users of both stores meet it; `test_profile_cache` has its rules in detail."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from persona_judge_llm.errors import (
    InvalidPreferenceError,
    ProfileConflictError,
    UnknownUserError,
)
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.stores import blocking
from persona_judge_profiles import AsyncSQLProfileStore, SQLProfileStore
from tests.integration.profiles.databases import cache_of

TTL = 5.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Every statement that any engine sends to its database during the test."""
    sent: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture(params=["sync", "async"])
def store(request: pytest.FixtureRequest, sqlite_url: str, clock: Clock) -> Iterator[Any]:
    """A store with a cache, of each kind."""
    if request.param == "sync":
        made: Any = SQLProfileStore(sqlite_url, cache_ttl=TTL, cache_size=2)
    else:
        made = blocking(AsyncSQLProfileStore(sqlite_url, cache_ttl=TTL, cache_size=2))
    cache_of(made)._clock = clock
    yield made
    made.close()


@pytest.fixture
def other(sqlite_url: str, store: Any) -> Iterator[SQLProfileStore]:
    """Another process, as it were: a store that the first one does not know of."""
    with SQLProfileStore(sqlite_url) as other:
        yield other


def one(text: str = "one") -> Profile:
    return Profile("ana", (Preference(text, id="p1"),))


def tables_of(statements: list[str]) -> list[str]:
    return ["pj_preference" if "pj_preference" in s else "pj_profile" for s in statements]


def test_a_read_within_the_time_asks_nothing_and_later_asks_for_the_version(
    store: Any, clock: Clock, statements: list[str]
) -> None:
    stored = store.put(one())
    cache_of(store).forget("ana")
    for moment, asked in [
        (0.0, ["pj_preference"]),  # all of the profile
        (0.0, []),
        (TTL, []),
        (TTL + 0.1, ["pj_profile"]),  # the stamp alone
        (2 * TTL, []),  # for which it is fresh again
    ]:
        clock.now = 100.0 + moment
        statements.clear()
        assert store.get("ana") == stored
        assert tables_of(statements) == asked, moment


def test_a_store_sees_its_own_writes_at_once(store: Any) -> None:
    assert store.put(one()) == store.get("ana")
    changed = [
        lambda: store.add("ana", Preference("two")),
        lambda: store.update("ana", "p1", weight=2.0),
        lambda: store.reorder("ana", ["p2", "p1"]),
        lambda: store.remove("ana", "p2"),
        lambda: store.undo("ana"),
    ]
    for change in changed:
        assert change() == store.get("ana")
    store.put_many([one("of many")])
    assert store.get("ana").preferences[0].text == "of many"
    store.import_jsonl(['{"user_id": "ana", "preferences": [{"text": "of a line"}]}'])
    assert store.get("ana").preferences[0].text == "of a line"
    store.erase("ana")
    with pytest.raises(UnknownUserError):
        store.get("ana")


def test_what_another_store_wrote_is_seen_when_the_time_is_over(
    store: Any, other: SQLProfileStore, clock: Clock, statements: list[str]
) -> None:
    before = store.put(one())
    store.get("ana")
    after = other.add("ana", Preference("two"))
    assert store.get("ana") == before
    clock.now += TTL + 0.1
    statements.clear()
    assert store.get("ana") == after
    assert tables_of(statements) == ["pj_profile", "pj_preference"]


def test_a_write_goes_by_the_database_and_not_by_what_is_kept(
    store: Any, other: SQLProfileStore
) -> None:
    store.put(one())
    other.add("ana", Preference("two"))
    with pytest.raises(ProfileConflictError):
        store.put(one(), expected_version=1)
    assert store.get("ana").version == 2  # after a refusal the store asks
    other.add("ana", Preference("three"))
    assert [p.text for p in store.add("ana", Preference("four")).preferences] == [
        *("one", "two", "three", "four")
    ]


def test_it_keeps_no_more_than_it_may(store: Any) -> None:
    store.put_many(Profile(f"user{n}") for n in range(50))
    for n in range(50):
        store.add(f"user{n}", Preference("one"))
        store.get(f"user{n}")
    assert len(cache_of(store)._entries) == 2


def test_who_is_unknown_is_asked_for_each_time(store: Any, other: SQLProfileStore) -> None:
    with pytest.raises(UnknownUserError):
        store.get("ana")
    stored = other.put(one())
    assert store.get("ana") == stored


def test_two_tenants_share_no_entry(sqlite_url: str) -> None:
    with (
        SQLProfileStore(sqlite_url, "a", cache_ttl=TTL) as first,
        SQLProfileStore(sqlite_url, "b", cache_ttl=TTL) as second,
    ):
        first.put(one("of a"))
        second.put(one("of b"))
        assert first.get("ana").preferences[0].text == "of a"
        assert second.get("ana").preferences[0].text == "of b"


@pytest.mark.parametrize(
    "user",
    [
        *(None, 7, b"ana", ["ana"], {"ana": 1}, {"ana"}, ("ana",), float("nan")),
        *("", " ", "a\0b", "\ud800", "x" * 256),
    ],
    ids=ascii,
)
def test_what_can_be_no_user_is_refused_by_name(store: Any, user: Any) -> None:
    store.put(one())
    for call in (store.get, store.get_version, store.history, store.erase, store.summary):
        with pytest.raises(InvalidPreferenceError, match="user_id"):
            call(user)
    with pytest.raises(InvalidPreferenceError, match="user_id"):
        store.add(user, Preference("one"))
