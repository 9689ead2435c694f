"""Tools: offered to both sides, called as their schemas say, read out of the answer in any form."""

import json
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_persona_judge import ChatPersonaJudge
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError, PersonaJudgeError
from tests.integration.langchain.conftest import ALICE, BOB, TellingEngine

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


CHOICES: list[Any] = [
    "any",
    "required",
    True,
    "add",
    {"type": "function", "function": {"name": "add"}},
    {"type": "tool", "name": "add"},
]


@pytest.fixture
def writing(roomy: PersonaJudge) -> ChatPersonaJudge:
    """Random weights: whatever fits a schema, the constraint made fit."""
    return ChatPersonaJudge(engine=roomy, max_tokens=200, seed=1).with_user(ALICE)


class PlaceDict(TypedDict):
    """A place."""

    name: Annotated[str, ..., "what it is called"]


TOOLS: dict[str, Any] = {
    "add": add,
    "plain": plain,
    "Weather": Weather,
    "PlaceDict": PlaceDict,
    "look": SCHEMA,
    "pick": {
        "name": "pick",
        "description": "Pick a colour.",
        "input_schema": {
            "type": "object",
            "properties": {"colour": {"enum": ["red", "blue"]}},
            "required": ["colour"],
        },
    },
}
FITS: dict[str, Any] = {
    "add": {"a": int, "b": int},
    "plain": {"a": int},
    "Weather": {"place": str},
    "PlaceDict": {"name": str},
    "look": {},
    "pick": {"colour": str},
}


def check(calls: list[Any]) -> None:
    """Check that these are calls of `TOOLS` with the arguments that they ask for."""
    for call in calls:
        assert {name: type(value) for name, value in call["args"].items()} == FITS[call["name"]]
        assert call["args"].get("colour") in (None, "red", "blue")
    assert len({call["id"] for call in calls}) == len(calls)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("choice", CHOICES, ids=str)
async def test_a_forced_call_fits_its_schema_on_any_weights(
    how: str, choice: Any, writing: ChatPersonaJudge
) -> None:
    message = await whole(writing.bind_tools(list(TOOLS.values()), tool_choice=choice), how)
    assert (message.text, message.invalid_tool_calls) == ("", [])
    assert message.tool_calls
    check(message.tool_calls)
    if choice not in ("any", "required", True):
        assert {c["name"] for c in message.tool_calls} == {"add"}


@pytest.mark.parametrize("name", TOOLS)
def test_any_tool_can_be_called_by_its_name(name: str, writing: ChatPersonaJudge) -> None:
    bound = writing.bind_tools(list(TOOLS.values()), tool_choice=name, parallel_tool_calls=False)
    for user in (ALICE, BOB):
        (call,) = bound.invoke("x", user_id=user).tool_calls
        assert call["name"] == name
        check([call])


@pytest.mark.parametrize("strict", [True, False])
def test_strict_schemas_are_offered_as_such(strict: bool, writing: ChatPersonaJudge) -> None:
    bound: Any = writing.bind_tools([add, Weather], tool_choice="any", strict=strict)
    assert [t["function"]["strict"] for t in bound.kwargs["tools"]] == [strict, strict]
    check(bound.invoke("x").tool_calls)


def test_one_call_alone_where_no_others_may_stand_beside_it(writing: ChatPersonaJudge) -> None:
    single = writing.bind_tools([add], tool_choice="any", parallel_tool_calls=False)
    several = writing.bind_tools([add], tool_choice="any", parallel_tool_calls=True)
    counted = []
    for seed in range(8):
        assert len(single.invoke("x", seed=seed).tool_calls) == 1
        calls = several.invoke("x", seed=seed).tool_calls
        check(calls)
        counted.append(len(calls))
    assert max(counted) > 1, "parallel calls never happen, so nothing was shown"


@pytest.mark.parametrize("choice", [None, "auto", False])
def test_without_force_the_model_decides(
    choice: Any, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    bound = chat.bind_tools([add], tool_choice=choice)
    assert bound.invoke("x", user_id=ALICE).text == "speaks of the sea"
    bound.invoke("x", user_id=ALICE, parallel_tool_calls=False)
    decides, at_most_one = telling.decoded
    assert decides.request.constraint is None, "the engine holds calls to their tools by itself"
    for call in (decides, at_most_one):
        assert '"add"' in call.prompt_a
        assert call.constraint is not None
    assert at_most_one.request.constraint is not None
    assert at_most_one.request.constraint.optional, "text is as good as a call"


def test_what_was_called_of_its_own_accord_fits_too(writing: ChatPersonaJudge) -> None:
    tools = list(TOOLS.values())
    for seed in range(6):
        message = writing.bind_tools(tools).invoke("x", seed=seed, max_tokens=100)
        check(message.tool_calls)
        if message.response_metadata["finish_reason"] == "stop":
            assert message.invalid_tool_calls == []


def test_tools_and_a_schema_leave_either_and_nothing_else(writing: ChatPersonaJudge) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    bound = writing.bind_tools(list(TOOLS.values()), response_format=form)
    for seed in range(5):
        message = bound.invoke("x", seed=seed)
        check(message.tool_calls)
        if not message.tool_calls:
            assert {k: type(v) for k, v in json.loads(message.text).items()} == {"n": int}


@pytest.mark.parametrize(
    "choice", ["subtract", 7, "", {"type": "function"}, {"type": "any"}, ["add"]], ids=str
)
def test_a_choice_that_cannot_be_met_is_refused_where_it_is_bound(
    choice: Any, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    with pytest.raises(InvalidParameterError, match="tool_choice"):
        chat.bind_tools([add], tool_choice=choice)
    with pytest.raises(InvalidParameterError, match="tool_choice"):
        chat.bind_tools([add]).invoke("x", tool_choice=choice)
    assert telling.decoded == []


@pytest.mark.parametrize("choice", ["any", "required", True, "add"])
def test_no_call_can_be_forced_where_no_tools_are_offered(
    choice: Any, chat: ChatPersonaJudge
) -> None:
    with pytest.raises(InvalidParameterError, match="tool_choice"):
        chat.bind_tools([], tool_choice=choice)
    with pytest.raises(InvalidParameterError, match="tool_choice"):
        chat.invoke("x", tool_choice=choice)


def test_a_tool_that_cannot_be_decoded_by_is_refused_where_a_call_of_it_is_forced(
    chat: ChatPersonaJudge,
) -> None:
    strange = {"title": "odd", "type": "object", "properties": {"a": {"type": "strange"}}}
    with pytest.raises(PersonaJudgeError):
        chat.bind_tools([strange], tool_choice="any")
    chat.bind_tools([strange]).invoke("x")  # offered only: the model may do what it will


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
