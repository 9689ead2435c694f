"""Tools that the model may call: their schemas on the way in, its calls on the way out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection

from persona_judge_llm.errors import UnsupportedModelError

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool


class ToolCallingLLM(FunctionCallingLLM):
    """The part of an LLM that agents talk to; the answers hold tool calls as blocks."""

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
        if not allow_parallel_tool_calls:
            blocks = response.message.blocks
            later = [b for b in blocks if isinstance(b, ToolCallBlock)][1:]
            response.message.blocks = [b for b in blocks if not any(b is call for call in later)]
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
