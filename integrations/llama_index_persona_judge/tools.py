"""Tools that the model may call: their schemas on the way in, its calls on the way out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from typing_extensions import Self

from llama_index_persona_judge.binding import BoundLLM
from llama_index_persona_judge.calls import unobserved
from llama_index_persona_judge.prompting import settled
from persona_judge_llm.errors import UnsupportedModelError

if TYPE_CHECKING:
    from llama_index.core.chat_engine.types import AgentChatResponse
    from llama_index.core.tools.types import BaseTool


class ToolCallingLLM(BoundLLM, FunctionCallingLLM):
    """The part of an LLM that agents talk to; the answers hold tool calls as blocks."""

    @unobserved
    def predict_and_call(
        self, tools: Sequence["BaseTool"], *args: Any, **kwargs: Any
    ) -> "AgentChatResponse":
        """Let the model call a tool, and make the call; arguments as in LlamaIndex.

        It must call one, unless `error_on_no_tool_call=False` and its chat template knows tools.
        """
        llm, given = self._for_a_call_of_a_tool(kwargs)
        return super(ToolCallingLLM, llm).predict_and_call(tools, *args, **given)

    @settled
    async def apredict_and_call(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tools: Sequence["BaseTool"], *args: Any, **kwargs: Any
    ) -> "AgentChatResponse":
        """Let the model call a tool, and make the call; as `predict_and_call`."""
        llm, given = self._for_a_call_of_a_tool(kwargs)
        return await super(ToolCallingLLM, llm).apredict_and_call(tools, *args, **given)

    @unobserved
    def chat_with_tools(
        self, tools: Sequence["BaseTool"], *args: Any, **kwargs: Any
    ) -> ChatResponse:
        """Answer with calls of tools or without; arguments as in LlamaIndex, and those of a call.

        No observer is shown them, as with the three below: what it calls is observed.
        """
        llm, given = self._for_one_call(kwargs)
        return super(ToolCallingLLM, llm).chat_with_tools(tools, *args, **given)

    @unobserved
    def stream_chat_with_tools(
        self, tools: Sequence["BaseTool"], *args: Any, **kwargs: Any
    ) -> ChatResponseGen:
        """Answer with calls of tools or without, in pieces; as `chat_with_tools`."""
        llm, given = self._for_one_call(kwargs)
        return super(ToolCallingLLM, llm).stream_chat_with_tools(tools, *args, **given)

    @settled
    async def achat_with_tools(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tools: Sequence["BaseTool"], *args: Any, **kwargs: Any
    ) -> ChatResponse:
        """Answer with calls of tools or without; as `chat_with_tools`."""
        llm, given = self._for_one_call(kwargs)
        return await super(ToolCallingLLM, llm).achat_with_tools(tools, *args, **given)

    @settled
    async def astream_chat_with_tools(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tools: Sequence["BaseTool"], *args: Any, **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Answer with calls of tools or without, in pieces; as `chat_with_tools`."""
        llm, given = self._for_one_call(kwargs)
        return await super(ToolCallingLLM, llm).astream_chat_with_tools(tools, *args, **given)

    def _for_a_call_of_a_tool(self, kwargs: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        llm, given = self._for_one_call(kwargs)
        knows_tools = llm.metadata.is_function_calling_model
        given.setdefault("tool_required", given.get("error_on_no_tool_call", True))
        if not knows_tools:
            given["tool_required"] = True
            llm._calls_in_words = True  # noqa: SLF001
        return llm, given

    def _prepare_chat_with_tools(
        self,
        tools: Sequence["BaseTool"],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        if isinstance(user_msg, str):
            user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
        messages = [*(chat_history or ()), *([user_msg] if user_msg else ())]
        # The limit of some providers on the length of descriptions is not ours.
        schemas = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        form = {
            "tool_required": tool_required,
            "allow_parallel_tool_calls": allow_parallel_tool_calls,
        }
        return {"messages": messages, "tools": schemas, **form, **kwargs}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence["BaseTool"],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Keep the first call only, for callers that can make one at a time."""
        message = response.message
        later = [b for b in message.blocks if isinstance(b, ToolCallBlock)][1:]
        if later and not allow_parallel_tool_calls:
            message.blocks = [b for b in message.blocks if not any(b is call for call in later)]
            message.additional_kwargs["tool_calls"] = message.additional_kwargs["tool_calls"][:1]
        return response

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of an answer.

        Raises:
            UnsupportedModelError: there are none, where that is an error.
        """
        selections = [
            ToolSelection(
                tool_id=block.tool_call_id or "",
                tool_name=block.tool_name,
                tool_kwargs=block.tool_kwargs if isinstance(block.tool_kwargs, dict) else {},
            )
            for block in response.message.blocks
            if isinstance(block, ToolCallBlock)
        ]
        if error_on_no_tool_call and not selections:
            raise UnsupportedModelError("the model answered without calling a tool")
        return selections
