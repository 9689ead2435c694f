"""Chat messages, tools and preferences as plain checked data, before any template sees them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from persona_judge_llm.errors import InvalidPromptError
from persona_judge_llm.preferences import Preference
from persona_judge_llm.requests import Messages, Placement

ROLES = ("system", "developer", "user", "assistant", "tool")

_UNUSABLE = re.compile("[\0\ud800-\udfff]")

Message = dict[str, Any]

MAX_DEPTH = 64
"""Levels of a tool schema or of a call's arguments."""


def preference_block(preferences: Sequence[Preference]) -> str:
    """Return the text that tells a model what its user wants; empty without preferences."""
    if not preferences:
        return ""
    lines = (f"- {' '.join(p.text.splitlines())}" for p in preferences)
    return "\n".join(["Preferences of this user:", *lines])


def check_messages(prompt: str | Messages) -> list[Message]:
    """Return `prompt` as a list of new plain messages; a string is one user message.

    Text parts of a content are joined by line breaks, `developer` becomes `system`, and the
    arguments of tool calls become mappings where they are the JSON of one.

    Raises:
        InvalidPromptError: something in it cannot be used; the message's index and field are
            named, its content is not repeated.
    """
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(prompt, bytes) or not isinstance(prompt, Sequence):
        raise InvalidPromptError("prompt", type(prompt), "a string or a list of messages")
    if not prompt:
        raise InvalidPromptError("prompt", [], "a string or at least one message")
    messages = [_message(f"messages[{i}]", message) for i, message in enumerate(prompt)]
    if not any(m["role"] in ("user", "tool") and m["content"].strip() for m in messages):
        roles = [m["role"] for m in messages]
        raise InvalidPromptError("prompt", roles, "a prompt with a user's text to answer")
    return messages


def check_tools(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Return `tools` as new OpenAI function schemas, or None if there are none.

    Raises:
        InvalidPromptError: one of them is not the schema of a named function.
    """
    if not tools:
        return None
    if isinstance(tools, Mapping | str | bytes) or not isinstance(tools, Sequence):
        raise InvalidPromptError("tools", type(tools), "a list of function schemas")
    return [_tool(f"tools[{i}]", tool) for i, tool in enumerate(tools)]


def compose(
    messages: Sequence[Message], preferences: Sequence[Preference], placement: Placement
) -> list[Message]:
    """Merge all system messages into one leading one, and put the preference block in its place."""
    system = [m["content"] for m in messages if m["role"] == "system"]
    rest = [dict(m) for m in messages if m["role"] != "system"]
    block = preference_block(preferences)
    users = [m for m in rest if m["role"] == "user"]
    if block and placement == "last" and users:
        users[-1]["content"] = _paragraphs(users[-1]["content"], block)
    elif block:
        system.append(block)
    text = _paragraphs(*system)
    return [{"role": "system", "content": text}, *rest] if text else rest


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """Move the leading system text to the head of the first user message, for want of a role."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    system, *rest = messages
    for i, message in enumerate(rest):
        if message["role"] == "user":
            content = _paragraphs(system["content"], message["content"])
            return [*rest[:i], {**message, "content": content}, *rest[i + 1 :]]
    return [{"role": "user", "content": system["content"]}, *rest]


def merge_neighbours(messages: Sequence[Message]) -> list[Message]:
    """Join neighbouring messages of users, or of the assistant, with a blank line."""
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last["role"] == message["role"] != "tool"
            and not (last.get("tool_calls") or message.get("tool_calls"))
        ):
            content = _paragraphs(last["content"], message["content"])
            merged[-1] = {**last, **message, "content": content}
        else:
            merged.append(message)
    return merged


def arguments_as_json(messages: Sequence[Message]) -> list[Message]:
    """Turn the arguments of tool calls back into JSON text, which some templates expect."""

    def as_json(call: dict[str, Any]) -> dict[str, Any]:
        function = call["function"]
        arguments = function["arguments"]
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        return {**call, "function": {**function, "arguments": arguments}}

    return [
        {**m, "tool_calls": [as_json(call) for call in m["tool_calls"]]} if "tool_calls" in m else m
        for m in messages
    ]


def map_strings(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401
    """Return plain data with `change` made to every string in it, keys included, roles not."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {
            change(k): v if k == "role" and v in ROLES else map_strings(v, change)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(map_strings(v, change) for v in value)
    return value


def _paragraphs(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)


def _message(name: str, message: object) -> Message:
    if not isinstance(message, Mapping):
        raise InvalidPromptError(name, type(message), "a mapping with role and content")
    role = message.get("role")
    if role not in ROLES:
        raise InvalidPromptError(f"{name} role", role, f"one of {ROLES}")
    rest = {
        key: _plain(f"{name} {key}", value)
        for key, value in message.items()
        if key not in ("role", "content", "tool_calls") and value is not None
    }
    checked = {"role": "system" if role == "developer" else role, "content": "", **rest}
    if message.get("tool_calls"):
        if role != "assistant":
            raise InvalidPromptError(f"{name} tool_calls", role, "with the assistant role only")
        checked["tool_calls"] = _tool_calls(f"{name} tool_calls", message["tool_calls"])
    if message.get("content") is not None or "tool_calls" not in checked:
        checked["content"] = _content(f"{name} content", message.get("content"))
    return checked


def _content(name: str, content: object) -> str:
    if isinstance(content, str):
        return _text(name, content)
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise InvalidPromptError(name, type(content), "a string or a list of text parts")
    texts = []
    for i, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else type(part)
        if not isinstance(part, Mapping) or kind != "text":
            raise InvalidPromptError(f"{name}[{i}]", kind, "a part of type 'text'")
        text = part.get("text")
        if not isinstance(text, str):
            raise InvalidPromptError(f"{name}[{i}] text", type(text), "a string")
        texts.append(_text(f"{name}[{i}]", text))
    return "\n".join(texts)


def _tool_calls(name: str, calls: object) -> list[dict[str, Any]]:
    if not isinstance(calls, Sequence) or isinstance(calls, str | bytes):
        raise InvalidPromptError(name, type(calls), "a list of tool calls")
    checked = []
    for i, call in enumerate(calls):
        plain = _plain(f"{name}[{i}]", call)
        function = plain.get("function") if isinstance(plain, dict) else None
        function = _function(f"{name}[{i}]", function)
        arguments = function.get("arguments", {})
        if isinstance(arguments, str):
            arguments = _parsed(f"{name}[{i}]", arguments)
        checked.append({**dict(plain), "function": {**function, "arguments": arguments}})
    return checked


def _parsed(name: str, arguments: str) -> object:
    """Return the mapping that a call's arguments are the JSON of: what templates expect."""
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return _plain(f"{name} arguments", parsed) if isinstance(parsed, dict) else arguments


def _tool(name: str, tool: object) -> dict[str, Any]:
    plain = _plain(name, tool)
    if not isinstance(plain, dict):
        raise InvalidPromptError(name, type(tool), "a mapping with the schema of a function")
    if "function" not in plain and "name" in plain:
        plain = {"type": "function", "function": plain}
    return {"type": "function", **plain, "function": _function(name, plain.get("function"))}


def _function(name: str, function: object) -> dict[str, Any]:
    called = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(called, str) or not called.strip():
        raise InvalidPromptError(f"{name} function name", called, "a string that is not empty")
    return function


def _plain(name: str, value: object, depth: int = 0) -> Any:  # noqa: ANN401
    """Copy JSON-like data; refuse all else, as templates would run its methods."""
    if depth > MAX_DEPTH:
        raise InvalidPromptError(name, "nested data", f"at most {MAX_DEPTH} levels deep")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _text(name, value)
    if isinstance(value, Mapping):
        return {_text(name, k): _plain(name, v, depth + 1) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_plain(name, v, depth + 1) for v in value]
    raise InvalidPromptError(name, type(value), "strings, numbers, lists and mappings")


def _text(name: str, text: object) -> str:
    if not isinstance(text, str):
        raise InvalidPromptError(name, type(text), "a string")
    if _UNUSABLE.search(text):
        shown = f"text of {len(text)} characters"
        raise InvalidPromptError(name, shown, "valid Unicode without NUL or lone surrogates")
    return str(text)
