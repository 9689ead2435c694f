"""Answers of a given form: objects of a class, and calls of tools that are really made."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import LLM, ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_persona_judge.testing.suite import LLMSuite

# LlamaIndex's agents look at all of their own attributes, deprecated ones included.
QUIET = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Report(BaseModel):
    """A short report."""

    title: str
    pages: int
    topics: list[str]


class Forms(LLMSuite):
    """Structured prediction, tools, agents."""

    def test_an_object_is_predicted(self, llm: LLM) -> None:
        """`structured_predict` returns an object of the class, also awaited."""
        self.need("supports_structured_predict")
        prompt = PromptTemplate("Report on {topic}.")
        found = llm.structured_predict(Report, prompt, topic="rain")
        assert isinstance(found, Report)
        awaited = asyncio.run(llm.astructured_predict(Report, prompt, topic="rain"))
        assert isinstance(awaited, Report)

    def test_an_object_is_streamed(self, llm: LLM) -> None:
        """`stream_structured_predict` grows an object of the class, also awaited."""
        self.need("supports_structured_predict", "supports_streaming")
        prompt = PromptTemplate("Report on {topic}.")

        async def awaited() -> list[Any]:
            stream = await llm.astream_structured_predict(Report, prompt, topic="rain")
            return [item async for item in stream]

        grown: list[Any] = list(llm.stream_structured_predict(Report, prompt, topic="rain"))
        assert isinstance(grown[-1], Report)
        assert isinstance(asyncio.run(awaited())[-1], Report)

    def test_an_llm_of_objects_answers(self, llm: LLM) -> None:
        """`as_structured_llm` answers with the object's JSON, and the object."""
        self.need("supports_structured_predict")
        structured = llm.as_structured_llm(Report)
        chatted = structured.chat([ChatMessage("Report on rain.")])
        completed = structured.complete("Report on rain.")
        for text, raw in (
            (chatted.message.content, chatted.raw),
            (completed.text, completed.raw),
        ):
            assert isinstance(raw, Report)
            assert Report.model_validate_json(text or "") == raw

    def test_tools_are_offered(self, llm: Any) -> None:
        """An answer is text or calls of the tools, told apart, in all four ways."""
        self.need("supports_function_calling")
        tool, _ = _adding()

        async def awaited() -> list[Any]:
            stream = await llm.astream_chat_with_tools([tool], user_msg="20 + 22?")
            found = [item async for item in stream][-1]
            return [await llm.achat_with_tools([tool], user_msg="20 + 22?"), found]

        answers = [llm.chat_with_tools([tool], user_msg="20 + 22?")]
        answers += [list(llm.stream_chat_with_tools([tool], user_msg="20 + 22?"))[-1]]
        for answer in (*answers, *asyncio.run(awaited())):
            calls = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
            assert calls or answer.message.content
            assert {call.tool_name for call in calls} <= {"add"}

    @pytest.mark.parametrize("how", [{"tool_required": True}, {"tool_choice": "add"}])
    def test_a_call_can_be_forced(self, llm: Any, how: dict[str, Any]) -> None:
        """The answer is a call whose arguments fit the tool."""
        self.need("supports_function_calling", "supports_tool_choice")
        tool, _ = _adding()
        answer = llm.chat_with_tools([tool], user_msg="20 + 22?", **how)
        assert any(isinstance(block, ToolCallBlock) for block in answer.message.blocks)
        (call,) = llm.get_tool_calls_from_response(answer)
        assert call.tool_name == "add"
        assert {name: type(value) for name, value in call.tool_kwargs.items()} == {
            "a": int,
            "b": int,
        }

    @QUIET
    def test_a_tool_is_called_in_one_step(self, llm: Any) -> None:
        """`predict_and_call` makes the call that the model asks for, also awaited."""
        self.need("supports_function_calling", "supports_tool_choice")
        tool, made = _adding()
        found = llm.predict_and_call([tool], user_msg="20 + 22?", tool_required=True)
        assert [found.response] == [str(total) for total in made]
        awaited = llm.apredict_and_call([tool], user_msg="20 + 22?", tool_required=True)
        assert asyncio.run(awaited).response == str(made[-1])
        assert len(made) == 2

    @QUIET
    @pytest.mark.parametrize("streaming", [False, True])
    def test_an_agent_calls_a_tool(self, llm: LLM, *, streaming: bool) -> None:
        """A `FunctionAgent` calls a tool and comes to an end."""
        self.need("supports_function_calling", "supports_tool_choice")
        tool, made = _adding()

        async def run() -> Any:
            agent = FunctionAgent(
                tools=[tool], llm=llm, initial_tool_choice="add", streaming=streaming
            )
            return await agent.run("20 + 22?")

        result = asyncio.run(run())
        assert made
        assert result.tool_calls[0].tool_name == "add"
        assert result.tool_calls[0].tool_output.content == str(made[0])


def _adding() -> tuple[FunctionTool, list[int]]:
    """Return a tool, and what it has returned so far."""
    made: list[int] = []

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        made.append(a + b)
        return made[-1]

    function: Callable[..., Any] = add
    return FunctionTool.from_defaults(function), made
