"""`ProfileBaseStore`: LangChain's own suites on every profile store, and what they leave open."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.stores import BaseStore
from langchain_tests.integration_tests.base_store import BaseStoreAsyncTests, BaseStoreSyncTests

from langchain_persona_judge import ProfileBaseStore
from persona_judge_llm.errors import (
    InvalidParameterError,
    InvalidPreferenceError,
    PersonaJudgeError,
    ProfileStoreError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles import AsyncSQLProfileStore, SQLProfileStore

Value = dict[str, Any]

VALUES: tuple[Value, Value, Value] = (
    {"preferences": [{"text": "Be concise", "id": "p1"}]},
    {"preferences": [], "settings": {"language": "en", "nested": {"list": [1, None, 2.5]}}},
    {
        "preferences": [
            {
                "text": "Réponds en français 🇫🇷; DROP TABLE pj_profile; --",
                "id": "x",
                "weight": 2.5,
                "kind": "must",
                "dimension": "language",
                "active": False,
                "opposes": ["p1", "y"],
                "expires_at": "2030-01-02T03:04:05.000006+00:00",
                "source": "import",
                "scope": "work",
            },
            {"text": "Joke", "id": "y", "source": "inferred", "confirmed": True},
        ]
    },
)


@pytest.fixture(params=["memory", "sqlite memory"])
def store(request: pytest.FixtureRequest) -> Iterator[InMemoryProfileStore | SQLProfileStore]:
    if request.param == "memory":
        yield InMemoryProfileStore()
    else:
        with SQLProfileStore("sqlite://") as store:
            yield store


@pytest.fixture
def values(store: InMemoryProfileStore | SQLProfileStore) -> ProfileBaseStore:
    return ProfileBaseStore(store)


@pytest.fixture
async def on_loop(tmp_path: Path) -> AsyncIterator[ProfileBaseStore]:
    async with AsyncSQLProfileStore(f"sqlite:///{tmp_path / 'profiles.db'}") as store:
        yield ProfileBaseStore(store)


class TestSync(BaseStoreSyncTests[Value]):
    @pytest.fixture
    def kv_store(self, values: ProfileBaseStore) -> BaseStore[str, Value]:
        return values

    @pytest.fixture
    def three_values(self) -> tuple[Value, Value, Value]:
        return VALUES


class TestAsyncInThreads(BaseStoreAsyncTests[Value]):
    @pytest.fixture
    async def kv_store(self, values: ProfileBaseStore) -> BaseStore[str, Value]:
        return values

    @pytest.fixture
    def three_values(self) -> tuple[Value, Value, Value]:
        return VALUES


class TestAsyncOnTheLoop(BaseStoreAsyncTests[Value]):
    @pytest.fixture
    async def kv_store(self, on_loop: ProfileBaseStore) -> BaseStore[str, Value]:
        return on_loop

    @pytest.fixture
    def three_values(self) -> tuple[Value, Value, Value]:
        return VALUES


@pytest.mark.parametrize("value", VALUES)
def test_a_value_and_its_profile_are_the_same_to_both_stores(
    value: Value,
    values: ProfileBaseStore,
    store: InMemoryProfileStore | SQLProfileStore,
) -> None:
    values.mset([("ana", value)])
    profile = store.get("ana")
    assert [p.text for p in profile.preferences] == [p["text"] for p in value["preferences"]]
    assert profile.settings == value.get("settings", {})
    store.erase("ana")
    store.put(profile)
    assert values.mget(["ana"]) == [value]


def test_what_the_store_adds_is_read_back_and_what_is_default_is_left_out(
    values: ProfileBaseStore,
) -> None:
    given: list[Value] = [
        {"text": "Be concise", "weight": 1.0, "opposes": []},
        {"text": "Joke", "id": "j", "source": "inferred"},
    ]
    values.mset([("ana", {"preferences": given, "settings": {}})])
    kept = [
        {"text": "Be concise", "id": "p1"},
        {"text": "Joke", "id": "j", "source": "inferred", "active": False},
    ]
    assert values.mget(["ana"]) == [{"preferences": kept}]
    values.mset([("ana", {})])
    assert values.mget(["ana"]) == [{"preferences": []}]


def test_each_value_is_the_callers_own(values: ProfileBaseStore) -> None:
    mine: Value = {"preferences": [{"text": "x", "id": "p1"}], "settings": {"list": [1]}}
    values.mset([("ana", mine)])
    mine["settings"]["list"].append(2)
    (got,) = values.mget(["ana"])
    assert got == {"preferences": [{"text": "x", "id": "p1"}], "settings": {"list": [1]}}
    got["settings"]["list"].append(3)
    got["preferences"].clear()
    assert values.mget(["ana"]) == [
        {"preferences": [{"text": "x", "id": "p1"}], "settings": {"list": [1]}}
    ]


USERS = ["user1", "user10", "user_1", "USER1", "user%", "a.b", "a%", "a_b", "é", "e\u0301", "𝄞"]
PREFIXES = [
    None,
    "",
    "user1",
    "user",
    "user_",
    "USER",
    "a%",
    "a_",
    "a.",
    "%",
    "_",
    "e",
    "é",
    "𝄞",
    "z",
]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_prefix_is_exact(
    prefix: str | None, values: ProfileBaseStore, on_loop: ProfileBaseStore
) -> None:
    wanted = [user for user in sorted(USERS) if user[: len(prefix or "")] == (prefix or "")]
    pairs = [(user, VALUES[0]) for user in USERS]
    values.mset(pairs)
    await on_loop.amset(pairs)
    assert list(values.yield_keys(prefix=prefix)) == wanted
    assert [user async for user in values.ayield_keys(prefix=prefix)] == wanted
    assert [user async for user in on_loop.ayield_keys(prefix=prefix)] == wanted


def test_deleting_one_user_leaves_those_alike(values: ProfileBaseStore) -> None:
    values.mset([(user, VALUES[0]) for user in USERS])
    values.mdelete(["user1", "a%", "nobody", "user1"])
    assert list(values.yield_keys()) == sorted({*USERS} - {"user1", "a%"})


async def test_more_keys_than_a_page_come_out_of_the_thread() -> None:
    users = [f"user{n:04}" for n in range(1_001)]
    values = ProfileBaseStore(InMemoryProfileStore([Profile(user) for user in users]))
    assert [user async for user in values.ayield_keys()] == users


GOOD = {"text": "secret wish", "id": "p1"}
BAD_VALUES: list[Any] = [
    None,
    "Be concise",
    [GOOD],
    7,
    Profile("ana", (Preference("x"),)),
    {"preferences": GOOD},
    {"preferences": "secret wish"},
    {"preferences": ["secret wish"]},
    {"preferences": [GOOD, GOOD]},
    {"preferences": [{}]},
    {"preferences": [{"text": None}]},
    {"preferences": [{"text": " "}]},
    {"preferences": [{"text": "x" * 2_001}]},
    {"preferences": [{"text": "\ud800"}]},
    {"preferences": [GOOD | {"weight": 0}]},
    {"preferences": [GOOD | {"weight": "heavy"}]},
    {"preferences": [GOOD | {"weight": float("nan")}]},
    {"preferences": [GOOD | {"kind": ["must"]}]},
    {"preferences": [GOOD | {"source": {}}]},
    {"preferences": [GOOD | {"active": 1}]},
    {"preferences": [GOOD | {"id": 1}]},
    {"preferences": [GOOD | {"opposes": "p2"}]},
    {"preferences": [GOOD | {"opposes": {"p2": 1}}]},
    {"preferences": [GOOD | {"expires_at": "soon"}]},
    {"preferences": [GOOD | {"expires_at": "2030-01-01T00:00:00"}]},
    {"preferences": [GOOD | {"expires_at": 7}]},
    {"preferences": [GOOD | {"wieght": 1}]},
    {"preferences": [GOOD | {1: 1}]},
    {"preferences": [], "settings": [1]},
    {"preferences": [], "settings": {"x": object()}},
    {"preferences": [], "settings": {"x": float("inf")}},
    {"preferences": [], "more": 1},
    {"preferences": [], "user_id": "ana"},
    {"preferences": [], "version": 1},
]


@pytest.mark.parametrize("value", BAD_VALUES, ids=range(len(BAD_VALUES)))
async def test_a_bad_value_is_refused_and_nothing_is_written(
    value: Any, values: ProfileBaseStore, on_loop: ProfileBaseStore
) -> None:
    pairs: Any = [("ana", VALUES[0]), ("bob", value)]
    with pytest.raises(InvalidPreferenceError) as caught:
        values.mset(pairs)
    assert "secret wish" not in str(caught.value)
    for store in (values, on_loop):
        with pytest.raises(InvalidPreferenceError):
            await store.amset(pairs)
        assert [user async for user in store.ayield_keys()] == []


@pytest.mark.parametrize("key", ["", " ", "a\0b", "\ud800", "x" * 256, None, 7, ("ana",)])
async def test_a_key_that_cannot_be_a_user_is_refused(
    key: Any, values: ProfileBaseStore, on_loop: ProfileBaseStore
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: values.mget([key]),
        lambda: values.mset([(key, VALUES[0])]),
        lambda: values.mdelete([key]),
    ]
    for call in calls:
        with pytest.raises(InvalidPreferenceError, match="user_id"):
            call()
    for awaitable in (
        on_loop.amget([key]),
        on_loop.amset([(key, VALUES[0])]),
        on_loop.amdelete([key]),
    ):
        with pytest.raises(InvalidPreferenceError, match="user_id"):
            await awaitable


@pytest.mark.parametrize("keys", ["ana", b"bytes", None, 7])
async def test_a_list_is_expected_where_many_are(
    keys: Any, values: ProfileBaseStore, on_loop: ProfileBaseStore
) -> None:
    for method in (values.mget, values.mset, values.mdelete):
        with pytest.raises(InvalidPreferenceError, match="list"):
            method(keys)
    for awaitable in (on_loop.amget(keys), on_loop.amset(keys), on_loop.amdelete(keys)):
        with pytest.raises(InvalidPreferenceError, match="list"):
            await awaitable


@pytest.mark.parametrize("pair", ["ab", ("ana",), ("ana", {}, 1), None])
def test_pairs_are_expected_where_values_are_set(pair: Any, values: ProfileBaseStore) -> None:
    with pytest.raises(InvalidPreferenceError, match="pairs"):
        values.mset([pair])


@pytest.mark.parametrize("prefix", [7, b"a", ("a", "b")])
async def test_a_prefix_is_a_text(
    prefix: Any, values: ProfileBaseStore, on_loop: ProfileBaseStore
) -> None:
    with pytest.raises(InvalidPreferenceError, match="prefix"):
        list(values.yield_keys(prefix=prefix))
    for store in (values, on_loop):
        with pytest.raises(InvalidPreferenceError, match="prefix"):
            [user async for user in store.ayield_keys(prefix=prefix)]


def test_a_store_of_coroutines_says_what_to_call(on_loop: ProfileBaseStore) -> None:
    calls: list[tuple[str, Callable[[], object]]] = [
        ("amget", lambda: on_loop.mget(["ana"])),
        ("amset", lambda: on_loop.mset([("ana", VALUES[0])])),
        ("amdelete", lambda: on_loop.mdelete(["ana"])),
        ("ayield_keys", lambda: list(on_loop.yield_keys())),
    ]
    for name, call in calls:
        with pytest.raises(ProfileStoreError, match=name):
            call()


async def test_a_store_of_coroutines_needs_no_thread() -> None:
    threads = set[threading.Thread]()

    class Kept(InMemoryProfileStore):
        """Stands in for a store whose methods are coroutines, and notes who calls."""

        async def get(self, user_id: str) -> Profile:  # type: ignore[override]
            threads.add(threading.current_thread())
            return super().get(user_id)

        async def put(self, profile: Profile) -> Profile:  # type: ignore[override]
            threads.add(threading.current_thread())
            return super().put(profile)

    values = ProfileBaseStore(Kept())  # type: ignore[arg-type]
    await values.amset([("ana", VALUES[0])])
    assert await values.amget(["ana", "bob"]) == [VALUES[0], None]
    assert threads == {threading.main_thread()}


async def test_a_blocking_store_does_not_block_the_loop() -> None:
    asked, go_on = threading.Event(), threading.Event()

    class Slow(InMemoryProfileStore):
        def get(self, user_id: str) -> Profile:
            asked.set()
            assert go_on.wait(10)
            return super().get(user_id)

    reading = asyncio.ensure_future(ProfileBaseStore(Slow()).amget(["ana"]))
    while not asked.is_set():
        await asyncio.sleep(0.001)
    go_on.set()
    assert await reading == [None]


@pytest.mark.parametrize("store", [None, {}, object(), "sqlite://", Preference("x")])
def test_what_is_no_store_is_refused(store: Any) -> None:
    with pytest.raises(InvalidParameterError, match="store"):
        ProfileBaseStore(store)


def test_an_outage_is_not_an_unknown_user() -> None:
    class Down(InMemoryProfileStore):
        def get(self, user_id: str) -> Profile:
            raise ProfileStoreError("down")

        def erase(self, user_id: str) -> None:
            raise ProfileStoreError("down")

    values = ProfileBaseStore(Down())
    for call in (values.mget, values.mdelete):
        with pytest.raises(ProfileStoreError, match="down"):
            call(["ana"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["preferences", "settings", "text", "id"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(st.text(max_size=4), json_values)
def test_any_value_is_kept_or_refused_with_an_error_of_ours(key: str, value: Any) -> None:
    values = ProfileBaseStore(InMemoryProfileStore())
    try:
        values.mset([(key, value)])
    except PersonaJudgeError:
        assert list(values.yield_keys()) == []
        return
    first = values.mget([key])
    values.mset([(key, first[0])])  # type: ignore[list-item]
    assert values.mget([key]) == first
