"""Which schemas answers can be held to, and what happens where one cannot be met."""

import math
from datetime import date
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel, Field

from langchain_persona_judge import ChatPersonaJudge
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError, PersonaJudgeError
from persona_judge_llm.planning import PreparedCall
from tests.integration.langchain.conftest import ALICE
from tests.integration.langchain.test_structured import (
    METHODS,
    SCHEMA,
    Recipe,
    check,
    each_kind,
    each_method,
)
from tests.integration.langchain.test_traces import Everything


class Part(BaseModel):
    """One part of an order."""

    label: str = Field(max_length=8)
    size: float | None = None


class Order(BaseModel):
    """An order with everything that a schema may say."""

    code: str = Field(pattern=r"^[A-Z]{2}[0-9]{3}$")
    day: date
    count: int = Field(gt=0, le=12)
    price: float = Field(ge=0, lt=100)
    urgent: bool
    parts: list[Part] = Field(min_length=1, max_length=2)
    note: str | None = Field(default=None, max_length=10)
    by: dict[str, bool] = Field(max_length=2)


@each_method
def test_bounds_formats_and_nested_parts_are_kept_to(roomy: PersonaJudge, method: Any) -> None:
    chat = ChatPersonaJudge(engine=roomy, max_tokens=250)
    structured = chat.with_structured_output(Order, method=method)
    for seed in range(2):
        assert isinstance(structured.invoke("x", user_id=ALICE, seed=seed), Order)


class Intricate(BaseModel):
    """Whose shortest ending takes a search."""

    share: float = Field(gt=0, lt=1)
    word: str = Field(pattern=r"^[a-z]{2,3}\d$")
    pair: tuple[int, str]
    names: set[str] = Field(max_length=2)
    tags: frozenset[int]


@each_method
def test_sets_and_intricate_fields_can_be_answered(roomy: PersonaJudge, method: Any) -> None:
    structured = ChatPersonaJudge(engine=roomy, max_tokens=190).with_structured_output(
        Intricate, method=method
    )
    found = structured.invoke("x", user_id=ALICE, seed=1)
    assert isinstance(found, Intricate)
    assert isinstance(found.names, set)


def test_items_that_must_differ_are_refused_where_nobody_drops_equal_ones(
    writing: ChatPersonaJudge,
) -> None:
    class Two(BaseModel):
        two: set[int] = Field(min_length=2)

    plain = {**SCHEMA, "properties": {"a": {"type": "array", "uniqueItems": True}}}
    for schema in (Two, plain):
        with pytest.raises(InvalidParameterError, match="uniqueItems"):
            writing.with_structured_output(schema)


@pytest.mark.parametrize(
    "field",
    [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "number", "exclusiveMinimum": 0.5, "exclusiveMaximum": 1},
        {"type": "string", "format": "email"},
        {"type": ["integer", "null"]},
        {"const": "soup"},
        {},
    ],
    ids=str,
)
def test_a_field_may_be_of_any_usual_kind(writing: ChatPersonaJudge, field: Any) -> None:
    schema = {"title": "s", "type": "object", "properties": {"a": field}, "required": ["a"]}
    for seed in range(2):
        found = writing.with_structured_output(schema).invoke("x", user_id=ALICE, seed=seed)
        assert set(found) == {"a"}
        if "exclusiveMinimum" in field:
            assert field["exclusiveMinimum"] < found["a"] < field.get("exclusiveMaximum", math.inf)


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_an_answer_need_not_be_an_object(writing: ChatPersonaJudge, method: Any) -> None:
    schema = {"title": "numbers", "type": "array", "items": {"type": "integer"}, "maxItems": 3}
    found = writing.with_structured_output(schema, method=method).invoke("x", user_id=ALICE)
    assert isinstance(found, list)
    assert all(isinstance(item, int) for item in found)


class Tree(BaseModel):
    """A tree."""

    leaf: bool
    branches: list["Tree"] = Field(default=[], max_length=2)


def test_a_schema_may_be_recursive(writing: ChatPersonaJudge) -> None:
    structured = writing.with_structured_output(Tree, max_tokens=60)
    for seed in range(8):
        assert isinstance(structured.invoke("x", seed=seed), Tree)


def test_json_mode_without_a_schema_gives_any_object(writing: ChatPersonaJudge) -> None:
    structured = writing.with_structured_output(method="json_mode")
    for seed in range(2):
        assert type(structured.invoke("x", user_id=ALICE, seed=seed)) is dict


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_both_sides_are_told_of_the_schema(
    writing: ChatPersonaJudge, method: Any, asked: list[PreparedCall]
) -> None:
    writing.with_structured_output(Recipe, method=method).invoke("x", user_id=ALICE)
    (call,) = asked
    assert call.prompt_b is not None
    assert '"size"' in call.prompt_a
    assert '"size"' in call.prompt_b
    assert call.constraint is not None


@pytest.mark.parametrize("room", [80, 120])
@each_method
def test_an_answer_ends_within_its_room(roomy: PersonaJudge, method: Any, room: int) -> None:
    chat = ChatPersonaJudge(engine=roomy, max_tokens=room, seed=3)
    structured = chat.with_user(ALICE).with_structured_output(
        Recipe, method=method, include_raw=True
    )
    found = structured.invoke("x")
    check(found["parsed"], Recipe)
    assert found["raw"].usage_metadata["output_tokens"] <= room
    assert found["raw"].response_metadata["finish_reason"] == "stop"


def test_too_little_room_is_told_before_anything_is_generated(writing: ChatPersonaJudge) -> None:
    with pytest.raises(InvalidParameterError, match="max_new_tokens must be at least"):
        writing.with_structured_output(Recipe).invoke("x", max_tokens=5)


@each_method
@pytest.mark.parametrize("user", [None, ALICE])
def test_an_answer_cut_off_by_a_stop_is_told_and_kept(
    writing: ChatPersonaJudge, method: Any, user: str | None
) -> None:
    chat = writing.with_user(user) if user else writing
    stop = ['"size"']
    found = chat.with_structured_output(Recipe, method=method, include_raw=True, stop=stop).invoke(
        "x"
    )
    assert found["parsed"] is None
    assert found["parsing_error"] is not None
    raw = found["raw"]
    assert (raw.response_metadata["finish_reason"], raw.tool_calls) == ("stop", [])
    assert raw.response_metadata["stop_sequence"] == stop[0]
    kept = raw.text or raw.invalid_tool_calls[0]["args"]
    assert '{"name": "' in kept
    assert stop[0] not in kept


@each_method
@each_kind
def test_an_answer_cut_off_by_a_stop_is_never_taken_for_whole(
    writing: ChatPersonaJudge, method: Any, schema: Any
) -> None:
    structured = writing.with_structured_output(schema, method=method, stop=['"size"'])
    with pytest.raises(OutputParserException):
        structured.invoke("x")


def test_what_cannot_be_asked_for_is_refused_where_it_is_bound(writing: ChatPersonaJudge) -> None:
    wrong: Any = "yaml"
    with pytest.raises(InvalidParameterError, match="method"):
        writing.with_structured_output(Recipe, method=wrong)
    for method in ("json_schema", "function_calling"):
        with pytest.raises(InvalidParameterError, match="schema"):
            writing.with_structured_output(None, method=method)
    impossible = {**SCHEMA, "properties": {"name": {"type": "strange"}}}
    for method in METHODS:
        with pytest.raises(PersonaJudgeError):
            writing.with_structured_output(impossible, method=method)
    for strange in (3, "Recipe", [Recipe]):
        with pytest.raises(InvalidParameterError, match="schema"):
            writing.with_structured_output(strange)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="temprature"):
        writing.with_structured_output(Recipe, temprature=1).invoke("x")


@each_method
def test_tracers_are_told_of_the_schema_and_of_nobody(
    writing: ChatPersonaJudge, method: Any
) -> None:
    handler = Everything()
    structured = writing.with_structured_output(Recipe, method=method)
    structured.invoke("x", {"callbacks": [handler]}, user_id=ALICE)
    seen = "\n".join(handler.seen)
    assert "ls_structured_output_format" in seen
    assert f"'method': {method!r}" in seen
    assert not [secret for secret in (ALICE, "Speak of the sea") if secret in seen]
