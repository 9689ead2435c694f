"""LlamaIndex's chat messages as the mappings that the engine takes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from persona_judge_llm.errors import InvalidPromptError
from persona_judge_llm.requests import Prompt

_ROLES: Final = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}
# Earlier reasoning is not shown to a model again, and a cache point is a hint to a provider.
_WITHOUT_TEXT: Final = (CachePoint, ThinkingBlock, ToolCallBlock)


def to_text(prompt: str) -> str:
    """Return the prompt of a completion, which is read as the text of one user message."""
    if not isinstance(prompt, str):
        raise InvalidPromptError("prompt", type(prompt).__name__, "a string")
    return prompt


def to_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Translate a conversation.

    Raises:
        InvalidPromptError: content that is not text (it is named), or tool calls that cannot be
            read.
    """
    if isinstance(messages, ChatMessage | str) or not isinstance(messages, Sequence):
        raise InvalidPromptError("messages", type(messages).__name__, "a list of ChatMessage")
    return [_to_message(message) for message in messages]


def _to_message(message: ChatMessage) -> dict[str, Any]:
    if not isinstance(message, ChatMessage):
        raise InvalidPromptError("messages", type(message).__name__, "a list of ChatMessage")
    translated: dict[str, Any] = {"role": _ROLES[message.role], "content": _text(message)}
    if calls := _tool_calls(message):
        translated["tool_calls"] = calls
    for name in ("tool_call_id", "name"):
        if isinstance(value := message.additional_kwargs.get(name), str):
            translated[name] = value
    return translated


def _text(message: ChatMessage) -> str:
    texts = []
    for block in message.blocks:
        if isinstance(block, TextBlock):
            texts.append(block.text)
        elif not isinstance(block, _WITHOUT_TEXT):
            kind = type(block).__name__
            raise InvalidPromptError("message content", kind, "text: the model reads nothing else")
    return "\n".join(texts)


def _tool_calls(message: ChatMessage) -> list[dict[str, Any]]:
    """Return the calls an assistant made; as blocks, or in the older way, not both."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [_call(b.tool_call_id, b.tool_name, b.tool_kwargs) for b in blocks]
    return [_older_call(call) for call in message.additional_kwargs.get("tool_calls") or ()]


def _older_call(call: object) -> dict[str, Any]:
    """Read a call in OpenAI's shape: a mapping, or an object that can be dumped to one."""
    dump = getattr(call, "model_dump", None)
    if callable(dump):
        call = dump()
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise InvalidPromptError("tool_calls", type(call).__name__, "calls with a 'function'")
    return _call(call.get("id"), function.get("name"), function.get("arguments"))


def _call(call_id: object, name: object, arguments: object) -> dict[str, Any]:
    # The engine checks what is in it, and reads arguments that are still JSON text.
    function = {"name": name, "arguments": {} if arguments is None else arguments}
    call = {"type": "function", "function": function}
    return {"id": call_id, **call} if isinstance(call_id, str) else call


def with_instructions(prompt: Prompt, instructions: Sequence[str | None]) -> Prompt:
    """Return a prompt that begins by telling the model what form its answer has."""
    told = [{"role": "system", "content": text} for text in instructions if text]
    if not told:
        return prompt
    return [*told, *([{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt)]


def written_tools(tools: Sequence[Mapping[str, Any]]) -> str:
    """Return what tells a model of tools whose chat template does not."""
    listed = "\n".join(json.dumps(tool.get("function", tool)) for tool in tools)
    return f"Answer with a call of one of these functions:\n{listed}"
