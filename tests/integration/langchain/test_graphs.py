"""Chains and graphs: every step is decoded for the user that it is meant for."""

import asyncio
import re
from typing import Any

import pytest
from langchain_core.output_parsers import BaseOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from langchain_persona_judge import ChatPersonaJudge, PersonaJudgeLLM
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import DecodingError, EngineOverloadedError, UnknownUserError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.scope import no_persona
from persona_judge_llm.testing import tiny_tokenizer
from tests.integration.langchain.conftest import (
    ALICE,
    BOB,
    TASTES,
    TellingEngine,
    text_of,
    watched,
)
from tests.integration.langchain.scripted import ScriptedModel


def config(user: str) -> RunnableConfig:
    return {"configurable": {"user_id": user}}


# --- a loop of thoughts and actions over strings --------------------------------------------------

REACT = PromptTemplate.from_template("Use add[x, y].\nQuestion: {question}\n{scratchpad}Thought:")
STOP = ["\nObservation"]


def thinks(prompt: str) -> str:
    """Say what a model would; it always makes the observation up, unless it is stopped."""
    seen = re.findall(r"Observation: (\d+)", prompt)
    made_up = "\nObservation: 1000\nThought: done.\nFinal answer: 1000"
    if not seen:
        return f" First the small ones.\nAction: add[1, 2]{made_up}"
    if len(seen) == 1:
        return f" Now the rest.\nAction: add[{seen[0]}, 40]{made_up}"
    return f" I know.\nFinal answer: {seen[-1]}"


class Step(BaseOutputParser[tuple[str, Any]]):
    """Reads an action or the final answer."""

    def parse(self, text: str) -> tuple[str, Any]:
        if action := re.search(r"Action: add\[(\d+), (\d+)\]$", text):
            return "add", (int(action[1]), int(action[2]))
        final = re.search(r"Final answer: (\d+)$", text)
        assert final, f"neither action nor answer: {text!r}"
        return "final", int(final[1])


@pytest.fixture
def thinking() -> Any:
    profiles = InMemoryProfileStore(
        [
            Profile(ALICE, (Preference("Speak of the sea"), Preference("Use long sentences"))),
            Profile(BOB, (Preference("Speak of the moon"),)),
        ]
    )
    with PersonaJudge(ScriptedModel(thinks), tiny_tokenizer(), profiles=profiles) as engine:
        yield engine


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream"])
@pytest.mark.parametrize("user", [ALICE, BOB])
async def test_a_loop_of_actions_stops_before_each_observation(
    thinking: PersonaJudge, how: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = watched(thinking, monkeypatch)
    llm = PersonaJudgeLLM(engine=thinking, max_tokens=120)
    chain: Any = REACT | llm.bind(stop=STOP)
    scratchpad, said, found = "", "", None
    for _ in range(5):
        given = {"question": "What is 1 + 2 + 40?", "scratchpad": scratchpad}
        if how == "invoke":
            said = chain.invoke(given, config(user))
        elif how == "ainvoke":
            said = await chain.ainvoke(given, config(user))
        else:
            said = "".join(chain.stream(given, config(user)))
        assert "Observation" not in said
        assert "1000" not in said
        kind, value = Step().invoke(said)
        if kind == "final":
            found = value
            break
        scratchpad += f"Thought:{said}\nObservation: {sum(value)}\n"
    assert found == 43
    assert [call.user_id for call in calls] == [user] * 3
    assert ("sea" in calls[-1].prompt_a) == (user == ALICE)
    assert "Observation: 3\nThought: Now the rest." in calls[-1].prompt_a


def test_the_whole_loop_can_be_one_runnable_for_many_users(
    thinking: PersonaJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = watched(thinking, monkeypatch)
    chain = REACT | PersonaJudgeLLM(engine=thinking, max_tokens=120, stop=STOP) | Step()

    def loop(question: str) -> int:
        scratchpad = ""
        while True:
            kind, value = chain.invoke({"question": question, "scratchpad": scratchpad})
            if kind == "final":
                return int(value)
            scratchpad += f"Thought: add.\nObservation: {sum(value)}\n"

    users = [ALICE, BOB, ALICE, BOB]
    found = RunnableLambda(loop).batch([f"for {u}" for u in users], [config(u) for u in users])
    assert found == [43] * 4
    assert len(calls) == 12
    for call in calls:
        assert f"Question: for {call.user_id}\n" in call.prompt_a


# --- graphs ---------------------------------------------------------------------------------------


class Two(TypedDict, total=False):
    sea: str
    moon: str
    plain: str
    own: str


class Context(TypedDict):
    user: str


def graph_of(model: Any, *, of_the_run: bool) -> Any:
    """Two nodes of different users, one after the other and beside each other, and more."""

    def sea(state: Two) -> Two:
        asks = model.with_user(ALICE) if not of_the_run else model.bind(user_id=ALICE)
        return {"sea": text_of(asks.invoke("x"))}

    async def moon(state: Two) -> Two:
        asks = model.with_user(BOB) if not of_the_run else model.bind(user_id=BOB)
        return {"moon": text_of(await asks.ainvoke("x"))}

    def plain(state: Two) -> Two:
        with no_persona():
            return {"plain": text_of(model.invoke("x"))}

    async def own(state: Two, runtime: Runtime[Context]) -> Two:
        return {"own": text_of(await model.ainvoke("x", user_id=runtime.context["user"]))}

    builder: Any = StateGraph(Two, context_schema=Context)
    builder.add_node(sea).add_node(moon).add_node(plain).add_node(own)
    builder.add_edge(START, "sea").add_edge(START, "moon")
    builder.add_edge("sea", "plain").add_edge("plain", "own").add_edge("own", END)
    return builder.compile()


@pytest.mark.parametrize("of_the_run", [False, True])
async def test_the_nodes_of_a_graph_may_answer_different_users(
    model: Any, telling: TellingEngine, of_the_run: bool
) -> None:
    graph = graph_of(model, of_the_run=of_the_run)
    configs = [config(BOB)] if of_the_run else [{}]
    for given in configs:
        state = await graph.ainvoke({}, given, context={"user": ALICE})
        assert state == {
            "sea": TASTES[ALICE],
            "moon": TASTES[BOB],
            "plain": "nobody",
            "own": TASTES[ALICE],
        }
    assert len(telling.decoded) == 4


async def test_many_runs_of_one_graph_keep_their_users(model: Any, telling: TellingEngine) -> None:
    async def answer(state: MessagesState) -> Any:
        return {"messages": [("ai", text_of(await model.ainvoke(state["messages"][-1:])))]}

    def again(state: MessagesState) -> Any:
        return {"messages": [("ai", text_of(model.invoke("again")))]}

    builder: Any = StateGraph(MessagesState).add_node(answer).add_node(again)
    graph = builder.add_edge(START, "answer").add_edge("answer", "again").compile()
    users = [ALICE, BOB] * 10
    states = await asyncio.gather(
        *(graph.ainvoke({"messages": [("user", f"for {u}")]}, config(u)) for u in users)
    )
    for user, state in zip(users, states, strict=True):
        assert [m.text for m in state["messages"][1:]] == [TASTES[user]] * 2
    assert sorted(c.request.user_id or "" for c in telling.decoded) == sorted(users * 2)


# --- chains ---------------------------------------------------------------------------------------


async def test_branches_of_a_parallel_keep_their_users(model: Any) -> None:
    def texts(found: dict[str, Any]) -> dict[str, str]:
        return {name: text_of(answer) for name, answer in found.items()}

    branches = {"sea": model.with_user(ALICE), "moon": model.bind(user_id=BOB), "own": model}
    both = RunnableParallel(branches) | RunnableLambda(texts)
    alone = {"sea": TASTES[ALICE], "moon": TASTES[BOB], "own": "nobody"}
    assert both.invoke("x") == alone
    assert await both.ainvoke("x") == alone
    # A user in the config of a run goes before the user of a copy, not before an argument.
    expected = {"sea": TASTES[BOB], "moon": TASTES[BOB], "own": TASTES[BOB]}
    assert both.invoke("x", config(BOB)) == expected
    assert await both.ainvoke("x", config(BOB)) == expected
    parts: dict[str, str] = {}
    for part in RunnableParallel(sea=model.with_user(ALICE), moon=model.bind(user_id=BOB)).stream(
        "x"
    ):
        for name, piece in part.items():
            parts[name] = parts.get(name, "") + text_of(piece)
    assert parts == {"sea": TASTES[ALICE], "moon": TASTES[BOB]}


async def test_functions_in_a_chain_ask_for_the_user_of_the_chain(model: Any) -> None:
    def ask(text: str) -> str:
        return text_of((RunnableLambda(str) | model).invoke(text))

    async def aask(text: str) -> str:
        return text_of(await (RunnableLambda(str) | model).ainvoke(text))

    chain: Any = RunnableLambda(ask, aask) | StrOutputParser()
    users = [ALICE, BOB, BOB, ALICE]
    expected = [TASTES[u] for u in users]
    configs = [config(u) for u in users]
    assert chain.batch(list("abcd"), configs) == expected
    assert await chain.abatch(list("abcd"), configs) == expected
    assert [chain.invoke("x", c) for c in configs] == expected
    assert ["".join(chain.stream("x", c)) for c in configs] == expected


async def test_a_batch_of_a_chain_takes_one_config_for_each_input(model: Any) -> None:
    chain: Any = ChatPromptTemplate.from_template("{q}") | model | RunnableLambda(text_of)
    users = [ALICE, BOB] * 4
    inputs = [{"q": str(n)} for n in range(8)]
    configs: list[Any] = [{**config(u), "max_concurrency": 3} for u in users]
    assert chain.batch(inputs, configs) == [TASTES[u] for u in users]
    assert await chain.abatch(inputs, configs) == [TASTES[u] for u in users]
    strange = [config(ALICE), config("eve@example.org"), config(BOB)]
    found = chain.batch(inputs[:3], strange, return_exceptions=True)
    assert [found[0], found[2]] == [TASTES[ALICE], TASTES[BOB]]
    assert isinstance(found[1], UnknownUserError)


class Failing:
    """Makes the first calls of an engine fail."""

    def __init__(self, engine: PersonaJudge, patch: pytest.MonkeyPatch, error: Exception) -> None:
        self.left = 0
        self._error = error
        self._generate = engine.generate
        patch.setattr(engine, "generate", self.generate)

    def generate(self, prompt: Any, **arguments: Any) -> Any:
        if self.left:
            self.left -= 1
            raise self._error
        return self._generate(prompt, **arguments)


async def test_a_retry_is_for_the_same_user(
    model: Any, telling: TellingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(telling, monkeypatch, DecodingError("broken"))
    retrying = model.with_retry(
        retry_if_exception_type=(DecodingError,), wait_exponential_jitter=False
    )
    chain = RunnableLambda(str) | retrying
    for asks, given, kwargs in (
        (retrying, None, {"user_id": ALICE}),
        (retrying, config(ALICE), {}),
        (chain, config(ALICE), {}),
    ):
        failing.left = 2
        assert text_of(asks.invoke("x", given, **kwargs)) == TASTES[ALICE]
        failing.left = 2
        assert text_of(await asks.ainvoke("x", given, **kwargs)) == TASTES[ALICE]
        assert failing.left == 0
    failing.left = 3
    with pytest.raises(DecodingError):
        retrying.invoke("x", user_id=ALICE)
    assert {call.request.user_id for call in telling.decoded} == {ALICE}


async def test_a_fallback_is_for_the_same_user(
    model: Any, telling: TellingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = InMemoryProfileStore([Profile(u, (Preference(f"spare {u}"),)) for u in TASTES])
    spare = TellingEngine(store)
    with spare:
        failing = Failing(telling, monkeypatch, EngineOverloadedError(4))
        safe = model.with_fallbacks(
            [type(model)(engine=spare)], exceptions_to_handle=(EngineOverloadedError,)
        )
        chain = RunnableLambda(str) | safe
        for user in (ALICE, BOB):
            for asks in (safe, chain):
                failing.left = 1
                assert text_of(asks.invoke("x", config(user))) == f"spare {user}"
                failing.left = 1
                assert text_of(await asks.ainvoke("x", config(user))) == f"spare {user}"
                assert text_of(asks.invoke("x", config(user))) == TASTES[user]
            failing.left = 1
            assert text_of(safe.invoke("x", user_id=user)) == f"spare {user}"
        for asks in (safe, chain):
            with pytest.raises(UnknownUserError):  # no fallback answers for nobody
                asks.invoke("x", config("eve@example.org"))
        assert {call.request.user_id for call in spare.decoded} == {ALICE, BOB}


def test_tools_bound_to_a_fallback_are_bound_to_both(chat: ChatPersonaJudge) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    bound: Any = chat.with_fallbacks([chat]).bind_tools([add])
    assert bound.invoke("x", config(ALICE)).text == TASTES[ALICE]
