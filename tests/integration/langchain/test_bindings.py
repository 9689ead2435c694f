"""Whatever is bound to a model reaches every call that is made through the binding."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.prompt_values import StringPromptValue
from pydantic import BaseModel

from langchain_persona_judge import ChatPersonaJudge, PersonaMiddleware
from persona_judge_llm.scope import use_user
from tests.integration.langchain.conftest import ALICE, BOB, TASTES, TellingEngine
from tests.integration.langchain.test_agents import Context, look_up, question
from tests.integration.langchain.test_traces import Everything


class Word(BaseModel):
    word: str


BINDINGS: dict[str, Callable[[Any], Any]] = {
    "bind": lambda m: m.bind(user_id=ALICE),
    "with_config": lambda m: m.with_config(configurable={"user_id": ALICE}),
    "with_config of a config": lambda m: m.with_config({"configurable": {"user_id": ALICE}}),
    "bind, then with_config": lambda m: m.bind(user_id=ALICE).with_config(tags=["t"]),
    "with_config, then bind": lambda m: m.with_config(configurable={"user_id": ALICE}).bind(n=1),
    "bind on another's copy": lambda m: m.with_user(BOB).bind(user_id=ALICE),
    "bind, then with_user": lambda m: m.bind(n=1).with_user(ALICE),
    "another's binding, then with_user": lambda m: m.bind(user_id=BOB).with_user(ALICE),
    "preferences": lambda m: m.bind(preferences=[TASTES[ALICE]]),
}
each_binding = pytest.mark.parametrize("binding", BINDINGS.values(), ids=list(BINDINGS))


def _prompts(model: Any) -> list[Any]:
    chats = isinstance(model, ChatPersonaJudge)
    return [[HumanMessage("x")], [HumanMessage("y")]] if chats else ["x", "y"]


def _structured(method: str, bound: Any) -> Any:
    return bound.with_structured_output(Word, method=method, include_raw=True).invoke("x")


VALUES = [StringPromptValue(text="x"), StringPromptValue(text="y")]
GENERATE: dict[str, Callable[[Any, Any], Any]] = {
    "invoke": lambda m, b: b.invoke("x"),
    "generate": lambda m, b: b.generate(_prompts(m)),
    "generate_prompt": lambda m, b: b.generate_prompt(VALUES),
    "agenerate": lambda m, b: asyncio.run(b.agenerate(_prompts(m))),
    "agenerate_prompt": lambda m, b: asyncio.run(b.agenerate_prompt(VALUES)),
}
CHAT: dict[str, Callable[[Any], Any]] = {
    "bind_tools": lambda b: b.bind_tools([look_up]).invoke("x"),
    "bind_tools, streamed": lambda b: list(b.bind_tools([look_up]).stream("x")),
    "an agent": lambda b: create_agent(b, [look_up]).invoke(question()),
    "an agent without tools": lambda b: create_agent(b, []).invoke(question()),
    **{
        f"with_structured_output by {method}": partial(_structured, method)
        for method in ("json_schema", "function_calling", "json_mode")
    },
}


def _tastes(telling: TellingEngine) -> set[str]:
    return {p.text for call in telling.decoded for p in call.split.a}


@each_binding
@pytest.mark.parametrize("way", GENERATE.values(), ids=list(GENERATE))
def test_bound_users_are_known_to_every_method(
    binding: Any, way: Any, model: Any, telling: TellingEngine
) -> None:
    with use_user(BOB):
        way(model, binding(model))
    assert telling.decoded
    assert _tastes(telling) == {TASTES[ALICE]}


@each_binding
@pytest.mark.parametrize("way", CHAT.values(), ids=list(CHAT))
def test_bound_users_are_known_to_tools_forms_and_agents(
    binding: Any, way: Any, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    with use_user(BOB):
        way(binding(chat))
    assert telling.decoded
    assert _tastes(telling) == {TASTES[ALICE]}


def test_what_else_was_bound_stays_and_the_call_goes_before_it(
    chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    bound = chat.bind(temperature=0.3, user_id=BOB, stop=["#"])
    bound.bind_tools([look_up], temperature=0.4).invoke("x")
    bound.with_structured_output(Word, include_raw=True, seed=3).invoke("x", user_id=ALICE)
    bound.generate([[HumanMessage("x")]], stop=["!"], user_id=ALICE)
    assert [(c.request.user_id, c.params.temperature, c.params.stop) for c in telling.decoded] == [
        (BOB, 0.4, ("#",)),
        (ALICE, 0.3, ("#",)),
        (ALICE, 0.3, ("!",)),
    ]
    assert telling.decoded[1].params.seed == 3


def test_a_config_that_was_bound_reaches_the_callbacks_of_generate(chat: ChatPersonaJudge) -> None:
    seen = Everything()
    chat.with_config(callbacks=[seen], tags=["mine"]).generate([[HumanMessage("x")]])
    assert "mine" in repr(seen.seen)


def test_an_agent_on_a_binding_takes_the_user_of_its_context(
    chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    bound: Any = chat.bind(temperature=0.2)
    agent = create_agent(
        bound,
        [look_up],
        context_schema=Context,
        middleware=[PersonaMiddleware()],
    )
    agent.invoke(question(), context=Context(ALICE))
    (call,) = telling.decoded
    assert (call.request.user_id, call.params.temperature) == (ALICE, 0.2)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_a_new_form_of_answer_replaces_the_bound_one(
    method: Any, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    tools: Any = chat.bind_tools([look_up], tool_choice="look_up", user_id=ALICE)
    tools.with_structured_output(Word, method=method, include_raw=True).invoke("x")
    (call,) = telling.decoded
    assert call.request.user_id == ALICE
    assert "look_up" not in call.prompt_a


def test_other_tools_forget_the_choice_among_the_first(
    chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    def other(n: int) -> int:
        """Another."""
        return n

    tools: Any = chat.bind_tools([look_up], tool_choice="look_up", user_id=ALICE)
    tools.bind_tools([other]).invoke("x")
    chat.bind(tool_choice="none").bind_tools([look_up]).invoke("x")  # bound before any tool: kept
    first, second = telling.decoded
    assert "other" in first.prompt_a
    assert "look_up" not in first.prompt_a + second.prompt_a
    assert first.request.user_id == ALICE


def test_a_user_bound_as_none_leaves_it_to_the_config(model: Any, telling: TellingEngine) -> None:
    bound = model.bind(user_id=None).with_config(configurable={"user_id": ALICE})
    bound.generate(_prompts(model))
    assert _tastes(telling) == {TASTES[ALICE]}
