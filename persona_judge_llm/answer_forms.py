"""What form an answer has, in the words of OpenAI's API: tool choices and response formats.

Every framework says it in these words or in some of its own; the integrations translate to
`Request` by the functions here.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from persona_judge_llm.constraints import Constraint
from persona_judge_llm.errors import InvalidParameterError

FORM: Final = ("tools", "tool_choice", "parallel_tool_calls", "strict", "response_format")
"""Arguments of a call that say what form its answer has."""
_CHOICES: Final = "'auto', 'none', 'any', 'required', True, or the name of a tool"


def tool_choice_of(choice: object) -> str:
    """Return "auto", "none", "any" or a tool's name, for the ways in which providers say it.

    Raises:
        InvalidParameterError: something else.
    """
    if isinstance(choice, Mapping):
        function = choice.get("function", choice)
        choice = function.get("name") if isinstance(function, Mapping) else None
    elif choice is None or isinstance(choice, bool):
        choice = "any" if choice else "auto"
    if not isinstance(choice, str) or not choice:
        raise InvalidParameterError("tool_choice", choice, _CHOICES)
    return "any" if choice == "required" else choice


def response_schema(response_format: object) -> Mapping[str, Any] | None:
    """Return the JSON Schema of an OpenAI-style response format; None for plain text.

    Raises:
        InvalidParameterError: a format of another kind.
    """
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if isinstance(response_format, Mapping) and kind in ("text", "json_object", "json_schema"):
        if kind == "text":
            return None
        if kind == "json_object":
            return {"type": "object"}
        named = response_format.get("json_schema")
        schema = named.get("schema") if isinstance(named, Mapping) else None
        if isinstance(schema, Mapping):
            return schema
    expected = "{'type': 'json_schema', 'json_schema': {'name': ..., 'schema': {...}}}"
    raise InvalidParameterError(
        "response_format", response_format, f"{expected}, or of type 'json_object' or 'text'"
    )


def constraint_of(
    form: Mapping[str, Any], tools: Sequence[Mapping[str, Any]] | None
) -> Constraint | None:
    """Return what the arguments of a call hold its answer to; None where the engine decides.

    Args:
        form: arguments of the call, those of `FORM` among others.
        tools: what is offered.

    Raises:
        InvalidParameterError: a choice or format that cannot be met.
    """
    choice = tool_choice_of(form.get("tool_choice"))
    schema = response_schema(form["response_format"]) if form.get("response_format") else None
    parallel = form.get("parallel_tool_calls") is not False
    if tools and choice != "none":
        if choice == "auto" and parallel and schema is None:
            return None
        return Constraint.tool_calls(tools, choice, parallel=parallel, answer=schema)
    if choice not in ("auto", "none"):
        raise InvalidParameterError("tool_choice", choice, "left out where no tools are offered")
    return None if schema is None else Constraint.json_schema(schema)


def instruction(form: Mapping[str, Any]) -> str | None:
    """Return what tells the model of a response format, as chat templates do of tools."""
    if not form.get("response_format"):
        return None
    schema = response_schema(form["response_format"])
    if not schema or schema == {"type": "object"}:
        return None
    return f"Answer with JSON that fits this JSON Schema:\n{json.dumps(schema)}"
