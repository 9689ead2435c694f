"""`LangGraphProfileStore`: the engine reads profiles out of the store of a LangGraph graph."""

import asyncio
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import pytest
from langchain.tools import ToolRuntime, tool
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_config
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore, GetOp, IndexConfig, Op, PutOp, Result
from langgraph.store.base.batch import AsyncBatchedBaseStore
from langgraph.store.memory import InMemoryStore

from langchain_persona_judge import ChatPersonaJudge, LangGraphProfileStore
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import (
    InvalidParameterError,
    InvalidPreferenceError,
    ProfileStoreSchemaError,
    ProfileStoreUnavailableError,
    UnknownUserError,
)
from persona_judge_llm.preferences import Preference, Profile, ProfileStore
from persona_judge_llm.testing import tiny_engine

NAMESPACE = ("profiles",)
SECRET = "sentinel-7f3a-must-not-be-seen"
USERS = [
    "user1",
    "user10",
    "user_1",
    "USER1",
    "a.b",
    "a%",
    "a_b",
    "ana@example.org",
    "é",
    "e\u0301",
]
FULL = Preference(
    "Réponds en français 🇫🇷",
    weight=2.5,
    kind="must",
    dimension="language",
    active=False,
    opposes=frozenset({"p1", "y"}),
    expires_at=datetime(2030, 1, 2, tzinfo=timezone.utc),
    source="import",
    scope="work",
    id="x",
)


@pytest.fixture
def memory() -> InMemoryStore:
    return InMemoryStore()


@pytest.fixture
def profiles(memory: InMemoryStore) -> LangGraphProfileStore:
    return LangGraphProfileStore(memory)


class OnLoop(AsyncBatchedBaseStore):
    """Stands in for AsyncPostgresStore and AsyncSqliteStore, which are made like this."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = InMemoryStore()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        raise NotImplementedError

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return await self.inner.abatch(ops)


class Broken(InMemoryStore):
    """Fails as databases do, quoting what it was given."""

    def __init__(self, *, only_writes: bool = False) -> None:
        super().__init__()
        self.only_writes = only_writes

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        listed = list(ops)
        if self.only_writes and not any(isinstance(op, PutOp) for op in listed):
            return super().batch(listed)
        raise ValueError(f"failing row contains {listed}")

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return self.batch(ops)


def test_it_is_a_profile_store(profiles: LangGraphProfileStore) -> None:
    port: ProfileStore = profiles
    assert isinstance(port, ProfileStore)


async def test_what_was_put_comes_back_one_version_on(profiles: LangGraphProfileStore) -> None:
    profile = Profile("ana", (FULL, Preference("Be brief")), settings={"list": [1, None]})
    stored = profiles.put(profile)
    assert stored.version == 1
    assert stored.preferences == (FULL, Preference("Be brief", id="p1"))
    assert stored == profiles.get("ana") == await profiles.aget("ana")
    again = await profiles.aput(stored)
    assert again.version == 2
    assert again.preferences == stored.preferences
    assert profiles.get("ana") == again


def test_an_item_is_json_of_the_documented_shape(
    memory: InMemoryStore, profiles: LangGraphProfileStore
) -> None:
    profiles.put(Profile("a.b", (Preference("Be brief"),), settings={"k": [1]}))
    item = memory.get(NAMESPACE, "a.b")
    assert item is not None
    assert item.value == {
        "preferences": [{"text": "Be brief", "id": "p1"}],
        "settings": {"k": [1]},
        "version": 1,
    }
    assert [i.key for i in memory.search(NAMESPACE)] == ["a.b"]
    assert memory.list_namespaces() == [NAMESPACE]


def test_an_item_that_the_application_wrote_is_a_profile(
    memory: InMemoryStore, profiles: LangGraphProfileStore
) -> None:
    memory.put(NAMESPACE, "ana", {"preferences": [{"text": "Be brief"}], "version": 7})
    assert profiles.get("ana") == Profile("ana", (Preference("Be brief"),), version=7)
    assert profiles.put(Profile("ana")).version == 8


def test_the_profile_is_its_own_copy(
    memory: InMemoryStore, profiles: LangGraphProfileStore
) -> None:
    stored = profiles.put(Profile("ana", settings={"list": [1]}))
    stored.settings["list"].append(2)
    profiles.get("ana").settings["list"].append(3)
    assert profiles.get("ana").settings == {"list": [1]}


def test_what_was_inferred_waits_for_a_yes(profiles: LangGraphProfileStore) -> None:
    stored = profiles.put(Profile("ana", (Preference("Joke", source="inferred"),)))
    assert [p.active for p in stored.preferences] == [False]
    assert profiles.get("ana") == stored


def test_users_and_namespaces_who_look_alike_are_different(memory: InMemoryStore) -> None:
    one, other = LangGraphProfileStore(memory), LangGraphProfileStore(memory, ("profiles", "b"))
    for user in USERS:
        with pytest.raises(UnknownUserError):
            one.get(user)
        one.put(Profile(user, (Preference(f"of {user}"),)))
    for user in USERS:
        assert [p.text for p in one.get(user).preferences] == [f"of {user}"]
        with pytest.raises(UnknownUserError):
            other.get(user)
    for user in ("user", "user%", "%", "a", "b"):
        with pytest.raises(UnknownUserError):
            one.get(user)


async def test_the_item_of_another_key_is_not_this_users(memory: InMemoryStore) -> None:
    class Loose(InMemoryStore):
        """Compares keys as some databases do, without case, and the namespace's root only."""

        def batch(self, ops: Iterable[Op]) -> list[Result]:
            keyed = [op for op in ops if isinstance(op, GetOp | PutOp)]
            return memory.batch(
                [op._replace(key=op.key.lower(), namespace=op.namespace[:1]) for op in keyed]
            )

        async def abatch(self, ops: Iterable[Op]) -> list[Result]:
            return self.batch(ops)

    profiles = LangGraphProfileStore(Loose())
    profiles.put(Profile("ana", (Preference("Be brief"),)))
    assert profiles.get("ana").version == 1
    for user in ("ANA", "Ana"):
        with pytest.raises(UnknownUserError):
            profiles.get(user)
        with pytest.raises(UnknownUserError):
            await profiles.aget(user)
    with pytest.raises(UnknownUserError):
        LangGraphProfileStore(Loose(), ("profiles", "b")).get("ana")


@pytest.mark.parametrize("user_id", ["", " ", "a\0b", "\ud800", "x" * 256, None, 7])
async def test_a_user_id_that_cannot_be_one_is_refused(
    user_id: Any, profiles: LangGraphProfileStore
) -> None:
    with pytest.raises(InvalidPreferenceError, match="user_id"):
        profiles.get(user_id)
    with pytest.raises(InvalidPreferenceError, match="user_id"):
        await profiles.aget(user_id)


MALFORMED: list[Any] = [
    {},
    {"version": 1, SECRET: 1},
    {"version": 1, "preferences": SECRET},
    {"version": 1, "preferences": [SECRET]},
    {"version": 1, "preferences": [{SECRET: 1, "text": "x"}]},
    {"version": 1, "preferences": [{"text": "x", "weight": SECRET}]},
    {"version": 1, "preferences": [{"text": "x", "kind": SECRET}]},
    {"version": 1, "preferences": [{"text": "x", "expires_at": SECRET}]},
    {"version": 1, "preferences": [{"text": "x", "id": SECRET}, {"text": "y", "id": SECRET}]},
    {"version": 1, "preferences": [], "settings": SECRET},
    {"version": 1, "preferences": [], "settings": {SECRET: object()}},
    {"version": 1, "preferences": [], "user_id": SECRET},
    {"preferences": []},
    {"preferences": [], "version": SECRET},
    {"preferences": [], "version": -1},
    {"preferences": [], "version": True},
]


@pytest.mark.parametrize("value", MALFORMED, ids=range(len(MALFORMED)))
async def test_a_malformed_item_is_an_error_that_quotes_nothing_and_can_be_replaced(
    value: Any, memory: InMemoryStore, profiles: LangGraphProfileStore
) -> None:
    memory.put(NAMESPACE, "ana", value)
    caught = []
    with pytest.raises(ProfileStoreSchemaError, match="put") as error:
        profiles.get("ana")
    caught.append(error.value)
    with pytest.raises(ProfileStoreSchemaError) as error:
        await profiles.aget("ana")
    caught.append(error.value)
    for found in caught:
        assert SECRET not in "".join(traceback.format_exception(found))
        assert found.__context__ is None
        assert found.__cause__ is None
    stored = profiles.put(Profile("ana", (Preference("Be brief"),)))
    assert profiles.get("ana") == stored
    assert stored.version == (
        2 if value.get("version") == 1 and value["version"] is not True else 1
    )


async def test_an_outage_is_told_as_one_and_quotes_no_preference() -> None:
    profile = Profile("ana", (Preference(SECRET),))
    for broken in (Broken(), Broken(only_writes=True)):
        profiles = LangGraphProfileStore(broken)
        if not broken.only_writes:
            with pytest.raises(ProfileStoreUnavailableError, match="ValueError") as error:
                profiles.get("ana")
            assert isinstance(error.value.__cause__, ValueError)
            with pytest.raises(ProfileStoreUnavailableError, match="ValueError"):
                await profiles.aget("ana")
        with pytest.raises(ProfileStoreUnavailableError, match="ValueError") as error:
            profiles.put(profile)
        assert SECRET not in "".join(traceback.format_exception(error.value))
        with pytest.raises(ProfileStoreUnavailableError, match="ValueError") as error:
            await profiles.aput(profile)
        assert SECRET not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize("version", [0, 1, 2, True])
async def test_an_expected_version_is_refused_and_nothing_is_written(
    version: int, profiles: LangGraphProfileStore
) -> None:
    before = profiles.put(Profile("ana"))
    with pytest.raises(InvalidParameterError, match="compare and write") as error:
        profiles.put(Profile("ana"), expected_version=version)
    assert "SQLProfileStore" in str(error.value)
    with pytest.raises(InvalidParameterError, match="compare and write"):
        await profiles.aput(Profile("ana"), version)
    assert profiles.get("ana") == before


@pytest.mark.parametrize("profile", [None, {"preferences": []}, "ana", Preference("x")])
async def test_only_a_profile_can_be_put(profile: Any, profiles: LangGraphProfileStore) -> None:
    with pytest.raises(InvalidPreferenceError, match="profile"):
        profiles.put(profile)
    with pytest.raises(InvalidPreferenceError, match="profile"):
        await profiles.aput(profile)


def test_of_many_writers_each_leaves_a_whole_profile(profiles: LangGraphProfileStore) -> None:
    def write(n: int) -> None:
        profiles.put(Profile("ana", (Preference(f"a{n}"), Preference(f"b{n}"))))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    a, b = (p.text for p in profiles.get("ana").preferences)
    assert a[1:] == b[1:]
    assert 1 <= profiles.get("ana").version <= 40


@pytest.mark.parametrize(
    "namespace",
    [
        (),
        "profiles",
        ["profiles"],
        ("",),
        ("a.b",),
        ("a\0",),
        (7,),
        ("langgraph",),
        ("a", None),
        None,
    ],
)
def test_a_namespace_that_no_store_takes_is_refused(namespace: Any, memory: InMemoryStore) -> None:
    with pytest.raises(InvalidParameterError, match="namespace"):
        LangGraphProfileStore(memory, namespace)


@pytest.mark.parametrize("store", [None, {}, object(), InMemoryStore])
def test_what_is_no_langgraph_store_is_refused_with_the_way_out(store: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"compile\(store="):
        LangGraphProfileStore(store)


async def test_preferences_reach_no_embedding_model() -> None:
    def embed(texts: Sequence[str]) -> list[list[float]]:
        raise AssertionError(texts)

    profiles = LangGraphProfileStore(InMemoryStore(index=IndexConfig(dims=1, embed=embed)))
    assert profiles.put(Profile("ana", (Preference(SECRET),))) == profiles.get("ana")
    assert await profiles.aput(Profile("ana", (Preference(SECRET),))) == profiles.get("ana")


async def test_on_the_loop_of_an_async_store_the_error_says_what_to_await() -> None:
    profiles = LangGraphProfileStore(OnLoop())
    stored = await profiles.aput(Profile("ana", (Preference("Be brief"),)))
    assert await profiles.aget("ana") == stored
    with pytest.raises(ProfileStoreUnavailableError) as error:
        profiles.get("ana")
    assert "await store.aget" in str(error.value.__cause__)
    assert await asyncio.to_thread(profiles.get, "ana") == stored


def test_a_missing_langgraph_is_named_with_its_extra() -> None:
    code = (
        "import sys; sys.modules['langgraph'] = None\n"
        "from persona_judge_llm.errors import MissingDependencyError\n"
        "try: import langchain_persona_judge\n"
        "except MissingDependencyError as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
    )
    assert "langgraph is not installed" in found.stdout
    assert "persona-judge-llm[langchain]" in found.stdout


# With an engine, and in graphs.


@pytest.fixture(scope="module")
def shared() -> InMemoryStore:
    store = InMemoryStore()
    for user in USERS:
        LangGraphProfileStore(store).put(Profile(user, (Preference(f"wish of {user}"),)))
    store.put(NAMESPACE, "broken", {"preferences": SECRET, "version": 1})
    return store


@pytest.fixture(scope="module")
def engine(shared: InMemoryStore) -> Iterator[PersonaJudge]:
    with tiny_engine(profiles=LangGraphProfileStore(shared)) as engine:
        yield engine


def texts(engine: PersonaJudge, user: str) -> list[str]:
    split = engine.plan("Hello", user_id=user).split
    return [p.text for p in (*split.a, *split.b)]


@pytest.mark.parametrize("user", USERS)
def test_the_engine_reads_each_user_as_himself(user: str, engine: PersonaJudge) -> None:
    assert set(texts(engine, user)) == {f"wish of {user}"}


@pytest.mark.parametrize(("user", "error"), [("user", UnknownUserError), ("a", UnknownUserError)])
def test_the_engine_knows_no_others(
    user: str, error: type[Exception], engine: PersonaJudge
) -> None:
    with pytest.raises(error):
        engine.plan("Hello", user_id=user)


def test_the_engine_passes_a_malformed_item_on_as_ours(engine: PersonaJudge) -> None:
    with pytest.raises(ProfileStoreSchemaError):
        engine.plan("Hello", user_id="broken")


class RecordedStore(InMemoryStore):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Op] = []

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        listed = list(ops)
        self.asked += listed
        return super().batch(listed)


def test_an_answer_reads_one_item_by_its_exact_key() -> None:
    store = RecordedStore()
    profiles = LangGraphProfileStore(store)
    profiles.put(Profile("a%", (Preference("Be brief"),)))
    store.asked.clear()
    with tiny_engine(profiles=profiles) as engine:
        answer = ChatPersonaJudge(engine=engine, max_tokens=2).invoke("Hello", user_id="a%")
    assert answer.response_metadata["profile_version"] == 1
    assert [(type(op).__name__, op[:2]) for op in store.asked] == [("GetOp", (NAMESPACE, "a%"))]


@tool
def remember(wish: str, runtime: ToolRuntime) -> str:
    """Remember a wish of the user."""
    user = runtime.config["configurable"]["user_id"]
    LangGraphProfileStore(runtime.store).put(Profile(user, (Preference(wish),)))
    return "noted"


@tool
async def aremember(wish: str, runtime: ToolRuntime) -> str:
    """Remember a wish of the user."""
    user = runtime.config["configurable"]["user_id"]
    await LangGraphProfileStore(runtime.store).aput(Profile(user, (Preference(wish),)))
    return "noted"


def conversation(name: str, wish: str) -> MessagesState:
    call: Any = {"name": name, "args": {"wish": wish}, "id": "c1", "type": "tool_call"}
    return {"messages": [HumanMessage(f"Please note: {wish}"), AIMessage("", tool_calls=[call])]}


def graph_of(chat: ChatPersonaJudge, store: BaseStore | None) -> Any:
    """A tool writes the profile into the graph's store; then the model answers with it."""

    def check(state: MessagesState, runtime: Runtime[None]) -> dict[str, Any]:
        user = get_config()["configurable"]["user_id"]
        assert LangGraphProfileStore(runtime.store).get(user).version == 1
        return {}

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chat.invoke(state["messages"])]}

    async def aanswer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode([remember, aremember], handle_tool_errors=False))
    builder.add_node("answer", RunnableLambda(answer, aanswer))
    builder.add_edge(START, "tools")
    if isinstance(store, InMemoryStore):
        builder.add_node("check", check)
        builder.add_edge("tools", "check")
        builder.add_edge("check", "answer")
    else:
        builder.add_edge("tools", "answer")
    builder.add_edge("answer", END)
    return builder.compile(store=store)


@pytest.mark.parametrize("user", ["a.b", "user10"])
def test_a_tool_writes_what_the_model_of_the_graph_answers_with(
    user: str, memory: InMemoryStore
) -> None:
    with tiny_engine(profiles=LangGraphProfileStore(memory)) as engine:
        graph = graph_of(ChatPersonaJudge(engine=engine, max_tokens=2), memory)
        config = {"configurable": {"user_id": user}}
        found = graph.invoke(conversation("remember", "Be brief"), config)
        *_, note, answer = found["messages"]
        assert note.content == "noted"
        assert answer.response_metadata["profile_version"] == 1
        assert set(texts(engine, user)) == {"Be brief"}
        with pytest.raises(UnknownUserError):
            engine.plan("Hello", user_id="user1")


async def test_the_same_with_an_async_store_on_the_loop() -> None:
    store = OnLoop()
    with tiny_engine(profiles=LangGraphProfileStore(store)) as engine:
        graph = graph_of(ChatPersonaJudge(engine=engine, max_tokens=2), store)
        config = {"configurable": {"user_id": "a.b"}}
        found = await graph.ainvoke(conversation("aremember", "Be brief"), config)
        assert found["messages"][-1].response_metadata["profile_version"] == 1
        generation = await engine.agenerate("Hello", user_id="a.b")
        assert {p.text for p in (*generation.split.a, *generation.split.b)} == {"Be brief"}


def test_a_graph_without_a_store_says_what_is_missing(memory: InMemoryStore) -> None:
    with tiny_engine(profiles=LangGraphProfileStore(memory)) as engine:
        graph = graph_of(ChatPersonaJudge(engine=engine, max_tokens=2), None)
        config = {"configurable": {"user_id": "ana"}}
        with pytest.raises(InvalidParameterError, match=r"compile\(store="):
            graph.invoke(conversation("remember", "Be brief"), config)


def test_an_engine_can_be_made_inside_a_node(shared: InMemoryStore) -> None:
    def node(state: MessagesState, runtime: Runtime[None]) -> dict[str, Any]:
        with tiny_engine(profiles=LangGraphProfileStore(runtime.store)) as engine:
            return {"messages": [AIMessage(" ".join(texts(engine, "user1")))]}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    found = builder.compile(store=shared).invoke({"messages": []})
    assert found["messages"][-1].content.startswith("wish of user1")
