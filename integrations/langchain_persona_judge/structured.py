"""`with_structured_output`: answers held to a schema, and what reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_persona_judge.parsers import (
    WholeCall,
    WholeJson,
    WholePydantic,
    WholePydanticCall,
    with_raw,
)
from persona_judge_llm.answer_forms import constraint_of
from persona_judge_llm.constraints import Constraint
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.json_schemas import of_class

if TYPE_CHECKING:
    from langchain_persona_judge.chat_models import ChatPersonaJudge

Method: TypeAlias = Literal["json_schema", "function_calling", "json_mode"]
Schema: TypeAlias = dict[str, Any] | type


def structured(
    chat: "ChatPersonaJudge",
    schema: Schema | None,
    method: Method,
    bound: Mapping[str, Any],
    *,
    include_raw: bool,
    strict: bool | None,
) -> Runnable[LanguageModelInput, Any]:
    """Return the chat model with its answers held to a schema, and parsed.

    Args:
        chat: the model.
        schema: a pydantic class, a TypedDict, a JSON Schema or an OpenAI function.
        method: see `ChatPersonaJudge.with_structured_output`.
        bound: further arguments of each call.
        include_raw: return the message beside what was read from it.
        strict: told to tracers.

    Raises:
        InvalidParameterError: an unknown method, or no schema where one is needed.
    """
    if method not in get_args(Method):
        raise InvalidParameterError("method", method, f"one of {get_args(Method)}")
    if schema is None and method != "json_mode":
        raise InvalidParameterError("schema", None, f"given with method={method!r}")
    described = _described(schema)
    told = {"kwargs": {"method": method, "strict": strict}, "schema": described.told}
    pydantic = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None
    parser: Runnable[Any, Any]
    if method == "function_calling" and schema is not None:
        model = chat.bind_tools(
            [described.tool()],
            tool_choice=described.name,
            parallel_tool_calls=False,
            ls_structured_output_format=told,
            **bound,
        )
        parser = (
            WholePydanticCall(tools=[pydantic], first_tool_only=True)
            if pydantic
            else WholeCall(key_name=described.name, first_tool_only=True)
        )
    else:
        json_schema = {"name": described.name, "schema": described.schema}
        response_format = {"type": "json_schema", "json_schema": json_schema}
        compile_now(chat.engine, constraint_of({"response_format": response_format}, None))
        model = chat.bind(
            response_format=response_format, ls_structured_output_format=told, **bound
        )
        parser = WholePydantic(pydantic_object=pydantic) if pydantic else WholeJson()
    if not include_raw:
        return model | parser
    # The model stands first: what a call names, its user above all, goes to the first step alone.
    return model | with_raw(parser)


@dataclass(frozen=True, slots=True)
class _Described:
    """A schema in JSON Schema's own words, which LangChain's conversions leave out parts of."""

    name: str
    description: str
    schema: Mapping[str, Any]
    told: dict[str, Any]
    """What tracers are told."""

    def tool(self) -> dict[str, Any]:
        """Return a tool whose arguments are the schema.

        Raises:
            InvalidParameterError: they would be no object.
        """
        if self.schema.get("type", "object") != "object" or "enum" in self.schema:
            raise InvalidParameterError(
                "schema", self.name, "an object's with method='function_calling'"
            )
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.schema,
        }
        return {"type": "function", "function": function}


def _described(schema: Schema | None) -> _Described:
    """Return what there is to know of a schema; any object's for None.

    Raises:
        InvalidParameterError: not a schema.
    """
    if schema is None:
        anything = {"title": "answer", "type": "object"}
        return _Described("answer", "", anything, {**anything, "properties": {}})
    own: Any = None
    try:
        if isinstance(schema, type) and is_basemodel_subclass(schema):
            legacy = not hasattr(schema, "model_json_schema")
            own = of_class(schema.schema() if legacy else schema.model_json_schema())  # type: ignore[attr-defined]
        elif isinstance(schema, dict):
            function = schema.get("function", schema)
            own = function.get("parameters")
            if own is None:
                bare = {"name", "description"} >= function.keys() - {"strict"}
                own = {"type": "object", "properties": {}} if bare else function
        told = convert_to_json_schema(schema)
    except Exception as error:
        raise InvalidParameterError(
            "schema",
            schema,
            "a pydantic class, a TypedDict, an OpenAI function, or a JSON Schema with a title",
        ) from error
    name = str(told.get("title") or "answer")
    return _Described(name, str(told.get("description") or ""), told if own is None else own, told)


def compile_now(engine: PersonaJudge, constraint: Constraint | None) -> None:
    """Refuse what cannot be decoded by where it is bound, not at the first call.

    Raises:
        InvalidParameterError: a schema that cannot be decoded by.
        UnsupportedModelError: a tokenizer that cannot be constrained.
    """
    if constraint is not None:
        engine.grammars.compile(constraint)
