"""`with_structured_output`: answers held to a schema, and what reads them."""

from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from langchain_core.language_models import LanguageModelInput
from langchain_core.output_parsers import (
    JsonOutputKeyToolsParser,
    JsonOutputParser,
    PydanticOutputParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from persona_judge_llm.answer_forms import constraint_of
from persona_judge_llm.errors import InvalidParameterError

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
    told: dict[str, Any] = {"kwargs": {"method": method, "strict": strict}}
    response_format: dict[str, Any] = {"type": "json_object"}
    if schema is not None:
        told["schema"] = convert_to_json_schema(schema)
        json_schema = {"name": told["schema"].get("title", "answer"), "schema": told["schema"]}
        response_format = {"type": "json_schema", "json_schema": json_schema}
    pydantic = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None
    parser: Runnable[Any, Any]
    if method == "function_calling" and schema is not None:
        name = convert_to_openai_tool(schema)["function"]["name"]
        form = {"tool_choice": name, "parallel_tool_calls": False, "strict": strict}
        model = chat.bind_tools([schema], **form, ls_structured_output_format=told, **bound)
        parser = (
            PydanticToolsParser(tools=[pydantic], first_tool_only=True)
            if pydantic
            else JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
        )
    else:
        constraint_of({"response_format": response_format}, None)  # now, not at the first call
        model = chat.bind(
            response_format=response_format, ls_structured_output_format=told, **bound
        )
        parser = PydanticOutputParser(pydantic_object=pydantic) if pydantic else JsonOutputParser()
    if not include_raw:
        return model | parser
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")
