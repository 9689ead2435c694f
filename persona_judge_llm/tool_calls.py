"""Tool calls in an answer's text: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`.

This is how Qwen, Hermes and many others, and the bundled model, write them. Pure functions; each
integration turns the result into its framework's objects.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, Final, NoReturn

OPEN: Final = "<tool_call>"
CLOSE: Final = "</tool_call>"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that can be made."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MalformedToolCall:
    """Something that begins like a call and cannot be read as one."""

    text: str
    """As the model wrote it, from the opening tag on. Being no JSON, it is safe with frameworks
    that complete truncated JSON and would make a call of it after all."""
    error: str


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """An answer's text without its tool calls, and the tool calls."""

    content: str
    calls: tuple[ToolCall, ...]
    malformed: tuple[MalformedToolCall, ...]


def parse_tool_calls(text: str) -> ParsedAnswer:
    """Take the tool calls out of a finished answer.

    A text without the opening tag is returned as it is. A missing closing tag is forgiven where
    the call itself is whole: models often end their turn in place of it.
    """
    start = text.find(OPEN)
    if start < 0:
        return ParsedAnswer(text, (), ())
    content = text[:start].rstrip()
    calls: list[ToolCall] = []
    malformed: list[MalformedToolCall] = []
    while start >= 0:
        end, found = _read_call(text, start)
        if isinstance(found, ToolCall):
            calls.append(found)
        else:
            malformed.append(found)
        start = text.find(OPEN, end)
        between = text[end : start if start >= 0 else None].strip()
        if between:
            content += f"\n{between}" if content else between
    return ParsedAnswer(content, tuple(calls), tuple(malformed))


def shown_length(text: str) -> int:
    """Return how much of a growing answer is content whatever follows.

    The rest is held back: from the opening tag on, a tag that may be beginning, and white space
    before either. What has been shown always begins the `content` of the finished answer.
    """
    start = text.find(OPEN)
    if start < 0:
        start = len(text) - next(
            n for n in range(min(len(OPEN), len(text)), -1, -1) if text.endswith(OPEN[:n])
        )
    return len(text[:start].rstrip())


def _read_call(text: str, start: int) -> tuple[int, ToolCall | MalformedToolCall]:
    """Return where the call that opens at `start` ends, and the call."""
    body = _skip_space(text, start + len(OPEN))
    following = text.find(OPEN, body)
    limit = following if following >= 0 else len(text)
    close = text.find(CLOSE, body, limit)
    block_end = close + len(CLOSE) if close >= 0 else limit
    try:
        # The end of the JSON value, not the next closing tag: an argument may contain that.
        value, end = _DECODER.raw_decode(text, body)
        found = _as_call(value)
    except (ValueError, RecursionError) as problem:
        return block_end, MalformedToolCall(text[start:block_end], str(problem))
    after = _skip_space(text, end)
    if CLOSE.startswith(text[after : after + len(CLOSE)]):
        end = min(after + len(CLOSE), len(text))
    elif end < close:
        end, found = block_end, "more than one JSON value between the tags"
    if isinstance(found, str):
        return end, MalformedToolCall(text[start:end], found)
    return end, found


def _as_call(value: object) -> ToolCall | str:
    """Return the call that a JSON value stands for, or what is wrong with it."""
    if not isinstance(value, dict):
        return "not a JSON object"
    name = value.get("name")
    if not isinstance(name, str) or not name:
        return 'no "name"'
    arguments = value.get("arguments")
    if isinstance(arguments, str):
        arguments = _DECODER.decode(arguments)
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        return '"arguments" is not a JSON object'
    json.dumps([name, arguments], ensure_ascii=False).encode()  # lone surrogates are refused
    return ToolCall(name, arguments)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError("a number out of range")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)
