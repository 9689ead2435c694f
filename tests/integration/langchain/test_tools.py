"""Tools: offered to both sides, and read out of the answer, also while it is streamed."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_persona_judge import ChatPersonaJudge
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import UnsupportedModelError
from tests.integration.langchain.conftest import ALICE, TellingEngine

pytestmark = pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def plain(a: int) -> int:
    """Count."""
    return a


class Weather(BaseModel):
    """The weather of a place."""

    place: str = Field(description="where")


SCHEMA = {"title": "look", "description": "Look.", "type": "object", "properties": {}}


async def whole(chat: Any, how: str) -> Any:
    if how == "invoke":
        return chat.invoke("x")
    if how == "ainvoke":
        return await chat.ainvoke("x")
    if how == "v3":
        return chat.stream_events("x", version="v3").output
    chunks = list(chat.stream("x")) if how == "stream" else [c async for c in chat.astream("x")]
    total = chunks[0]
    for chunk in chunks[1:]:
        assert "<" not in chunk.text
        total += chunk
    return total


HOWS = ["invoke", "ainvoke", "stream", "astream", "v3"]


@pytest.mark.parametrize("how", HOWS)
async def test_calls_are_read_out_of_the_answer(
    how: str, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    telling.script = f"Let me see.\n{CALL}\n{CALL}\n<tool_call>no json</tool_call>"
    message = await whole(chat.bind_tools([add]), how)
    assert message.text == "Let me see."
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [("add", {"a": 1, "b": 2})] * 2
    assert [c["args"] for c in message.invalid_tool_calls] == ["<tool_call>no json</tool_call>"]
    ids = [c["id"] for c in (*message.tool_calls, *message.invalid_tool_calls)]
    assert len(set(ids)) == 3
    assert all(ids)


@pytest.mark.parametrize("how", HOWS)
async def test_a_call_cut_short_is_not_completed_into_another(
    how: str, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    telling.script = '<tool_call>{"name": "add", "arguments": {"a": 1'
    message = await whole(chat.bind_tools([add]), how)
    assert (message.text, message.tool_calls) == ("", [])
    assert [c["args"] for c in message.invalid_tool_calls] == [telling.script]


@pytest.mark.parametrize("how", HOWS)
async def test_without_tools_the_answer_is_left_alone(
    how: str, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    telling.script = "5 > 4 and so on"
    message = await whole(chat, how)
    assert message.text == telling.script
    telling.script = f"a {CALL}"
    for model in (chat, chat.bind_tools([add], tool_choice="none")):
        assert (await whole(model, "invoke")).text == telling.script


def test_both_sides_are_offered_the_tools_in_every_form(
    chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    bound = chat.bind_tools([add, plain, Weather, SCHEMA], tool_choice="auto")
    bound.invoke("x", preferences=["be blunt", "be vivid"])
    (call,) = telling.decoded
    assert call.prompt_b is not None
    for name in ("add", "plain", "Weather", "look"):
        assert f'"{name}"' in call.prompt_a
        assert f'"{name}"' in call.prompt_b
    chat.bind_tools([add], tool_choice="none").invoke("x")
    assert '"add"' not in telling.decoded[-1].prompt_a


@pytest.mark.parametrize("choice", ["any", "required", "add", True, {"type": "function"}])
def test_a_forced_call_says_that_it_is_not_there_yet(choice: Any, chat: ChatPersonaJudge) -> None:
    with pytest.raises(UnsupportedModelError, match="not available yet"):
        chat.bind_tools([add], tool_choice=choice)
    with pytest.raises(UnsupportedModelError, match="not available yet"):
        chat.invoke("x", tools=[], tool_choice=choice)


def test_the_user_survives_the_binding_of_tools(
    chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    chat.with_user(ALICE).bind_tools([add]).invoke("x")
    chat.bind_tools([add]).invoke("x", {"configurable": {"user_id": ALICE}})
    assert [c.request.user_id for c in telling.decoded] == [ALICE, ALICE]


def test_a_conversation_with_calls_and_results_is_rendered(real_engine: PersonaJudge) -> None:
    chat = ChatPersonaJudge(engine=real_engine, max_tokens=4)
    call: Any = {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1"}
    messages = [
        HumanMessage("What is 1 + 2?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("3", tool_call_id="c1"),
    ]
    assert chat.bind_tools([add]).invoke(messages, user_id=ALICE).usage_metadata
