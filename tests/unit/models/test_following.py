"""Whatever is drawn, a text that follows a grammar fits it, ends by itself, and in time."""

import json
import random
import re
from functools import cache

import jsonschema
import pytest
from transformers import AutoTokenizer

from persona_judge_llm import bundled
from persona_judge_llm.constraints import Constraint
from persona_judge_llm.models.grammars import Grammars
from persona_judge_llm.testing import tiny_tokenizer
from persona_judge_llm.tool_calls import CLOSE, OPEN, parse_tool_calls
from tests.unit.models.walks import (
    MUCH,
    allowed_tokens,
    byte_tokenizer,
    fond,
    letters,
    stubborn,
    uniform,
    walk,
)

INTEGER, STRING = {"type": "integer"}, {"type": "string"}


def objects(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


NODE = {
    "type": "object",
    "required": ["z"],
    "properties": {"a": {"$ref": "#/$defs/n"}, "z": INTEGER},
}
LISTS = {"type": "array", "items": {"$ref": "#/$defs/l"}}
SCHEMAS = {
    "flat": {**objects(a=INTEGER, b=STRING), "required": ["a"]},
    "nested": objects(
        who=objects(name=STRING, tags={"type": "array", "items": STRING}), open={"type": "boolean"}
    ),
    "an optional recursion before what is required": {"$ref": "#/$defs/n", "$defs": {"n": NODE}},
    "a recursion of the whole": {
        **objects(v=INTEGER, next={"anyOf": [{"$ref": "#"}, {"type": "null"}]})
    },
    "a tree": {
        "$ref": "#/$defs/t",
        "$defs": {"t": objects(kids={"type": "array", "items": {"$ref": "#/$defs/t"}}, n=INTEGER)},
    },
    "values that begin alike": objects(
        x={"enum": ["a", "ab", "abc", "abcdefghijklmnop", "abd"]}, y={"enum": [1, 10, 1000, None]}
    ),
    "one of prefixes": {"enum": ["a", "ab", "abc", "abcdefghij"]},
    "a pattern": objects(id={"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}(x|yy|zzz)$"}),
    "a pattern of braces": objects(id={"type": "string", "pattern": '^[{}"]{3,9}$'}),
    "lengths": objects(s={"type": "string", "minLength": 5, "maxLength": 12}),
    "items": {"type": "array", "items": objects(k=STRING), "minItems": 3, "maxItems": 5},
    "a tuple": {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "items": False},
    "ranges": objects(
        i={"type": "integer", "minimum": 100, "maximum": 12345},
        n={"type": "number", "minimum": 0.5, "maximum": 0.75},
        m={"type": "integer", "minimum": -30, "exclusiveMaximum": -12},
    ),
    "an open range": objects(n={"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
    "nullable": objects(x={"type": ["string", "null"]}, y={"anyOf": [INTEGER, {"type": "null"}]}),
    "one of": {
        "oneOf": [objects(kind={"const": "cat"}, mew=INTEGER), objects(kind={"const": "dog"})]
    },
    "constants": objects(a={"const": "né \"q\" \\"}, b={"const": [1, {"x": None}]}, c={"const": 7}),
    "names": objects(**{"naïve key": INTEGER, '"quoted"\\': STRING, "日本": {"type": "boolean"}}),
    "many names": objects(**{f"{chr(97 + n)}{n}": INTEGER for n in range(6)}),
    "dates": objects(
        day={"type": "string", "format": "date"}, u={"type": "string", "format": "uuid"}
    ),
    "a mapping": {"type": "object", "additionalProperties": INTEGER},
    "anything": {},
    "an integer": INTEGER,
    "a number": {"type": "number"},
    "a text": STRING,
    "lists": {"$ref": "#/$defs/l", "$defs": {"l": LISTS}},
    "parts of one object": {"allOf": [objects(a=INTEGER), objects(b=STRING)]},
}  # fmt: skip
TOKENIZERS = {
    "bytes": tiny_tokenizer,
    "bundled": lambda: AutoTokenizer.from_pretrained(bundled.path()),
    "letters": lambda: byte_tokenizer("letters"),
    "special": lambda: byte_tokenizer("special"),
}
MORE_ROOM = (0, 1, 2, 7, 40)


@cache
def tokenizer_of(name):
    return TOKENIZERS[name]()


@cache
def grammars_of(name):
    tokenizer = tokenizer_of(name)
    return Grammars(tokenizer, len(tokenizer), [tokenizer.eos_token_id])


def text_of(name, tokens):
    return tokenizer_of(name).decode(tokens, clean_up_tokenization_spaces=False)


def tastes(name, rng):
    """Return ways of drawing: at random, never willing to end, and always at the edge."""
    tokenizer = tokenizer_of(name)
    ends = {tokenizer.eos_token_id, *(letters(tokenizer, '"}],0123456789'))}
    depth = {tokenizer.eos_token_id, *(letters(tokenizer, "}]")), *letters(tokenizer, "z0123456")}
    return {
        "uniform": uniform(rng),
        "endless": stubborn(rng, ends),
        "deep": stubborn(rng, depth),
        "first": lambda allowed, _: allowed[0],
        "last": lambda allowed, _: allowed[-1],
    }


@pytest.mark.parametrize("name", ["bytes", "bundled"])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_text_fits_its_schema_and_ends_in_time(name, schema):
    grammars, rng = grammars_of(name), random.Random(f"{name} {schema}")
    compiled = grammars.compile(Constraint.json_schema(SCHEMAS[schema]))
    valid = jsonschema.Draft202012Validator(SCHEMAS[schema])
    for more in MORE_ROOM:
        for taste, choose in tastes(name, rng).items():
            room = compiled.least_tokens + more
            found = walk(compiled, room, choose, grammars.eos_token_ids)
            text = text_of(name, found.tokens)
            assert found.ended, (taste, room, text)
            assert len(found.tokens) < room
            valid.validate(json.loads(text))
            assert "\n" not in text


@pytest.mark.parametrize("schema", SCHEMAS)
def test_where_there_is_room_nothing_takes_the_place_of_what_was_drawn(schema):
    """Else some values could never come up, such as numbers below 0."""
    grammars, rng = grammars_of("bytes"), random.Random(schema)
    compiled = grammars.compile(Constraint.json_schema(SCHEMAS[schema]))
    for _ in range(8):
        following, choose = compiled.follow(MUCH), uniform(rng)
        for place in range(80):
            drawn = choose(allowed_tokens(following), [])
            assert following.commit(drawn) == drawn, place
            if drawn in grammars.eos_token_ids:
                break


def test_texts_that_would_not_end_are_brought_to_their_end():
    """Else the rooms above would bind nobody."""
    grammars, rng = grammars_of("bytes"), random.Random(1)
    for schema in ("lists", "an optional recursion before what is required", "a text"):
        compiled = grammars.compile(Constraint.json_schema(SCHEMAS[schema]))
        choose = tastes("bytes", rng)["endless"]
        found = walk(compiled, compiled.least_tokens + 60, choose, grammars.eos_token_ids)
        assert found.ended
        assert found.replaced
        assert len(found.tokens) >= compiled.least_tokens + 40


SHORTEST = {
    "flat": '{"a": 0}',
    "an optional recursion before what is required": '{"z": 0}',
    "a recursion of the whole": '{"v": 0, "next": null}',
    "a tree": '{"kids": [], "n": 0}',
    "values that begin alike": '{"x": "a", "y": 1}',
    "one of prefixes": '"a"',
    "items": '[{"k": ""}, {"k": ""}, {"k": ""}]',
    "an integer": "0",
    "a text": '""',
    "a mapping": "{}",
    "dates": '{"day": "0000-01-01", "u": "00000000-0000-0000-0000-000000000000"}',
}


@pytest.mark.parametrize("schema", SHORTEST)
def test_the_least_that_is_asked_for_is_the_shortest_text(schema):
    compiled = grammars_of("bytes").compile(Constraint.json_schema(SCHEMAS[schema]))
    assert compiled.least_tokens == len(SHORTEST[schema]) + 1


@pytest.mark.parametrize("name", ["bytes", "bundled"])
@pytest.mark.parametrize("options", [["a", "ab", "abc", "abcdefgh"], ["yes", "no"], ["né", "née"]])
def test_every_choice_is_one_of_its_options_and_ends_in_time(name, options):
    grammars, rng = grammars_of(name), random.Random(3)
    compiled = grammars.compile(Constraint.choice(options))
    chosen = set()
    for more in MORE_ROOM:
        for taste, choose in tastes(name, rng).items():
            room = compiled.least_tokens + more
            found = walk(compiled, room, choose, grammars.eos_token_ids)
            chosen.add(text_of(name, found.tokens))
            assert found.ended, (taste, room, chosen)
    assert chosen <= set(options)
    assert len(chosen) > 1


# --- tool calls -----------------------------------------------------------------------------------

TOOLS = {
    "add": objects(a=INTEGER, b={"enum": [1, 12, 123]}),
    "say": {**objects(words=STRING), "required": []},
    "walk": {"$ref": "#/$defs/n", "$defs": {"n": NODE}},
}
OFFERED = [{"name": name, "parameters": schema} for name, schema in TOOLS.items()]
ANSWER = objects(x={"type": "boolean"})


def phrases(name):
    """Return what one must be fond of to call tools all the time, or nearly."""
    tokenizer = tokenizer_of(name)
    texts = (
        OPEN, "Hm. " + OPEN, OPEN[:7], OPEN[:-1], "<<tool_call>", CLOSE, "\n" + OPEN,
        OPEN + '\n{"name": "add"', OPEN + '{"name": "say", "arguments": {"words": "' + OPEN,
    )  # fmt: skip
    return [way(text) for text in texts for way in (tokenizer.encode, partial_letters(tokenizer))]


def partial_letters(tokenizer):
    return lambda text: letters(tokenizer, text)


def read(text):
    """Return the calls of a text, all of which must be whole and fit their tools."""
    place = text.find(OPEN)
    while place >= 0:  # an end in place of the closing tag would be forgiven below
        body = text[place + len(OPEN) :].lstrip("\n")
        _, end = json.JSONDecoder().raw_decode(body)
        assert body[end:].lstrip("\n").startswith(CLOSE), text
        place = text.find(OPEN, len(text) - len(body) + end)
    parsed = parse_tool_calls(text)
    assert parsed.malformed == (), text
    for call in parsed.calls:
        jsonschema.Draft202012Validator(TOOLS[call.name]).validate(call.arguments)
    return parsed


def walks(name, constraint, rooms, seed):
    """Yield texts of every taste, for a call-lover most of all."""
    grammars, rng = grammars_of(name), random.Random(seed)
    compiled = grammars.compile(constraint)
    for more in rooms:
        ways = {**tastes(name, rng), "fond": fond(rng, phrases(name))}
        for taste, choose in [*ways.items(), *[("fond", ways["fond"])] * 2]:
            room = compiled.least_tokens + more
            found = walk(compiled, room, choose, grammars.eos_token_ids)
            assert len(found.tokens) <= room
            assert found.ended or constraint.optional, (taste, room)
            yield text_of(name, found.tokens), found


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_free_text_has_whole_calls_only_wherever_the_limit_is(name, parallel):
    constraint = Constraint.tool_calls(OFFERED, parallel=parallel)
    calls, cut, ended, replaced = 0, 0, 0, 0
    for text, found in walks(name, constraint, (*range(1, 130, 11), 200), 4):
        parsed = read(text)
        assert parallel or len(parsed.calls) <= 1
        calls += len(parsed.calls)
        ended += found.ended
        cut += not found.ended
        replaced += found.replaced
    assert calls > 10
    assert cut > 10  # free text is cut off where its limit is
    assert ended
    assert replaced  # calls that there was no room for


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("choice", ["any", "walk"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_calls_that_are_forced_are_there_and_whole(name, choice, parallel):
    constraint = Constraint.tool_calls(OFFERED, choice, parallel=parallel)
    most = 0
    for text, found in walks(name, constraint, (0, 1, 9, 90), 5):
        parsed = read(text)
        assert found.ended
        assert parsed.content == ""
        assert len(parsed.calls) == 1 or (parallel and parsed.calls)
        assert choice == "any" or {c.name for c in parsed.calls} == {choice}
        most = max(most, len(parsed.calls))
    assert (most > 1) == parallel


@pytest.mark.parametrize("name", TOKENIZERS)
def test_an_answer_or_calls_are_one_of_both(name):
    constraint = Constraint.tool_calls(OFFERED, answer=ANSWER)
    kinds = set()
    for text, _ in walks(name, constraint, (0, 1, 3, 9, 60), 6):
        if text.startswith("{"):
            jsonschema.Draft202012Validator(ANSWER).validate(json.loads(text))
        else:
            assert read(text).content == ""
            assert read(text).calls
        kinds.add(text[0])
    assert kinds == {"{", "<"}


@pytest.mark.parametrize("number", ["1e999", "-1E999"])
@pytest.mark.parametrize(
    "parameters", [None, {"type": "object", "additionalProperties": {"type": "number"}}]
)
def test_arguments_that_could_not_be_read_are_never_written(number, parameters):
    """Numbers that no reader holds, and halves of surrogate pairs, however hard it is tried."""
    grammars, tokenizer = grammars_of("bytes"), tokenizer_of("bytes")
    tool = {"name": "f", "parameters": parameters}
    compiled = grammars.compile(Constraint.tool_calls([tool], "any"))
    for value in (number, '"\\ud800"', '"\\udc00 "'):
        wanted = tokenizer.encode(
            f'<tool_call>{{"name": "f", "arguments": {{"k": {value}}}}}</tool_call>'
        )

        def choose(allowed, tokens, wanted=wanted):
            place = len(tokens)
            return wanted[place] if wanted[place:] and wanted[place] in allowed else allowed[0]

        text = text_of("bytes", walk(compiled, 200, choose, grammars.eos_token_ids).tokens)
        assert parse_tool_calls(text).malformed == (), text


def test_a_key_cannot_be_written_a_second_time_with_a_value_of_another_kind():
    grammars, tokenizer = grammars_of("bytes"), tokenizer_of("bytes")
    schema = {**objects(a=INTEGER), "additionalProperties": STRING}
    compiled = grammars.compile(Constraint.json_schema(schema))
    for key in ("a", "\\u0061"):
        wanted = tokenizer.encode(f'{{"a": 1, "{key}": "x"}}')

        def choose(allowed, tokens, wanted=wanted):
            place = len(tokens)
            return wanted[place] if wanted[place:] and wanted[place] in allowed else allowed[-1]

        text = text_of("bytes", walk(compiled, 60, choose, grammars.eos_token_ids).tokens)
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))


def test_dates_look_like_dates():
    grammars, rng = grammars_of("bytes"), random.Random(7)
    compiled = grammars.compile(Constraint.json_schema(SCHEMAS["dates"]))
    for _ in range(20):
        found = walk(compiled, 100, uniform(rng), grammars.eos_token_ids)
        day = json.loads(text_of("bytes", found.tokens))["day"]
        assert re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", day)
