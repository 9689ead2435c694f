"""Tools: schemas into the prompt, calls out of the answer, agents that get their work done."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
)
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import (
    InvalidParameterError,
    InvalidPromptError,
    UnsupportedModelError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing import tiny_model, tiny_tokenizer

# LlamaIndex's agents look at all of their own attributes, deprecated ones included, and ask
# whether they run.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)

ScriptedLLM = Callable[..., PersonaJudgeLLM]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


ADD, MULTIPLY = FunctionTool.from_defaults(add), FunctionTool.from_defaults(multiply)


def call_text(name: str = "add", **arguments: Any) -> str:
    call = {"name": name, "arguments": arguments}
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


def calculates(prompt: str) -> str:
    """Call the tool, then say what came of it, to whom."""
    user = "alice" if "Write for alice" in prompt else "nobody"
    if "<|im_start|>tool" not in prompt:
        return f"Let me see.\n{call_text(a=20, b=22)}"
    return f"It is {prompt.rsplit('tool', 1)[1].split('<', 1)[0].strip()}, {user}."


def reasons(prompt: str) -> str:
    """Do the same in the words of ReAct."""
    user = "alice" if "Write for alice" in prompt else "nobody"
    if "Observation: 42" in prompt:
        return f"Thought: I can answer.\nAnswer: It is 42, {user}."
    return 'Thought: I need a tool.\nAction: add\nAction Input: {"a": 20, "b": 22}'


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_function_agent_completes_a_tool_call(
    *, streaming: bool, scripted: ScriptedLLM
) -> None:
    llm = scripted(calculates)
    agent = FunctionAgent(tools=[ADD], llm=llm.with_user("alice"), streaming=streaming)
    run = agent.run("20 + 22?")
    shown = [e.delta async for e in run.stream_events() if isinstance(e, AgentStream)]
    result: Any = await run
    assert str(result) == "It is 42, alice."
    assert [(c.tool_name, c.tool_kwargs) for c in result.tool_calls] == [
        ("add", {"a": 20, "b": 22})
    ]
    if streaming:
        assert "".join(shown) == "Let me see.It is 42, alice."


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_react_agent_completes_a_tool_call(
    *, streaming: bool, scripted: ScriptedLLM
) -> None:
    llm = scripted(reasons).with_user("alice")
    agent = ReActAgent(tools=[ADD], llm=llm, streaming=streaming)
    assert str(await agent.run("20 + 22?")) == "It is 42, alice."


async def test_agents_of_several_users_do_not_meet(scripted: ScriptedLLM) -> None:
    llm = scripted(calculates)

    async def ask(user: str) -> str:
        return str(await FunctionAgent(tools=[ADD], llm=llm.with_user(user)).run("20 + 22?"))

    answers = await asyncio.gather(*[ask(user) for user in ("alice", "bob") * 3])
    assert answers == ["It is 42, alice.", "It is 42, nobody."] * 3


def test_the_template_decides_which_agent_is_picked(scripted: ScriptedLLM) -> None:
    with_tools = AgentWorkflow.from_tools_or_functions([ADD], llm=scripted())
    assert isinstance(next(iter(with_tools.agents.values())), FunctionAgent)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    )
    llm = PersonaJudgeLLM(engine=PersonaJudge(tiny_model(), tokenizer))
    assert not llm.metadata.is_function_calling_model
    without = AgentWorkflow.from_tools_or_functions([ADD], llm=llm)
    assert isinstance(next(iter(without.agents.values())), ReActAgent)


async def test_tools_stand_in_the_prompt_and_calls_in_blocks_in_all_four_ways(
    scripted: ScriptedLLM,
) -> None:
    llm = scripted(calculates)
    sync = llm.chat_with_tools([ADD], user_msg="20 + 22?")
    streamed = list(llm.stream_chat_with_tools([ADD], user_msg="20 + 22?"))
    waited = await llm.achat_with_tools([ADD], user_msg="20 + 22?")
    stream = await llm.astream_chat_with_tools([ADD], chat_history=[ChatMessage("20 + 22?")])
    astreamed = [item async for item in stream]
    for response in (sync, streamed[-1], waited, astreamed[-1]):
        assert response.message.content == "Let me see."
        (selection,) = llm.get_tool_calls_from_response(response)
        assert (selection.tool_name, selection.tool_kwargs) == ("add", {"a": 20, "b": 22})
        assert selection.tool_id.startswith("call_")
    for items in (streamed, astreamed):
        assert "".join(item.delta or "" for item in items) == "Let me see."
        assert all(not llm.get_tool_calls_from_response(i, False) for i in items[:-1])
    for call in llm.engine.calls:  # type: ignore[attr-defined]
        assert '"description": "add(a: int, b: int) -> int\\nAdd two numbers."' in call.prompt_a


def test_markup_is_text_where_no_tools_were_given(scripted: ScriptedLLM) -> None:
    response = scripted(lambda _: call_text(a=1, b=2)).chat([ChatMessage("hi")])
    assert response.message.content == call_text(a=1, b=2)
    assert not [b for b in response.message.blocks if isinstance(b, ToolCallBlock)]


def test_callers_that_make_one_call_at_a_time_get_the_first(scripted: ScriptedLLM) -> None:
    def script(_: str) -> str:
        return call_text(a=1, b=2) + call_text(a=3, b=4)

    # Held to one call, and held to nothing.
    for llm in (scripted(script), scripted(script, loop="reference")):
        one = llm.chat_with_tools([ADD], user_msg="?")
        assert [c.tool_kwargs for c in llm.get_tool_calls_from_response(one)] == [{"a": 1, "b": 2}]
        assert len(one.message.additional_kwargs["tool_calls"]) == 1
    llm = scripted(script)
    both = llm.chat_with_tools([ADD], user_msg="?", allow_parallel_tool_calls=True)
    assert len(llm.get_tool_calls_from_response(both)) == 2
    assert llm.predict_and_call([ADD], user_msg="?").response == "3"


@pytest.mark.parametrize("stream", [False, True])
def test_a_malformed_call_is_shown_as_it_was_written(
    *, stream: bool, scripted: ScriptedLLM
) -> None:
    written = 'So.\n<tool_call>\n{"name": "add", "argum</tool_call>'
    llm = scripted(lambda _: written, loop="reference")  # which holds answers to nothing
    if stream:
        items = list(llm.stream_chat_with_tools([ADD], user_msg="?"))
        assert "".join(item.delta or "" for item in items) == written
        response: Any = items[-1]
    else:
        response = llm.chat_with_tools([ADD], user_msg="?")
    assert response.message.content == written
    assert [m["text"] for m in response.raw["malformed_tool_calls"]] == [written[4:]]
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(UnsupportedModelError, match="without calling"):
        llm.get_tool_calls_from_response(response)


def test_tools_can_be_declined(scripted: ScriptedLLM) -> None:
    llm = scripted(calculates)
    answer = llm.chat_with_tools([ADD], user_msg="?", tool_choice="none", tool_required=True)
    assert "Add two numbers" not in llm.engine.calls[-1].prompt_a  # type: ignore[attr-defined]
    assert not [b for b in answer.message.blocks if isinstance(b, ToolCallBlock)]


FORCED: list[dict[str, Any]] = [
    {"tool_required": True},
    {"tool_choice": "any"},
    {"tool_choice": "required"},
    {"tool_choice": True},
    {"tool_choice": "multiply"},
    {"tool_choice": {"type": "function", "function": {"name": "multiply"}}},
]


@pytest.mark.parametrize("how", FORCED, ids=str)
async def test_a_call_is_forced_on_any_weights(how: dict[str, Any], real: PersonaJudgeLLM) -> None:
    llm = real.model_copy(update={"max_tokens": 150})

    def called(response: Any) -> set[str]:
        selections = llm.get_tool_calls_from_response(response)
        assert not response.message.content
        for selection in selections:
            assert {type(value) for value in selection.tool_kwargs.values()} == {int}
            assert sorted(selection.tool_kwargs) == ["a", "b"]
        assert len(selections) == 1
        assert len(response.message.additional_kwargs["tool_calls"]) == 1
        return {selection.tool_name for selection in selections}

    tools = [ADD, MULTIPLY]
    expected = {"multiply"} if "multiply" in str(how) else {"add", "multiply"}
    arguments = {"user_msg": "20 + 22?", "user_id": "alice", "seed": 1, **how}
    found = called(llm.chat_with_tools(tools, **arguments))
    assert called(await llm.achat_with_tools(tools, **arguments)) == found
    assert called(list(llm.stream_chat_with_tools(tools, **arguments))[-1]) == found
    stream = await llm.astream_chat_with_tools(tools, **arguments)
    assert called([item async for item in stream][-1]) == found
    assert found <= expected


def test_several_calls_are_made_only_where_they_are_allowed(real: PersonaJudgeLLM) -> None:
    llm = real.model_copy(update={"max_tokens": 200})

    def count(**how: Any) -> int:
        messages = [ChatMessage("20 + 22?")]
        tools = [ADD.metadata.to_openai_tool()]
        # Random weights that like nothing so much as to open another call.
        like = {259: 100.0}
        answer = llm.chat(messages, tools=tools, tool_required=True, logit_bias=like, **how)
        return len(llm.get_tool_calls_from_response(answer))

    assert count(allow_parallel_tool_calls=True) > 1
    assert count(allow_parallel_tool_calls=False) == 1


def test_a_choice_that_is_not_there_is_refused(real: PersonaJudgeLLM) -> None:
    choices: list[Any] = ["subtract", 3, {}]
    for choice in choices:
        with pytest.raises(InvalidParameterError, match="tool_choice"):
            real.chat_with_tools([ADD], user_msg="?", tool_choice=choice)
    with pytest.raises(InvalidParameterError, match="tool_choice"):
        real.chat([ChatMessage("?")], tool_choice="add")
    with pytest.raises(InvalidParameterError, match="max_new_tokens"):
        real.chat_with_tools([ADD], user_msg="?", tool_required=True)


def test_a_template_without_tools_is_told_of_those_that_must_be_called() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    )
    llm = PersonaJudgeLLM(engine=PersonaJudge(tiny_model(), tokenizer), max_tokens=150)
    answer = llm.chat_with_tools([ADD], user_msg="20 + 22?", tool_required=True)
    assert llm.get_tool_calls_from_response(answer)[0].tool_name == "add"
    with pytest.raises(InvalidPromptError, match="tools"):
        llm.chat_with_tools([ADD], user_msg="20 + 22?")


@pytest.mark.parametrize("forced", [None, "get_weather"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_an_agent_gets_its_work_done_on_the_bundled_model(
    forced: str | None, *, streaming: bool
) -> None:
    asked: list[str] = []

    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        asked.append(city)
        return "sunny, 21 degrees"

    likes = (Preference("Be concise"), Preference("Make me laugh"))
    store = InMemoryProfileStore([Profile("alice", likes)])
    llm = PersonaJudgeLLM.bundled(profiles=store, temperature=0, max_tokens=80)
    agent = FunctionAgent(
        tools=[FunctionTool.from_defaults(get_weather)],
        llm=llm.with_user("alice"),
        streaming=streaming,
        initial_tool_choice=forced,
    )
    run = agent.run("What is the weather in Paris?")
    outputs = [event async for event in run.stream_events() if isinstance(event, AgentOutput)]
    result: Any = await run
    (call,) = result.tool_calls
    assert asked == ["Paris"]
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Paris"})
    assert call.tool_output.content == "sunny, 21 degrees"
    assert "sunny, 21 degrees" in str(result)
    facts = [(event.raw["profile_version"], event.raw["acceptance_rate"]) for event in outputs]  # type: ignore[index]
    assert [version for version, _ in facts] == [1, 1]
    assert all(rate is not None for _, rate in facts)


class Sum(BaseModel):
    """A sum."""

    total: int


def test_structured_prediction_is_read_out_of_a_script(scripted: ScriptedLLM) -> None:
    prompt = PromptTemplate("20 + 22?")
    in_words = scripted(lambda _: '{"total": 42}', pydantic_program_mode="llm")
    assert in_words.structured_predict(Sum, prompt) == Sum(total=42)
    by_tool = scripted(lambda _: call_text(name="Sum", total=42))
    assert by_tool.structured_predict(Sum, prompt, llm_kwargs={"user_id": "alice"}) == Sum(total=42)
    assert "Write for alice" in by_tool.engine.calls[-1].prompt_a  # type: ignore[attr-defined]
