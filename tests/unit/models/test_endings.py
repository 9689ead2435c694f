"""The short way to a valid end is found, from anywhere in a text."""

import json

import jsonschema
import pytest

from persona_judge_llm.constraints import Constraint
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.models.grammars import Grammars
from persona_judge_llm.testing import tiny_tokenizer
from tests.unit.models.walks import MUCH, allowed_tokens

EOS = 258
TOKENIZER = tiny_tokenizer()


def pattern(regex):
    return {"type": "string", "pattern": regex}


def number(**bounds):
    return {"type": "number", **bounds}


@pytest.fixture(scope="module")
def grammars():
    return Grammars(TOKENIZER, 261, [EOS])


@pytest.mark.parametrize(
    ("schema", "shortest"),
    [
        ({"type": "integer"}, "0"),
        ({"type": "boolean"}, "true"),
        ({"type": "object"}, "{}"),
        ({"enum": ["x" * 300, "y"]}, '"y"'),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, "[0, 0, 0]"),
        ({"type": "string", "minLength": 300}, '"' + 300 * "}" + '"'),
        (pattern("^[1-9][0-9]*$"), '"1"'),
        (pattern("^a*b$"), '"b"'),
        (pattern("^[a-z]{5,}X$"), '"aaaaaX"'),
        (pattern("^#[0-9a-f]{6}$"), '"#000000"'),
        (number(minimum=0.1, maximum=0.2), "0.1"),
        (number(maximum=-1), "-1"),
        ({"type": "string", "format": "date-time"}, '"0000-01-01T00:00:00Z"'),
        pytest.param({"type": "string", "format": "email"}, None),
        pytest.param({"type": "string", "format": "duration"}, None),
        pytest.param(pattern(r"^\d+\.\d+$"), '"0.0"'),
        pytest.param(pattern("^[0-9]+[a-z]$"), '"0a"'),
        pytest.param(pattern("^0*1$"), '"1"'),
        pytest.param(number(exclusiveMinimum=0), None),
        pytest.param(number(exclusiveMinimum=0, exclusiveMaximum=1), None),
        pytest.param({"enum": ["a" * 300, *"bcdefghijklmnopqrst"]}, '"b"'),
        pytest.param(
            {
                "type": "object",
                "properties": {f"p{n}": {"enum": ["a", "b"]} for n in range(20)},
                "required": [f"p{n}" for n in range(20)],
            },
            None,
        ),
    ],
)
def test_every_schema_has_an_end_and_a_short_one(grammars, schema, shortest):
    compiled = grammars.compile(Constraint.json_schema(schema))
    text = TOKENIZER.decode(grammars.endings.shortest(compiled._matcher, MUCH))
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))
    assert compiled.least_tokens == len(text) + 1
    assert shortest is None or len(text) == len(shortest)
    assert len(text) < 310


def test_a_grammar_whose_end_is_not_found_is_refused(grammars):
    """What must stand somewhere in the middle of a text is not seen from its beginning."""
    with pytest.raises(InvalidParameterError, match="at most 2048 tokens"):
        grammars.compile(Constraint.json_schema(pattern("foo")))


@pytest.mark.parametrize(
    ("schema", "texts"),
    [
        ({"type": "string", "format": "date"}, ['"2024-02-29"']),
        ({"enum": ["a", "b"]}, ['"a"', '"b"']),
        ({"type": "string"}, ['"é\U0001f600"', '"\\"}{"']),
        (number(minimum=-30, maximum=-12), ["-12", "-29.5", "-30"]),
        (pattern("^[0-9]*x?$"), ['"12x"', '""', '"x"']),
        pytest.param(number(minimum=-9), ["-7", "-0.25", "3.5"]),
        pytest.param(number(maximum=0), ["-0.25"]),
        pytest.param({"type": "string", "format": "time"}, ['"21:52:46.123Z"']),
        ({"type": "string", "minLength": 60}, ['"' + 60 * "\U0010ffff" + '"']),
    ],
)
def test_no_beginning_is_given_up_that_has_an_end(grammars, schema, texts):
    """Else it would be replaced at once, however much room there is."""
    compiled = grammars.compile(Constraint.json_schema(schema))
    for text in texts:
        following = compiled.follow(MUCH)
        for token in (*TOKENIZER.encode(text), EOS):
            assert token in allowed_tokens(following)
            assert following.commit(token) == token, text


def test_an_end_is_no_longer_than_the_limit_and_leaves_the_matcher_where_it_is(grammars):
    schema = {"type": "object", "properties": {"ab": {"type": "integer"}}, "required": ["ab"]}
    compiled = grammars.compile(Constraint.json_schema(schema))
    assert compiled.least_tokens == len('{"ab": 0}') + 1
    shortest, matcher = grammars.endings.shortest, compiled._matcher
    before = matcher.compute_bitmask()
    for limit in range(12):
        found = shortest(matcher, limit)
        assert (found is not None) == (limit >= 9)
    assert TOKENIZER.decode(shortest(matcher, 9)) == '{"ab": 0}'
    assert matcher.compute_bitmask() == before
