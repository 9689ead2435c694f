"""Tools: schemas into the prompt, calls out of the answer, agents that get their work done."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import UnsupportedModelError
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


ADD = FunctionTool.from_defaults(add)


def call_text(**arguments: Any) -> str:
    call = {"name": "add", "arguments": arguments}
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
    llm = scripted(lambda _: call_text(a=1, b=2) + call_text(a=3, b=4))
    one = llm.chat_with_tools([ADD], user_msg="?")
    assert [c.tool_kwargs for c in llm.get_tool_calls_from_response(one)] == [{"a": 1, "b": 2}]
    both = llm.chat_with_tools([ADD], user_msg="?", allow_parallel_tool_calls=True)
    assert len(llm.get_tool_calls_from_response(both)) == 2
    assert llm.predict_and_call([ADD], user_msg="?").response == "3"


@pytest.mark.parametrize("stream", [False, True])
def test_a_malformed_call_is_shown_as_it_was_written(
    *, stream: bool, scripted: ScriptedLLM
) -> None:
    written = 'So.\n<tool_call>\n{"name": "add", "argum</tool_call>'
    llm = scripted(lambda _: written)
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


def test_tools_can_be_declined_but_not_forced(scripted: ScriptedLLM) -> None:
    llm = scripted(calculates)
    llm.chat_with_tools([ADD], user_msg="?", tool_choice="none")
    assert "Add two numbers" not in llm.engine.calls[-1].prompt_a  # type: ignore[attr-defined]
    for forced in ({"tool_required": True}, {"tool_choice": "add"}, {"tool_choice": "required"}):
        with pytest.raises(UnsupportedModelError, match="cannot be made to"):
            llm.chat_with_tools([ADD], user_msg="?", **forced)


class Sum(BaseModel):
    """A sum."""

    total: int


def test_structured_prediction_says_how_it_can_be_had(scripted: ScriptedLLM) -> None:
    prompt = PromptTemplate("20 + 22?")
    with pytest.raises(UnsupportedModelError, match="pydantic_program_mode"):
        scripted().structured_predict(Sum, prompt)
    llm = scripted(lambda _: '{"total": 42}', pydantic_program_mode="llm")
    assert llm.structured_predict(Sum, prompt) == Sum(total=42)
    again = llm.structured_predict(Sum, prompt, llm_kwargs={"user_id": "alice"})
    assert again == Sum(total=42)
    assert "Write for alice" in llm.engine.calls[-1].prompt_a  # type: ignore[attr-defined]
