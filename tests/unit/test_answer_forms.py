"""Every way of saying what form an answer has, and what is refused."""

import json

import pytest

from persona_judge_llm.answer_forms import (
    FORM,
    constraint_of,
    instruction,
    response_schema,
    tool_choice_of,
)
from persona_judge_llm.constraints import Constraint
from persona_judge_llm.errors import InvalidParameterError, InvalidPromptError

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
OTHER = {"type": "object", "properties": {"b": {"type": "string"}}}
ADD = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
SAY = {"type": "function", "function": {"name": "say", "parameters": OTHER}}
TOOLS = [ADD, SAY]
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}


# --- tool choices ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (None, "auto"),
        (False, "auto"),
        (True, "any"),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "any"),
        ("required", "any"),
        ("add", "add"),
        ({"type": "function", "function": {"name": "add"}}, "add"),
        ({"function": {"name": "add"}}, "add"),
        ({"type": "function", "name": "add"}, "add"),
        ({"type": "tool", "name": "add"}, "add"),
        ({"name": "add"}, "add"),
    ],
)
def test_every_way_of_choosing_tools_is_understood(choice, meant):
    assert tool_choice_of(choice) == meant


@pytest.mark.parametrize(
    "choice",
    ["", 3, 1.0, ["add"], {}, {"type": "function"}, {"function": "add"}, {"function": {"name": 3}},
     {"name": ""}, {"name": None}, b"add"],
)  # fmt: skip
def test_other_tool_choices_are_refused_by_name(choice):
    with pytest.raises(InvalidParameterError, match="tool_choice must be 'auto'") as caught:
        tool_choice_of(choice)
    assert caught.value.name == "tool_choice"


# --- response formats -----------------------------------------------------------------------------


def test_every_response_format_is_understood():
    assert response_schema({"type": "text"}) is None
    assert response_schema({"type": "json_object"}) == {"type": "object"}
    assert response_schema(JSON_SCHEMA) == SCHEMA
    strict = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
    assert response_schema(strict) == SCHEMA
    assert response_schema({"type": "json_schema", "json_schema": {"schema": {}}}) == {}


@pytest.mark.parametrize(
    "response_format",
    [
        None,
        "json",
        "json_object",
        {},
        SCHEMA,
        {"type": "xml"},
        {"type": ["text"]},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": SCHEMA},
        {"type": "json_schema", "json_schema": {"schema": "object"}},
        {"type": "json_schema", "schema": SCHEMA},
        [JSON_SCHEMA],
    ],
)
def test_other_response_formats_are_refused_by_name(response_format):
    with pytest.raises(InvalidParameterError, match="json_object") as caught:
        response_schema(response_format)
    assert caught.value.name == "response_format"


# --- both together --------------------------------------------------------------------------------


@pytest.mark.parametrize("tools", [None, []])
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"tool_choice": None},
        {"tool_choice": "auto"},
        {"tool_choice": "none"},
        {"tool_choice": False},
        {"response_format": None},
        {"response_format": {"type": "text"}},
        {"parallel_tool_calls": False},
        {"temperature": 3, "strict": True},
    ],
)
def test_what_asks_for_nothing_is_no_constraint(form, tools):
    assert constraint_of(form, tools) is None


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"tool_choice": None},
        {"tool_choice": "auto", "parallel_tool_calls": True},
        {"tool_choice": "none"},
        {"parallel_tool_calls": None},
        {"response_format": {"type": "text"}},
    ],
)
def test_tools_alone_are_left_to_the_engine(form):
    assert constraint_of(form, TOOLS) is None


@pytest.mark.parametrize("choice", ["any", "required", True])
def test_tools_can_be_forced(choice):
    assert constraint_of({"tool_choice": choice}, TOOLS) == Constraint.tool_calls(TOOLS, "any")


def test_one_tool_can_be_forced_and_calls_can_be_kept_to_one():
    named = {"tool_choice": {"type": "function", "function": {"name": "say"}}}
    assert constraint_of(named, TOOLS) == Constraint.tool_calls(TOOLS, "say")
    one = {"tool_choice": "any", "parallel_tool_calls": False}
    assert constraint_of(one, TOOLS) == Constraint.tool_calls(TOOLS, "any", parallel=False)
    free = {"parallel_tool_calls": False}
    assert constraint_of(free, TOOLS) == Constraint.tool_calls(TOOLS, "auto", parallel=False)
    assert Constraint.tool_calls(TOOLS, "any", parallel=False) != Constraint.tool_calls(
        TOOLS, "any"
    )


def test_a_response_format_is_what_the_answer_is_held_to():
    assert constraint_of({"response_format": JSON_SCHEMA}, None) == Constraint.json_schema(SCHEMA)
    loose = {"response_format": {"type": "json_object"}}
    assert constraint_of(loose, None) == Constraint.json_object()


def test_beside_tools_a_response_format_is_what_answers_have_instead_of_calls():
    form = {"response_format": JSON_SCHEMA}
    assert constraint_of(form, TOOLS) == Constraint.tool_calls(TOOLS, "auto", answer=SCHEMA)
    form = {"response_format": JSON_SCHEMA, "tool_choice": "none"}
    assert constraint_of(form, TOOLS) == Constraint.json_schema(SCHEMA)
    form = {"response_format": JSON_SCHEMA, "tool_choice": "any"}
    assert constraint_of(form, TOOLS) == Constraint.tool_calls(TOOLS, "any")


@pytest.mark.parametrize("tools", [None, []])
@pytest.mark.parametrize("choice", ["any", "required", True, "add", {"name": "add"}])
def test_a_choice_of_tools_that_are_not_there_is_refused(choice, tools):
    with pytest.raises(InvalidParameterError, match="left out where no tools") as caught:
        constraint_of({"tool_choice": choice}, tools)
    assert caught.value.name == "tool_choice"


def test_what_cannot_be_met_is_refused():
    with pytest.raises(InvalidParameterError, match=r"tool_choice.*\['add', 'say'\].*'sub'"):
        constraint_of({"tool_choice": "sub"}, TOOLS)
    with pytest.raises(InvalidParameterError, match="tool_choice"):
        constraint_of({"tool_choice": 7}, TOOLS)
    with pytest.raises(InvalidParameterError, match="response_format"):
        constraint_of({"response_format": {"type": "xml"}}, TOOLS)
    with pytest.raises(InvalidPromptError, match="tools"):
        constraint_of({"tool_choice": "any"}, ["add"])


# --- what the model is told -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [{}, {"response_format": None}, {"response_format": {"type": "text"}},
     {"response_format": {"type": "json_object"}}],
)  # fmt: skip
def test_without_a_schema_the_model_is_told_nothing(form):
    assert instruction(form) is None


def test_the_model_is_told_the_schema():
    told = instruction({"response_format": JSON_SCHEMA})
    assert told
    first, _, schema = told.partition("\n")
    assert "JSON Schema" in first
    assert json.loads(schema) == SCHEMA
    with pytest.raises(InvalidParameterError, match="response_format"):
        instruction({"response_format": "json"})


def test_the_arguments_that_say_what_form_an_answer_has_are_named():
    assert set(FORM) == {
        "tools", "tool_choice", "parallel_tool_calls", "strict", "response_format",
    }  # fmt: skip
