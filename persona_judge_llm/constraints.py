"""What an answer is held to: a schema, a choice, a pattern, or the syntax of tool calls.

A constraint is a grammar in Lark's notation as llguidance reads it, and nothing else; it is
compiled for a model's vocabulary in `models.grammars`.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from persona_judge_llm.errors import InvalidParameterError, InvalidPromptError
from persona_judge_llm.json_schemas import decodable
from persona_judge_llm.tool_calls import CLOSE, OPEN

ToolChoice: TypeAlias = Literal["auto", "any"] | str
""""auto": the model may call tools; "any": it must; or the name of the tool it must call."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an answer is held to, whoever drafts and whoever judges; make one by its class methods.

    Both sides' distributions lose the tokens that cannot go on; the rule of Persona-judge then
    decides among the others. An answer always ends by itself: where `max_new_tokens` draws near,
    tokens that would not leave room for a valid end give way to the shortest one.
    """

    grammar: str
    """In Lark's notation, as llguidance reads it."""
    optional: bool = False
    """Whether the text is free at its end, so that it may be cut off like any other, and the call
    goes on unconstrained where model or schema cannot be constrained."""
    tags: bool = False
    """Whether the grammar names the rules of `tag_rules`."""

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any]) -> "Constraint":
        """One JSON value that fits the schema, on one line.

        Objects that list their properties get no others, unless the schema asks for some.

        Raises:
            InvalidParameterError: not a JSON Schema.
        """
        return cls(f"start: {decodable(schema, 'schema')}")

    @classmethod
    def json_object(cls) -> "Constraint":
        """Any JSON object."""
        return cls.json_schema({"type": "object"})

    @classmethod
    def choice(cls, options: Sequence[str]) -> "Constraint":
        """One of some texts."""
        texts = isinstance(options, Sequence) and not isinstance(options, str)
        if not texts or not options or not all(isinstance(o, str) and o for o in options):
            raise InvalidParameterError("options", options, "a list of texts")
        return cls(f"start: {' | '.join(json.dumps(option) for option in options)}")

    @classmethod
    def tool_calls(
        cls,
        tools: Sequence[Mapping[str, Any]],
        choice: ToolChoice = "auto",
        *,
        parallel: bool = True,
        answer: Mapping[str, Any] | None = None,
    ) -> "Constraint":
        """Calls of these tools whose arguments fit their schemas.

        Args:
            tools: OpenAI-style function schemas, as in `Request.tools`.
            choice: "auto": text, with calls wherever the model begins one; "any": calls alone, at
                least one; or the name of the tool that is called.
            parallel: whether there may be more than one call.
            answer: the JSON Schema of what "auto" allows in place of calls, instead of text.

        Raises:
            InvalidPromptError: no tools, or one that is none.
            InvalidParameterError: a choice that is not there, or arguments without a schema.
        """
        if not isinstance(tools, Sequence) or isinstance(tools, str):
            raise InvalidPromptError("tools", type(tools).__name__, "a list of function schemas")
        functions = [_function(tool) for tool in tools]
        names = [function["name"] for function in functions]
        if not functions:
            raise InvalidPromptError("tools", "an empty list", "at least one tool")
        if choice not in ("auto", "any"):
            if choice not in names:
                raise InvalidParameterError("tool_choice", choice, f"'auto', 'any' or in {names}")
            functions = [functions[names.index(choice)]]
        text = choice == "auto" and answer is None
        start = (_TEXT_AND_CALLS if text else _CALLS)[parallel]
        if choice == "auto" and answer is not None:
            start += f" | answer\nanswer: {decodable(answer, 'answer')}"
        rules = [start, 'rest: "\\n"? body "\\n"? tag_close']
        rules.append("body: " + " | ".join(f"body_{n}" for n in range(len(functions))))
        for number, function in enumerate(functions):
            begin = json.dumps(f'{{"name": {json.dumps(function["name"])}, "arguments": ')
            arguments = decodable(function.get("parameters") or {}, "tools", type="object")
            rules.append(f'body_{number}: {begin} {arguments} "}}"')
        return cls("\n".join(rules), optional=text, tags=True)


# By whether there may be several calls.
_TEXT_AND_CALLS: Final = ("start: text | text_open rest", "start: (text_open rest)* text")
_CALLS: Final = ("start: tag_open rest", 'start: tag_open rest ("\\n"? tag_open rest)*')
_TAG_RULES: Final = r"""
text: TEXT
TEXT: /(.|\n)*/
written[lazy]: TEXT OPEN
text_open: written%(text_token)s
tag_open: OPEN%(open_token)s
tag_close: CLOSE%(close_token)s
"""


def tag_rules(tokens: Collection[str]) -> str:
    """Return the rules of text and tags that the grammars of tool calls name.

    Args:
        tokens: texts that are tokens of their own, which no string in a grammar matches.
    """
    opens, closes = OPEN in tokens, CLOSE in tokens
    rules = _TAG_RULES.replace("OPEN", json.dumps(OPEN)).replace("CLOSE", json.dumps(CLOSE))
    return rules % {
        "text_token": f" | TEXT {OPEN}" if opens else "",
        "open_token": f" | {OPEN}" if opens else "",
        "close_token": f" | {CLOSE}" if closes else "",
    }


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(name, str) or not name:
        raise InvalidPromptError("tools", type(tool).__name__, "function schemas with a name")
    return function
