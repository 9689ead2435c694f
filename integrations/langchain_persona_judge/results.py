"""What the engine returns, in LangChain's words."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk

from persona_judge_llm.tool_calls import parse_tool_calls, shown_length
from persona_judge_llm.trace import Chunk, Generation, Outcome


@dataclass(frozen=True, slots=True)
class Reading:
    """How generations are read."""

    model_name: str
    tools: bool = False
    """Whether tools were offered, so that calls of them are looked for."""
    decode: Callable[[list[int]], str] | None = None
    """Returns the text of tokens, where their log probabilities are asked for."""


def usage_metadata(generation: Generation) -> UsageMetadata:
    """Return the tokens of a call; the conversation is counted once, without preferences."""
    return UsageMetadata(
        input_tokens=generation.usage.prompt_tokens,
        output_tokens=generation.usage.completion_tokens,
        total_tokens=generation.usage.total_tokens,
    )


def response_metadata(generation: Generation, reading: Reading) -> dict[str, Any]:
    """Return what happened in a call, without anything personal."""
    usage = generation.usage
    outcomes = Counter(token.outcome for token in generation.trace)
    logprobs = {"logprobs": _logprobs(generation, reading.decode)} if reading.decode else {}
    return {
        "model_name": reading.model_name,
        "finish_reason": generation.finish_reason,
        "stop_sequence": generation.stop_sequence,
        "acceptance_rate": generation.acceptance_rate,
        "profile_version": generation.profile_version,
        "fingerprint": generation.fingerprint,
        "persona_judge": {
            "prompt_tokens_a": usage.prompt_tokens_a,
            "prompt_tokens_b": usage.prompt_tokens_b,
            "forward_passes": usage.forward_passes,
            **{f"{outcome}_tokens": outcomes[outcome] for outcome in get_args(Outcome)},
            "seed": generation.seed,
        },
        **logprobs,
    }


def _logprobs(generation: Generation, decode: Callable[[list[int]], str]) -> dict[str, Any]:
    """Return log probabilities in the judge's distributions, in the form of OpenAI's API."""

    def told(token: int, prob: float) -> dict[str, Any]:
        text = decode([token])
        whole = "\ufffd" not in text  # else some bytes of a character
        raw = list(text.encode()) if whole else None
        return {"token": text, "logprob": math.log(prob), "bytes": raw}

    return {
        "content": [
            {
                **told(t.token_id, t.judge_prob),
                "top_logprobs": [told(token, prob) for token, prob in t.top_probs],
            }
            for t in generation.trace
        ]
    }


def token_usage(generations: Sequence[Generation], each: int | None = None) -> dict[str, int]:
    """Return the tokens of answers, each prompt counted once.

    Args:
        generations: the answers.
        each: how many of them, one after the other, answer one prompt; None: all.
    """
    step = each or len(generations) or 1
    prompt = sum(generation.usage.prompt_tokens for generation in generations[::step])
    completion = sum(generation.usage.completion_tokens for generation in generations)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def summed(outputs: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return the tokens of several calls together, in the form of one."""
    told = [output for output in outputs if output]
    if not told:  # all from a cache
        return {}
    total: Counter[str] = Counter()
    for output in told:
        total.update(output["token_usage"])
    return {"model_name": told[0]["model_name"], "token_usage": dict(total)}


def completion_info(generation: Generation, reading: Reading) -> dict[str, Any]:
    """Return the `generation_info` of a completed string."""
    return {
        **response_metadata(generation, reading),
        "usage_metadata": dict(usage_metadata(generation)),
    }


def completion_chunk(chunk: Chunk, reading: Reading) -> GenerationChunk:
    """Return a piece of a string; the last one says what happened."""
    info = completion_info(chunk.generation, reading) if chunk.generation else None
    return GenerationChunk(text=chunk.text, generation_info=info)


def answer(generation: Generation, reading: Reading) -> AIMessage:
    """Return an answer as a message."""
    message = AIMessage(
        content=generation.text,
        usage_metadata=usage_metadata(generation),
        response_metadata=response_metadata(generation, reading),
    )
    if reading.tools:
        parsed = parse_tool_calls(generation.text)
        message.content = parsed.content
        message.tool_calls = [
            tool_call(name=call.name, args=call.arguments, id=_call_id()) for call in parsed.calls
        ]
        message.invalid_tool_calls = [
            invalid_tool_call(name=None, args=bad.text, id=_call_id(), error=bad.error)
            for bad in parsed.malformed
        ]
    return message


class AnswerStream:
    """Turns the chunks of one call into message chunks that add up to `answer`.

    With tools, what is or may become a call is held back until the answer is complete.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._text = ""
        self._shown = 0

    def feed(self, chunk: Chunk) -> list[ChatGenerationChunk]:
        """Return what can be shown after `chunk`."""
        self._text += chunk.text
        if chunk.generation is not None:
            return [ChatGenerationChunk(message=m) for m in self._last(chunk.generation)]
        shown = shown_length(self._text) if self._reading.tools else len(self._text)
        delta = self._text[self._shown : shown]
        if not delta:
            return []
        self._shown = shown
        return [ChatGenerationChunk(message=AIMessageChunk(content=delta))]

    def _last(self, generation: Generation) -> Iterator[AIMessageChunk]:
        whole = answer(generation, self._reading)
        rest = whole.text[self._shown :]
        if calls := [*whole.tool_calls, *whole.invalid_tool_calls]:
            if rest:
                yield AIMessageChunk(content=rest)
                rest = ""
            # A chunk of their own: LangChain's events drop malformed calls beside text, and in
            # the last chunk.
            yield AIMessageChunk(
                content="",
                tool_call_chunks=[
                    tool_call_chunk(name=c["name"], args=_as_text(c["args"]), id=c["id"], index=n)
                    for n, c in enumerate(calls)
                ],
            )
        yield AIMessageChunk(
            content=rest,
            usage_metadata=whole.usage_metadata,
            response_metadata=whole.response_metadata,
            chunk_position="last",
        )


def _call_id() -> str:
    # Random: a model that repeats a call in a later turn must not repeat its id.
    return f"call_{uuid4().hex}"


def _as_text(arguments: dict[str, Any] | str | None) -> str | None:
    return json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) else arguments
