"""Agents with `PersonaMiddleware`: each run is answered for the user that its context names."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_persona_judge import ChatPersonaJudge, PersonaMiddleware
from persona_judge_llm.engine import Call
from persona_judge_llm.errors import (
    InvalidParameterError,
    InvalidPreferenceError,
    MissingUserError,
    UnknownUserError,
    UnsupportedModelError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.scope import use_user
from persona_judge_llm.trace import Generation
from tests.integration.langchain.conftest import ALICE, BOB, TASTES, TellingEngine
from tests.integration.langchain.test_traces import Everything


@dataclass(frozen=True)
class Context:
    user_id: str | None = None


class DictContext(TypedDict):
    user_id: str


class ModelContext(BaseModel):
    user_id: str


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return f"about {word}"


def question(text: str = "x") -> Any:
    return {"messages": [("user", text)]}


def agent_on(chat: Any, tools: Any = (), context: Any = Context, **kwargs: Any) -> Any:
    middleware = kwargs.pop("middleware", [PersonaMiddleware()])
    return create_agent(chat, list(tools), context_schema=context, middleware=middleware, **kwargs)


def _answer(state: Any) -> str:
    return str(state["messages"][-1].text)


def _messages(parts: Iterator[Any]) -> str:
    return "".join(chunk.text for chunk, _ in parts if isinstance(chunk, AIMessageChunk))


def _updates(parts: Iterator[Any]) -> str:
    (found,) = [part["model"]["messages"][-1].text for part in parts if "model" in part]
    return str(found)


async def _all(parts: AsyncIterator[Any]) -> Iterator[Any]:
    return iter([part async for part in parts])


async def _ainvoke(agent: Any, given: Any, **k: Any) -> str:
    return _answer(await agent.ainvoke(given, **k))


async def _amessages(agent: Any, given: Any, **k: Any) -> str:
    return _messages(await _all(agent.astream(given, stream_mode="messages", **k)))


async def _aupdates(agent: Any, given: Any, **k: Any) -> str:
    return _updates(await _all(agent.astream(given, stream_mode="updates", **k)))


async def _abatch(agent: Any, given: Any, **k: Any) -> str:
    return _answer((await agent.abatch([given], **k))[0])


DOORS: dict[str, Callable[..., Any]] = {
    "invoke": lambda a, g, **k: _answer(a.invoke(g, **k)),
    "stream of messages": lambda a, g, **k: _messages(a.stream(g, stream_mode="messages", **k)),
    "stream of updates": lambda a, g, **k: _updates(a.stream(g, stream_mode="updates", **k)),
    "stream of values": lambda a, g, **k: _answer(list(a.stream(g, stream_mode="values", **k))[-1]),
    "batch": lambda a, g, **k: _answer(a.batch([g], **k)[0]),
    "ainvoke": _ainvoke,
    "astream of messages": _amessages,
    "astream of updates": _aupdates,
    "abatch": _abatch,
}
each_door = pytest.mark.parametrize("door", DOORS.values(), ids=list(DOORS))


async def through(door: Any, agent: Any, given: Any = None, **kwargs: Any) -> str:
    found = door(agent, given or question(), **kwargs)
    return str(await found if asyncio.iscoroutine(found) else found)


@each_door
@pytest.mark.parametrize("tools", [(), (look_up,)], ids=["without tools", "with tools"])
async def test_each_run_is_answered_for_the_user_of_its_context(
    door: Any, tools: Any, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    agent = agent_on(chat, tools)
    for user in (ALICE, BOB, ALICE):
        assert await through(door, agent, context=Context(user)) == TASTES[user]
    assert [c.request.user_id for c in telling.decoded] == [ALICE, BOB, ALICE]


@each_door
async def test_the_context_goes_before_copies_configs_and_scopes(
    door: Any, chat: ChatPersonaJudge
) -> None:
    agent = agent_on(chat.with_user(BOB))
    with use_user(BOB):
        found = await through(
            door, agent, config={"configurable": {"user_id": BOB}}, context=Context(ALICE)
        )
    assert found == TASTES[ALICE]


@pytest.mark.parametrize(
    ("schema", "context", "middleware"),
    [
        (Context, Context(ALICE), PersonaMiddleware()),
        (DictContext, {"user_id": ALICE}, PersonaMiddleware()),
        (ModelContext, ModelContext(user_id=ALICE), PersonaMiddleware()),
        (dict, {"customer": ALICE, "user_id": BOB}, PersonaMiddleware("customer")),
        (
            dict,
            {"session": {"who": ALICE}},
            PersonaMiddleware(lambda runtime: runtime.context["session"]["who"]),
        ),
    ],
    ids=["dataclass", "TypedDict", "pydantic", "another field", "a function"],
)
@each_door
async def test_any_context_can_name_the_user(
    door: Any, schema: Any, context: Any, middleware: Any, chat: ChatPersonaJudge
) -> None:
    agent = agent_on(chat, context=schema, middleware=[middleware])
    assert await through(door, agent, context=context) == TASTES[ALICE]


class Crowd(TellingEngine):
    """Lets no call end before all of them have begun."""

    def __init__(self, users: int) -> None:
        taste = {f"user{n}@example.org": f"likes the number {n}" for n in range(users)}
        super().__init__(
            InMemoryProfileStore([Profile(u, (Preference(t),)) for u, t in taste.items()])
        )
        self.taste = taste
        self.here = asyncio.Event()

    async def agenerate(self, prompt: Call, **arguments: Any) -> Generation:
        generation = self.generate(prompt)
        if len(self.decoded) == len(self.taste):
            self.here.set()
        await asyncio.wait_for(self.here.wait(), 60)
        return generation


@pytest.mark.parametrize("tools", [(), (look_up,)], ids=["without tools", "with tools"])
async def test_forty_users_at_once_on_one_agent_get_their_own_answers(tools: Any) -> None:
    crowd = Crowd(40)
    with crowd:
        agent = agent_on(ChatPersonaJudge(engine=crowd), tools, checkpointer=InMemorySaver())
        states = await asyncio.gather(
            *(
                agent.ainvoke(
                    question(f"asked by {user}"),
                    {"configurable": {"thread_id": user}},
                    context=Context(user),
                )
                for user in crowd.taste
            )
        )
        assert [_answer(state) for state in states] == list(crowd.taste.values())
        assert len(crowd.decoded) == 40
        for call in crowd.decoded:
            user = call.user_id
            assert user == call.request.user_id
            assert user is not None
            assert f"asked by {user}<" in call.prompt_a
            assert crowd.taste[user] in call.prompt_a


async def test_a_thread_of_the_checkpointer_may_change_hands(
    chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    agent = agent_on(chat, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}
    for user in (ALICE, BOB):
        state = await agent.ainvoke(question(), thread, context=Context(user))
        assert _answer(state) == TASTES[user]
    assert TASTES[ALICE] in telling.decoded[1].prompt_a, "the answer to Alice is in the history"
    assert [p.text for p in telling.decoded[1].split.a] == [TASTES[BOB]]


NOBODY: list[Any] = [None, Context(), {}]


@each_door
@pytest.mark.parametrize("context", NOBODY, ids=["none", "nobody in it", "an empty one"])
async def test_a_context_that_names_nobody_is_an_error_and_nothing_is_generated(
    door: Any, context: Any, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    agent = agent_on(chat.with_user(ALICE), context=None)
    with pytest.raises(MissingUserError):
        await through(door, agent, context=context)
    assert telling.decoded == []


@pytest.mark.parametrize("context", NOBODY, ids=["none", "nobody in it", "an empty one"])
async def test_where_no_user_is_required_the_model_decides(
    context: Any, chat: ChatPersonaJudge
) -> None:
    def agent(model: Any) -> Any:
        return agent_on(
            model, [look_up], context=None, middleware=[PersonaMiddleware(required=False)]
        )

    for door in DOORS.values():
        assert await through(door, agent(chat), context=context) == "nobody"
        assert await through(door, agent(chat.with_user(BOB)), context=context) == TASTES[BOB]
        assert await through(door, agent(chat), context=Context(ALICE)) == TASTES[ALICE]
        with use_user(BOB):
            assert await through(door, agent(chat), context=context) == TASTES[BOB]


@each_door
@pytest.mark.parametrize(
    ("user", "error"),
    [
        ("", InvalidPreferenceError),
        (7, InvalidPreferenceError),
        ("eve@example.org", UnknownUserError),
    ],
)
async def test_a_user_who_cannot_be_one_is_an_error_and_not_nobody(
    door: Any, user: Any, error: type[Exception], chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    with pytest.raises(error):
        await through(door, agent_on(chat, [look_up]), context=Context(user))
    assert telling.decoded == []


def other_model() -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage("theirs")] * 20))


@each_door
async def test_a_model_of_another_package_is_told_of_nobody(door: Any) -> None:
    with pytest.raises(UnsupportedModelError, match="GenericFakeChatModel knows no users"):
        await through(door, agent_on(other_model()), context=Context(ALICE))
    optional = agent_on(other_model(), middleware=[PersonaMiddleware(required=False)])
    assert await through(door, optional, context=Context()) == "theirs"


@pytest.mark.parametrize("user", ["", 7, None])
def test_what_cannot_find_a_user_is_refused(user: Any) -> None:
    with pytest.raises(InvalidParameterError, match="user"):
        PersonaMiddleware(user)


@each_door
async def test_no_trace_of_an_agent_tells_whose_run_it_is(
    door: Any, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    telling.script = "an answer"
    handler = Everything()
    await through(
        door,
        agent_on(chat, [look_up]),
        config={"callbacks": [handler]},
        context=Context(ALICE),
    )
    (call,) = telling.decoded
    seen = "\n".join(handler.seen)
    assert call.fingerprint in seen
    assert not [secret for secret in (ALICE, "alice", TASTES[ALICE]) if secret in seen]


class Settings(AgentMiddleware):
    """Another middleware, with settings of its own."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def _set(self, request: Any) -> Any:
        return request.override(model_settings={**request.model_settings, **self.settings})

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(self._set(request))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        return await handler(self._set(request))


@pytest.mark.parametrize("outer", [True, False], ids=["outer", "inner"])
@pytest.mark.parametrize("tools", [(), (look_up,)], ids=["without tools", "with tools"])
async def test_settings_of_other_middleware_stay(
    tools: Any, outer: bool, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    both = [Settings(temperature=0.25), PersonaMiddleware()]
    agent = agent_on(chat, tools, middleware=both if outer else both[::-1])
    for door in DOORS.values():
        assert await through(door, agent, context=Context(ALICE)) == TASTES[ALICE]
        assert telling.decoded[-1].params.temperature == 0.25


@pytest.mark.parametrize("door", ["invoke", "ainvoke"])
async def test_models_that_a_tool_calls_answer_for_the_user_of_the_run(
    door: str, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    told: list[str] = []

    @tool
    def ask(word: str) -> str:
        """Ask a model."""
        told.append(str(chat.invoke(word).text))
        return "done"

    class Calling(AgentMiddleware[Any, Any, Any]):
        """Makes the model's first answer of each run a call."""

        def before_model(self, state: Any, runtime: Any) -> None:
            text = '<tool_call>{"name": "ask", "arguments": {"word": "w"}}</tool_call>'
            last = state["messages"][-1]
            telling.script = text if last.type == "human" else None

        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            telling.script = None
            return handler(request)

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            telling.script = None
            return await handler(request)

    for middleware in ([PersonaMiddleware(), Calling()], [Calling(), PersonaMiddleware()]):
        agent = agent_on(chat, [ask], middleware=middleware)
        for user in (ALICE, BOB):
            with use_user(BOB):
                found = await through(DOORS[door], agent, context=Context(user))
            assert (found, told.pop()) == (TASTES[user], TASTES[user])
