"""The engine's generations and chunks as LlamaIndex's responses."""

import json
from typing import Any
from uuid import uuid4

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)

from persona_judge_llm.tool_calls import ParsedAnswer, ToolCall, parse_tool_calls, shown_length
from persona_judge_llm.trace import Chunk, Generation


def raw_facts(generation: Generation) -> dict[str, Any]:
    """Return what there is to know of an answer: plain values, nothing personal."""
    usage = generation.usage
    return {
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_a": usage.prompt_tokens_a,
            "prompt_tokens_b": usage.prompt_tokens_b,
            "forward_passes": usage.forward_passes,
        },
        "finish_reason": generation.finish_reason,
        "stop_sequence": generation.stop_sequence,
        "acceptance_rate": generation.acceptance_rate,
        "profile_version": generation.profile_version,
        "fingerprint": generation.fingerprint,
        "seed": generation.seed,
    }


def completion_response(generation: Generation) -> CompletionResponse:
    """Return a whole answer to a prompt."""
    return CompletionResponse(text=generation.text, raw=raw_facts(generation))


def chat_response(generation: Generation, *, reads_tool_calls: bool) -> ChatResponse:
    """Return a whole answer to a conversation, its tool calls as blocks."""
    if not reads_tool_calls:
        return ChatResponse(message=_message(generation.text), raw=raw_facts(generation))
    answer = _parsed(generation.text)
    raw = raw_facts(generation)
    if answer.malformed:
        raw["malformed_tool_calls"] = [{"text": m.text, "error": m.error} for m in answer.malformed]
    message = _message(answer.content)
    if answer.calls:
        blocks = [_block(call) for call in answer.calls]
        message.blocks = [*(message.blocks if answer.content else ()), *blocks]
        # Where LlamaIndex looked for them before there were blocks, and its programs still do.
        message.additional_kwargs = {"tool_calls": [_older_call(block) for block in blocks]}
    return ChatResponse(message=message, raw=raw)


class GrowingCompletion:
    """Turns chunks into responses: the text so far, what is new, and at last the facts."""

    def __init__(self) -> None:
        self._text = ""

    def __call__(self, chunk: Chunk) -> CompletionResponse | None:
        """Return the next response; None where there is nothing new to show."""
        self._text += chunk.text
        if chunk.generation is not None:
            response = completion_response(chunk.generation)
            response.delta = chunk.text
            return response
        return CompletionResponse(text=self._text, delta=chunk.text) if chunk.text else None


class GrowingChat:
    """As `GrowingCompletion`, for chats; the mark-up of tool calls is never shown as text."""

    def __init__(self, *, reads_tool_calls: bool) -> None:
        self._reads_tool_calls = reads_tool_calls
        self._text = ""
        self._shown = 0

    def __call__(self, chunk: Chunk) -> ChatResponse | None:
        """Return the next response; None where there is nothing new to show."""
        self._text += chunk.text
        if chunk.generation is not None:
            response = chat_response(chunk.generation, reads_tool_calls=self._reads_tool_calls)
            response.delta = (response.message.content or "")[self._shown :]
            return response
        length = shown_length(self._text) if self._reads_tool_calls else len(self._text)
        if length <= self._shown:
            return None
        delta = self._text[self._shown : length]
        self._shown = length
        return ChatResponse(message=_message(self._text[:length]), delta=delta)


def _message(text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=text)])


def _block(call: ToolCall) -> ToolCallBlock:
    return ToolCallBlock(
        tool_call_id=f"call_{uuid4().hex}", tool_name=call.name, tool_kwargs=call.arguments
    )


def _older_call(block: ToolCallBlock) -> dict[str, Any]:
    """Return a call in OpenAI's shape."""
    function = {"name": block.tool_name, "arguments": json.dumps(block.tool_kwargs)}
    return {"id": block.tool_call_id, "type": "function", "function": function}


def _parsed(text: str) -> ParsedAnswer:
    """Parse an answer; one whose every call is malformed is shown as the model wrote it.

    LlamaIndex has no place for calls that cannot be made, and an empty answer explains nothing.
    """
    answer = parse_tool_calls(text)
    return answer if answer.calls else ParsedAnswer(text, (), answer.malformed)
