"""LangChain messages as the chat messages of a `Request`, and tools as OpenAI-style schemas."""

from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from persona_judge_llm.errors import InvalidPromptError

_ROLES: Final = {"human": "user", "ai": "assistant", "function": "tool"}
_TYPES: Final[tuple[tuple[type[BaseMessage], str], ...]] = (
    (SystemMessage, "system"),
    (HumanMessage, "user"),
    (AIMessage, "assistant"),
    (ToolMessage, "tool"),
    (FunctionMessage, "tool"),
)
# What an assistant's message may hold besides text, and what stands elsewhere in the message too.
_REPEATED: Final = frozenset(
    {"tool_use", "tool_call", "invalid_tool_call", "tool_call_chunk", "reasoning", "thinking"}
)


def to_chat(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Return the messages in the form that chat templates take.

    Raises:
        InvalidPromptError: a kind of message, or of content, that a text model cannot read.
    """
    return [_to_chat(message) for message in messages]


def _to_chat(message: BaseMessage) -> dict[str, Any]:
    chat: dict[str, Any] = {"role": _role(message), "content": _text(message)}
    if isinstance(message, AIMessage) and message.tool_calls:
        chat["tool_calls"] = [
            {
                "type": "function",
                "id": call["id"],
                "function": {"name": call["name"], "arguments": call["args"]},
            }
            for call in message.tool_calls
        ]
    if isinstance(message, ToolMessage):
        chat["tool_call_id"] = message.tool_call_id
    if message.name:
        chat["name"] = message.name
    return chat


def _role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return _ROLES.get(message.role, message.role)
    for kind, role in _TYPES:
        if isinstance(message, kind):
            return role
    raise InvalidPromptError(
        "message", type(message).__name__, "a system, human, AI, tool, function or chat message"
    )


def _text(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    # The pieces of a streamed answer join as they are; parts that a caller lists are separate.
    joint = "" if isinstance(message, AIMessage) else "\n"
    return joint.join(_block_text(block, message) for block in message.content)


def _block_text(block: str | dict[Any, Any], message: BaseMessage) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return str(block["text"])
    if isinstance(message, AIMessage) and kind in _REPEATED:
        return ""
    # The kind alone: the block itself may be megabytes of somebody's picture.
    raise InvalidPromptError(f"content block of a {message.type} message", kind, "'text'")
