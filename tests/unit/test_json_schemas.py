"""What schemas leave open is settled: what they let through once they are compiled."""

import json

import pytest

from persona_judge_llm.constraints import Constraint
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.models.grammars import Grammars
from tests.unit.models.walks import accepts, byte_tokenizer, letters

TOKENIZERS = {tags: byte_tokenizer(tags) for tags in ("letters", "added", "special")}
GRAMMARS = {tags: Grammars(t, len(t), [t.eos_token_id]) for tags, t in TOKENIZERS.items()}
LARGEST = 2**53 - 1
INTEGER, NUMBER, STRING = {"type": "integer"}, {"type": "number"}, {"type": "string"}


def fits(constraint, text, tags="added", *, spelled=False):
    """Tell whether a constraint lets a text through, whose tags are tokens or are spelled."""
    tokenizer = TOKENIZERS[tags]
    tokens = letters(tokenizer, text) if spelled else tokenizer.encode(text)
    return accepts(GRAMMARS[tags].compile(constraint), tokens, tokenizer.eos_token_id)


def written(value):
    """Return JSON as constraints have it written: on one line, with a space behind , and :."""
    return json.dumps(value, ensure_ascii=False)


def takes(schema, value):
    return fits(Constraint.json_schema(schema), written(value))


def objects(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


# --- schemas --------------------------------------------------------------------------------------


def test_objects_get_no_properties_but_those_that_are_listed():
    schema = {"type": "object", "properties": {"a": INTEGER, "b": STRING}, "required": ["a"]}
    for value in ({"a": 1}, {"a": 1, "b": ""}):
        assert takes(schema, value)
    for value in ({}, {"b": ""}, {"a": "1"}, {"a": 1, "c": 1}, {"a": 1, "b": "", "c": 1}, [], 1):
        assert not takes(schema, value)


@pytest.mark.parametrize(
    ("schema", "wrap"),
    [
        ({"type": "object", "properties": {"x": objects(a=INTEGER)}}, lambda v: {"x": v}),
        ({"type": "array", "items": objects(a=INTEGER)}, lambda v: [v, v]),
        ({"type": "array", "prefixItems": [objects(a=INTEGER)], "items": False}, lambda v: [v]),
        ({"anyOf": [{"type": "null"}, objects(a=INTEGER)]}, lambda v: v),
        ({"oneOf": [{"type": "null"}, objects(a=INTEGER)]}, lambda v: v),
        ({"$ref": "#/$defs/d", "$defs": {"d": objects(a=INTEGER)}}, lambda v: v),
        ({"$ref": "#/definitions/d", "definitions": {"d": objects(a=INTEGER)}}, lambda v: v),
        (
            {"properties": {"x": {"$ref": "#/$defs/d"}}, "$defs": {"d": objects(a=INTEGER)}},
            lambda v: {"x": v},
        ),
    ],
)
def test_so_do_objects_inside_others(schema, wrap):
    assert takes(schema, wrap({"a": 1}))
    assert not takes(schema, wrap({"a": 1, "z": 1}))
    assert not takes(schema, wrap({}))


def test_objects_whose_schema_asks_for_more_get_more():
    more = {**objects(a=INTEGER), "additionalProperties": INTEGER}
    assert takes(more, {"a": 1, "z": 2})
    assert not takes(more, {"a": 1, "z": "2"})
    pattern = {**objects(a=INTEGER), "patternProperties": {"^z": STRING}}
    pattern["additionalProperties"] = False
    assert takes(pattern, {"a": 1, "z1": "2"})
    assert not takes(pattern, {"a": 1, "y": "2"})
    assert takes({"type": "object"}, {"z": [1, {"y": None}]})
    assert takes({"type": "object", "additionalProperties": INTEGER}, {"z": 1})
    closed = {**objects(a=INTEGER), "additionalProperties": False}
    assert not takes(closed, {"a": 1, "z": 1})


BASE = objects(a=INTEGER)
COMBINED = {
    "parts of one object": {"allOf": [objects(a=INTEGER), objects(b=STRING)]},
    "an object and a part": {**objects(b=STRING), "allOf": [objects(a=INTEGER)]},
    "an object and one of several parts": {
        **objects(b=STRING), "anyOf": [objects(a=INTEGER), objects(c=INTEGER)],
    },
    "a named part beside another": {
        "allOf": [{"$ref": "#/$defs/base"}, objects(b=STRING)], "$defs": {"base": BASE},
    },
    "named parts": {
        "allOf": [{"$ref": "#/$defs/base"}, {"$ref": "#/$defs/more"}],
        "$defs": {"base": BASE, "more": objects(b=STRING)},
    },
    "an object that goes on from a named part": {
        **objects(b=STRING), "$ref": "#/$defs/base", "$defs": {"base": BASE},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(n) if "named" in n else n for n in COMBINED],
)
def test_schemas_combined_for_one_object_do_not_exclude_each_other(name):
    found = [takes(COMBINED[name], v) for v in ({"a": 1, "b": "x"}, {"b": "x", "a": 1})]
    assert any(found), "no order of the properties is let through"
    assert not takes(COMBINED[name], {"b": "x"})


def test_one_of_several_requirements_is_enough():
    schema = {
        "type": "object",
        "properties": {"a": INTEGER, "b": STRING},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    assert takes(schema, {"a": 1})
    assert takes(schema, {"b": "x"})
    assert not takes(schema, {})


BINARY = {"type": "string", "format": "binary"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (BINARY, "x"),
        ({"type": "integer", "format": "int32"}, 3),
        (objects(x={"type": "string", "format": "path"}), {"x": "a/b"}),
        ({"type": "array", "items": BINARY}, ["x"]),
        ({"anyOf": [BINARY, {"type": "null"}]}, "x"),
        pytest.param({"allOf": [BINARY]}, "x"),
        pytest.param({"type": "object", "additionalProperties": BINARY}, {"k": "x"}),
        pytest.param({"type": "object", "patternProperties": {"k": BINARY}}, {"k": "x"}),
        pytest.param(
            {**objects(a=STRING), "anyOf": [objects(b=BINARY)]},
            {"a": "x", "b": "x"},
        ),
    ],
)
def test_formats_that_are_not_known_only_describe(schema, value):
    assert takes(schema, value)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("date", "2024-02-29", "2024-13-01"),
        ("time", "12:30:00Z", "noon"),
        ("date-time", "2024-02-29T12:30:00Z", "2024-02-29"),
        pytest.param("email", "a@b.org", "a b"),
        pytest.param("duration", "P1D", "a day"),
        ("ipv4", "127.0.0.1", "127.0.0"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
    ],
)
def test_formats_that_are_known_are_kept(name, right, wrong):
    schema = {"type": "string", "format": name}
    assert takes(schema, right)
    assert not takes(schema, wrong)


NULLABLE = pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"anyOf": [s, {"type": "null"}]}], ids=["alone", "nullable"]
)


@NULLABLE
def test_numbers_without_bounds_are_those_that_every_reader_can_hold(wrap):
    for number in (0, 7, LARGEST):
        assert takes(wrap(INTEGER), number)
        assert takes(wrap(INTEGER), -number)
        assert takes(wrap(NUMBER), number)
    for number in (LARGEST + 2, -LARGEST - 2, 10**30, -(10**30)):
        assert not takes(wrap(INTEGER), number)
        assert not takes(wrap(NUMBER), number)
    assert takes(wrap(NUMBER), 0.25)
    assert not takes(wrap(INTEGER), 0.25)
    assert takes(wrap({"type": ["integer", "null"]}), None)
    assert not takes(wrap({"type": ["integer", "null"]}), 10**30)


@NULLABLE
def test_numbers_may_be_below_0(wrap):
    for number in (-7, -0.25, -LARGEST):
        assert takes(wrap(NUMBER), number)


@pytest.mark.parametrize("number", ["1e999", "-1E+400", f"1{'0' * 400}.0"])
@pytest.mark.parametrize(
    ("schema", "wrap"),
    [
        (NUMBER, "{}"),
        (objects(k=NUMBER), '{{"k": {}}}'),
        pytest.param({"type": "object", "additionalProperties": NUMBER}, '{{"k": {}}}'),
        pytest.param({"allOf": [NUMBER]}, "{}"),
        pytest.param({"type": "object"}, '{{"k": {}}}'),
        pytest.param({"type": "array"}, "[{}]"),
        pytest.param({}, "{}"),
    ],
)
def test_no_number_is_too_large_to_be_read(schema, wrap, number):
    assert not fits(Constraint.json_schema(schema), wrap.format(number))


def test_own_bounds_of_numbers_are_kept():
    schema = {"type": "integer", "minimum": 5, "exclusiveMaximum": 8}
    assert [n for n in range(20) if takes(schema, n)] == [5, 6, 7]
    for n, right in ((4, False), (5, True), (6, True), (LARGEST, True), (LARGEST + 2, False)):
        assert takes({**INTEGER, "minimum": 5}, n) == right
        assert takes({**INTEGER, "maximum": -5}, -n) == right
    assert takes({**INTEGER, "minimum": 2**53}, 2**53 + 1)  # no others would fit
    assert takes({**INTEGER, "maximum": -(2**53)}, -(2**53) - 1)


def test_values_are_written_on_one_line_as_models_write_them():
    constraint = Constraint.json_schema(objects(a=INTEGER, b={"type": "array", "items": INTEGER}))
    assert fits(constraint, '{"a": 1, "b": [1, 2]}')
    for text in ('{"a":1,"b":[1,2]}', '{"a": 1,\n"b": []}', ' {"a": 1, "b": []}', '{"a": 1, "b"'):
        assert not fits(constraint, text)


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": ["ab", "abc", 3, None, {"k": [1]}]},
        {"type": "integer", "enum": [1, 10, 100]},
        {"const": 'né "q" \\ \U0001f600'},
        {"type": "integer", "const": 5},
        {"oneOf": [{"const": "a"}, {"const": "ab"}]},
    ],
)
def test_values_that_are_listed_are_taken_and_no_others(schema):
    listed = schema.get("enum") or [
        s["const"] for s in schema.get("oneOf", [schema])
    ]  # fmt: skip
    for value in listed:
        assert takes(schema, value)
    for value in ("a b", 2, "abcd", {"k": [2]}, ""):
        assert not takes(schema, value)


def test_any_json_object_is_an_object():
    for value in ({}, {"a": {"b": [1, "2", None, True, 0.5]}}, {"é": "\U0001f600"}):
        assert fits(Constraint.json_object(), written(value))
    for value in ([], 1, "x", None):
        assert not fits(Constraint.json_object(), written(value))


def test_schemas_with_words_of_tags_in_them_stay_what_they_are():
    assert takes(objects(tag_open=STRING), {"tag_open": "tag_close"})
    assert fits(Constraint.choice(["tag_open", "text"]), "tag_open")


@pytest.mark.parametrize("schema", [None, True, "object", ["object"], 3])
def test_what_is_no_mapping_is_no_schema(schema):
    with pytest.raises(InvalidParameterError, match="schema must be a JSON Schema") as caught:
        Constraint.json_schema(schema)
    assert caught.value.name == "schema"


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": {1, 2}},
        {"const": object()},
        {"type": "integer", "minimum": "a"},
        {"type": ["integer", {}]},
        {"type": "string", "format": ["date"]},
        {"const": b"x"},
    ],
)
def test_schemas_that_cannot_be_read_are_refused(schema):
    with pytest.raises(InvalidParameterError, match="schema"):
        Constraint.json_schema(schema)
    nested = {"name": "f", "parameters": {"type": "object", "properties": {"x": schema}}}
    with pytest.raises(InvalidParameterError, match="tools"):
        Constraint.tool_calls([nested])


def test_a_schema_without_end_is_refused():
    schema = {"type": "array"}
    schema["items"] = schema
    with pytest.raises(InvalidParameterError, match="schema"):
        Constraint.json_schema(schema)


def test_a_schema_is_left_as_it_was():
    schema = objects(a={"type": "string", "format": "binary"}, b={"anyOf": [INTEGER, STRING]})
    before = json.dumps(schema)
    first = Constraint.json_schema(schema)
    assert json.dumps(schema) == before
    assert Constraint.json_schema(json.loads(before)) == first
    assert hash(Constraint.json_schema(schema)) == hash(first)
