"""No user is another: any row of calls does to each what it does to one who is alone.

Every call goes to the store under test and to a dictionary for each tenant. Both must say the
same, and at the end no user of either tenant may hold anything that was not meant for them.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_judge_llm.errors import PersonaJudgeError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.store_suite.common import answer
from persona_judge_profiles import SQLProfileStore
from tests.postgres_server import PostgresServer

CALLS = 50
"""In one row."""
ROWS = {"sqlite file": 70, "sqlite memory": 50, "postgres": 80}
"""So many rows, with a cache and as many without one: 20,000 calls."""
USERS = [
    *("user1", "user10", "user_1", "userX1", "USER1", "user1 ", "a.b", "a%", "../b"),
    *("\u00e9", "e\u0301"),  # é, composed and not
]
TENANTS = ["acme", "acme%"]

Store: TypeAlias = "SQLProfileStore | InMemoryProfileStore"
Pair: TypeAlias = tuple[SQLProfileStore, InMemoryProfileStore]

_names = itertools.count(1)


class Call:
    """One call: of a tenant, on a user, with texts that say whose they are."""

    def __init__(self, tenant: int, user: str, name: str, number: int, version: int | None) -> None:
        self.tenant, self.user = tenant, user
        self._name, self._number, self._version = name, number, version

    def __repr__(self) -> str:
        return f"{TENANTS[self.tenant]}: {self._name}({self.user!r}, {self._number})"

    def make(self, store: Store, now: int) -> object:
        """Make the call, as the `now`th of the row; return what it says, errors included."""
        expected = None
        try:
            if self._version is not None:  # right, or wrong by one or two
                expected = max(0, _version(store, self.user) + self._version)
            return _CALLS[self._name](
                self, store, f"{owner(self.tenant, self.user)} {now}", expected
            )
        except PersonaJudgeError as error:
            return type(error).__name__

    def put(self, store: Store, text: str, expected: int | None) -> object:
        parts = tuple(Preference(f"{text} {n}") for n in range(self._number))
        return store.put(Profile(self.user, parts, settings={"of": text}), expected)

    def put_many(self, store: Store, text: str, _: int | None) -> object:
        users = [self.user, USERS[self._number], self.user]
        return store.put_many(
            Profile(user, (Preference(owner(self.tenant, user)),)) for user in users
        )

    def add(self, store: Store, text: str, expected: int | None) -> object:
        source: Any = "inferred" if self._number == 1 else "user"
        return store.add(self.user, Preference(text, source=source), expected, actor=self.user)

    def update(self, store: Store, text: str, expected: int | None) -> object:
        p = f"p{self._number}"
        return store.update(self.user, p, text=text, weight=2.5, expected_version=expected)

    def remove(self, store: Store, _: str, expected: int | None) -> object:
        return store.remove(self.user, f"p{self._number}", expected)

    def reorder(self, store: Store, _: str, expected: int | None) -> object:
        ids = [p.id for p in store.get(self.user).preferences if p.id]
        return store.reorder(self.user, ids[self._number :] + ids[: self._number], expected)

    def confirm(self, store: Store, _: str, expected: int | None) -> object:
        return store.confirm(self.user, f"p{self._number}", expected)

    def reject(self, store: Store, _: str, expected: int | None) -> object:
        return store.reject(self.user, f"p{self._number}", expected)

    def undo(self, store: Store, _: str, expected: int | None) -> object:
        return store.undo(self.user, expected)

    def erase(self, store: Store, _text: str, _version: int | None) -> object:
        return store.erase(self.user)

    def rate(self, store: Store, _text: str, _version: int | None) -> object:
        rated = answer(self.user, store.get(self.user).preferences[:1])
        return store.record_feedback(self.user, rated, self._number / 8)

    def get(self, store: Store, _text: str, _version: int | None) -> object:
        return store.get(self.user)

    def look(self, store: Store, _text: str, _version: int | None) -> object:
        return store.get_version(self.user), list(store.list_users())


_CALLS: dict[str, Callable[[Call, Store, str, int | None], object]] = {
    "get": Call.get,
    "look": Call.look,
    "put": Call.put,
    "put_many": Call.put_many,
    "add": Call.add,
    "update": Call.update,
    "remove": Call.remove,
    "reorder": Call.reorder,
    "confirm": Call.confirm,
    "reject": Call.reject,
    "undo": Call.undo,
    "erase": Call.erase,
    "rate": Call.rate,
}
# Reads and additions come more often than an end.
_WEIGHTED = [*_CALLS, "get", "get", "add", "add", "update", "put"]


def _calls(users: list[str]) -> st.SearchStrategy[list[Call]]:
    call = st.builds(
        Call,
        st.integers(0, len(TENANTS) - 1),
        st.sampled_from(users),
        st.sampled_from(_WEIGHTED),
        st.integers(0, 3),
        st.sampled_from([None, None, 0, 0, 1, -1]),
    )
    return st.lists(call, min_size=CALLS, max_size=CALLS)


# Few users a row, so that each has a past.
_rows = st.lists(st.sampled_from(USERS), min_size=2, max_size=4, unique=True).flatmap(_calls)


def owner(tenant: int, user: str) -> str:
    return f"<{TENANTS[tenant]}|{user}>"


def _version(store: Store, user: str) -> int:
    try:
        return store.get_version(user)
    except PersonaJudgeError:
        return 0


def assert_same(pair: Pair, tenant: int) -> None:
    """Everything that can be read of everybody is the same, and theirs."""
    store, model = pair
    for user in USERS:
        found, expected = (everything(each, user) for each in pair)
        assert found == expected
        if isinstance(found, str):
            continue
        profile = store.get(user)
        assert profile.user_id == user
        for text in [*(p.text for p in profile.preferences), *profile.settings.values()]:
            assert text.startswith(owner(tenant, user))
    assert list(store.list_users()) == list(model.list_users())


def everything(store: Store, user: str) -> object:
    try:
        events = [(e.version, e.action, e.preference_id, e.actor) for e in store.history(user)]
        return store.get(user), store.get_version(user), events, store.summary(user)
    except PersonaJudgeError as error:
        return type(error).__name__


@pytest.fixture(scope="module")
def postgres_with_tables(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.create_database()
    postgres_server.psql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with SQLProfileStore(postgres_server.url(name)) as store:
        store.upgrade()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.mark.slow
@pytest.mark.parametrize("cache_ttl", [0.0, 60.0])
@pytest.mark.parametrize("kind", ROWS)
def test_no_row_of_calls_mixes_users_or_tenants(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, cache_ttl: float
) -> None:
    urls = {
        "sqlite file": lambda: f"sqlite:///{tmp_path / 'p.db'}",
        "sqlite memory": lambda: "sqlite:///file:shared?mode=memory&cache=shared&uri=true",
        "postgres": lambda: request.getfixturevalue("postgres_with_tables"),
    }
    url = urls[kind]()
    made = 0

    @settings(max_examples=ROWS[kind], suppress_health_check=list(HealthCheck))
    @given(_rows)
    def run(calls: list[Call]) -> None:
        nonlocal made
        name = next(_names)
        pairs: list[Pair] = [
            (SQLProfileStore(url, f"{tenant}{name}", cache_ttl=cache_ttl), InMemoryProfileStore())
            for tenant in TENANTS
        ]
        with pairs[0][0], pairs[1][0]:
            for now, call in enumerate(calls):
                said, expected = (call.make(store, now) for store in pairs[call.tenant])
                assert said == expected, call
                made += 1
            for tenant in range(len(TENANTS)):
                assert_same(pairs[tenant], tenant)

    run()
    assert made >= ROWS[kind] * CALLS


def test_the_rows_are_as_many_calls_as_were_promised() -> None:
    assert 2 * sum(ROWS.values()) * CALLS >= 20_000
