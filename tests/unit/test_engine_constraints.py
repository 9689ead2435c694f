"""Answers of a given form, through the facade: valid on any weights, however they are asked for."""

import asyncio
import json
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import get_args

import jsonschema
import pytest

from persona_judge_llm.constraints import Constraint
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import (
    InvalidParameterError,
    MissingDependencyError,
    UnsupportedModelError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.requests import Request, Rule
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import HistoryModel, tiny_model, tiny_tokenizer
from persona_judge_llm.tool_calls import OPEN, parse_tool_calls

STORE = InMemoryProfileStore(
    [
        Profile("ana", (Preference("Be concise"), Preference("Use images"))),
        Profile("bo", (Preference("Be formal"),)),
        Profile("eve", ()),
    ]
)
USERS = ("ana", "bo", "eve", None)
OPEN_ID = 259
INTEGER, STRING = {"type": "integer"}, {"type": "string"}


def objects(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


SCHEMAS = {
    "flat": {**objects(a=INTEGER, b=STRING), "required": ["b"]},
    "nested": objects(
        who=objects(name=STRING), tags={"type": "array", "items": {"enum": ["x", "y"]}}
    ),
    "recursive": {"$ref": "#/$defs/n", "$defs": {"n": {
        "type": "object", "required": ["z"],
        "properties": {"a": {"$ref": "#/$defs/n"}, "z": {"type": ["string", "null"]}},
    }}},
}  # fmt: skip
TOOLS = {"add": objects(a=INTEGER), "say": {**objects(words=STRING), "required": []}}
OFFERED = [
    {"type": "function", "function": {"name": name, "parameters": schema}}
    for name, schema in TOOLS.items()
]
OPTIONS = ("yes", "yes please", "no")


def of_schema(schema):
    def check(text):
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))

    return check


def of_calls(text):
    parsed = parse_tool_calls(text)
    assert parsed.malformed == (), text
    for call in parsed.calls:
        of_schema(TOOLS[call.name])(json.dumps(call.arguments))
    return parsed


def of_calls_alone(text):
    parsed = of_calls(text)
    assert parsed.calls
    assert parsed.content == ""


def of_one(text):
    assert text in OPTIONS


FORMS = {
    **{name: (Constraint.json_schema(s), of_schema(s)) for name, s in SCHEMAS.items()},
    "any object": (Constraint.json_object(), of_schema({"type": "object"})),
    "a choice": (Constraint.choice(OPTIONS), of_one),
    "any call": (Constraint.tool_calls(OFFERED, "any"), of_calls_alone),
    "a named call": (Constraint.tool_calls(OFFERED, "say", parallel=False), of_calls_alone),
}


@cache
def weights(seed, scale=4.0):
    return tiny_model(seed=seed, scale=scale)


def new_engine(seed=0, scale=4.0, **settings):
    return PersonaJudge(weights(seed, scale), tiny_tokenizer(), profiles=STORE, **settings)


@pytest.fixture(scope="module")
def engine():
    with new_engine() as engine:
        yield engine


def params(limit=80, **fields):
    return SamplingParams(max_new_tokens=limit, **{"seed": 1, **fields})


def asking(form="flat", user="ana", limit=80, **fields):
    constraint = FORMS[form][0] if form else None
    return Request(
        f"Give me {form}", user_id=user, constraint=constraint, params=params(limit, **fields)
    )


def assert_fits(form, generation):
    FORMS[form][1](generation.text)
    assert generation.finish_reason == "stop"
    assert "".join(t.text for t in generation.trace) == generation.text


def facts(generation):
    return (
        generation.text,
        generation.token_ids,
        [(t.outcome, t.judged_by) for t in generation.trace],
    )


# --- valid, whatever the weights ------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("seed", "scale"), [(0, 4.0), (1, 20.0)])
def test_every_answer_fits_and_ends_within_any_limit(form, seed, scale):
    with new_engine(seed, scale) as engine:
        least = engine.plan(asking(form)).constraint.least_tokens
        requests = [
            asking(form, user, least + more, seed=number, **fields)
            for number, (user, more, fields) in enumerate(
                (user, more, fields)
                for user in ("ana", "bo")
                for more in (0, 1, 20)
                for fields in ({}, {"temperature": 1.5, "top_k": 3})
            )
        ]
        for asked, found in zip(requests, engine.generate_batch(requests), strict=True):
            assert_fits(form, found)
            assert found.usage.completion_tokens < asked.params.max_new_tokens


@pytest.mark.parametrize("rule", get_args(Rule))
def test_answers_fit_under_every_rule(rule):
    with new_engine(1, 20.0) as engine:
        asked = [
            replace(asking(form, user, 60, seed=seed), rule=rule)
            for seed, form in enumerate(("flat", "recursive", "a choice"))
            for user in ("ana", "bo")
        ]
        for one, found in zip(asked, engine.generate_batch(asked), strict=True):
            assert_fits(one.prompt.removeprefix("Give me "), found)


def test_every_way_of_calling_gives_the_same_answer_for_a_seed(engine):
    asked = asking("nested")
    expected = engine.generate(asked)
    assert_fits("nested", expected)
    assert engine.generate(asked.prompt, user_id="ana", params=asked.params,
                           constraint=asked.constraint).text == expected.text  # fmt: skip
    chunks = list(engine.stream(asked))
    assert "".join(c.text for c in chunks) == expected.text
    assert facts(chunks[-1].generation) == facts(expected)
    others = [asking("flat", "bo"), asked, asking(None, "eve")]
    assert facts(engine.generate_batch(others)[1]) == facts(expected)

    async def both():
        streamed = "".join([c.text async for c in engine.astream(asked)])
        return (await engine.agenerate(asked)).text, streamed

    assert asyncio.run(both()) == (expected.text, expected.text)
    other = engine.generate(replace(asked, params=params(seed=2)))
    assert other.text != expected.text
    assert_fits("nested", other)


def varied(count, seed):
    """Return requests of all forms, users and ways of sampling, some of no form at all."""
    rng = random.Random(seed)
    forms = [*FORMS, None, None]
    return [
        (form, replace(
            asking(form, rng.choice(USERS), rng.choice([55, 65]), seed=number,
                    temperature=rng.choice([0, 0.8, 1.3]), top_p=rng.choice([1.0, 0.9]),
                    repetition_penalty=rng.choice([1.0, 1.2])),
            num_draft_tokens=rng.choice([None, 1, 6]), rule=rng.choice([None, "fixed"]),
        ))
        for number, form in enumerate(rng.choice(forms) for _ in range(count))
    ]  # fmt: skip


def test_in_a_batch_every_answer_is_that_of_a_lone_call(engine):
    asked = varied(16, 0)
    together = engine.generate_batch([r for _, r in asked])
    with new_engine(prefix_cache_bytes=0) as quiet:
        for (form, one), found in zip(asked, together, strict=True):
            if form:
                assert_fits(form, found)
            assert facts(found) == facts(quiet.generate(one))


def test_sixteen_threads_get_their_own_answers():
    asked = varied(32, 1)
    with new_engine(prefix_cache_bytes=0) as quiet:
        alone = [facts(quiet.generate(r)) for _, r in asked]
    gate = threading.Barrier(16)

    def work(number):
        gate.wait(60)
        return [engine.generate(r) for _, r in asked[number::16]]

    with new_engine() as engine, ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(16)))
    for number, found in enumerate(results):
        assert [facts(g) for g in found] == alone[number::16]
        for (form, _), generation in zip(asked[number::16], found, strict=True):
            if form:
                assert_fits(form, generation)


def test_a_prepared_call_begins_anew_each_time(engine):
    prepared = engine.prepare(asking("recursive"))
    first = engine.generate(prepared)
    assert_fits("recursive", first)
    for again in (engine.generate(prepared), *engine.generate_batch([prepared] * 3)):
        assert facts(again) == facts(first)


def test_words_are_the_users_and_what_is_forced_is_nobodys(engine):
    found = {user: engine.generate(asking("flat", user)) for user in ("ana", "bo", "eve")}
    assert len({g.text for g in found.values()}) == 3
    assert {t.judged_by for t in found["ana"].trace} == {"A", "B"}
    forced = found["ana"].trace[0]  # an object begins in one way
    assert (forced.text, forced.judge_prob, forced.draft_prob) == ("{", 1, 1)


# --- tools without a constraint -------------------------------------------------------------------


def free(limit, seed=0, **fields):
    return Request("Add 1 and 2", user_id="ana", tools=OFFERED, params=params(
        limit, seed=seed, logit_bias={OPEN_ID: 6.0, 258: -2.0}, **fields,
    ))  # fmt: skip


def test_calls_fit_their_tools_wherever_the_limit_is(engine):
    requests = [free(limit, seed) for limit in (*range(1, 130, 6), 200) for seed in (0, 1)]
    found = engine.generate_batch(requests)
    calls = [call for g in found for call in of_calls(g.text).calls]
    assert {call.name for call in calls} == {"add", "say"}
    assert len(calls) > 20
    assert {"stop", "length"} == {g.finish_reason for g in found}
    assert any(OPEN not in g.text for g in found)


@pytest.fixture
def without_llguidance(monkeypatch):
    for name in ("llguidance", "llguidance.hf"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("without_llguidance")
def test_the_model_would_not_have_written_calls_by_itself():
    with new_engine() as unheld:
        found = unheld.generate_batch([free(60, seed) for seed in range(5)])
    assert any(parse_tool_calls(g.text).malformed for g in found)


def test_tools_that_cannot_be_held_to_leave_the_text_as_it_would_be(engine, request):
    odd = [{"type": "function", "function": {"name": "f", "parameters": {"not": STRING}}}]
    asked = replace(free(40), tools=odd)
    with pytest.raises(InvalidParameterError):
        engine.plan(replace(asked, constraint=Constraint.tool_calls(odd, "any")))
    assert engine.plan(asked).constraint is None
    found = engine.generate(asked)
    request.getfixturevalue("without_llguidance")
    with new_engine() as unheld:
        assert facts(unheld.generate(asked)) == facts(found)


def test_an_explicit_constraint_counts_before_the_tools(engine):
    asked = replace(asking("a choice"), tools=OFFERED)
    assert_fits("a choice", engine.generate(asked))
    assert not engine.plan("Hi", user_id="ana").constraint
    assert engine.plan("Hi", tools=OFFERED).constraint.least_tokens == 0
    assert engine.plan("Hi", tools=[]).constraint is None


# --- refused before anything is computed ----------------------------------------------------------


def assert_refused(engine, error, match, *calls):
    before = engine.metrics.forward_passes
    for call in calls:
        with pytest.raises(error, match=match):
            engine.generate(call)
        with pytest.raises(error, match=match):
            engine.stream(call)
        with pytest.raises(error, match=match):
            engine.prepare(call)
        with pytest.raises(error, match=match):
            engine.generate_batch([Request("Hi", params=params(3)), call])
        with pytest.raises(error, match=match):
            asyncio.run(engine.agenerate(call))
    assert engine.metrics.forward_passes == before


@pytest.mark.parametrize("form", FORMS)
def test_a_limit_that_is_too_small_is_refused(engine, form):
    least = engine.plan(asking(form)).constraint.least_tokens
    match = f"max_new_tokens must be at least {least} for this constraint, not {least - 1}"
    assert_refused(engine, InvalidParameterError, match, asking(form, limit=least - 1))
    assert_fits(form, engine.generate(asking(form, limit=least)))


def test_a_limit_that_the_context_makes_too_small_is_refused(engine):
    long = Constraint.choice(["x" * 600])
    asked = Request("y" * 300, constraint=long, params=SamplingParams(seed=1))
    assert_refused(engine, InvalidParameterError, "max_new_tokens must be at least 601", asked)


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("start: (("),
        Constraint.json_schema({"type": "sausage"}),
        Constraint.json_schema({"type": "string", "not": {}}),
        Constraint.json_schema({"type": "integer", "minimum": 3, "maximum": 2}),
        Constraint.tool_calls([{"name": "f", "parameters": {"not": {}}}], "any"),
    ],
)
def test_a_constraint_that_cannot_be_decoded_by_is_refused(engine, constraint):
    call = replace(asking(), constraint=constraint)
    assert_refused(engine, InvalidParameterError, "constraint must be a grammar", call)


@pytest.mark.parametrize("constraint", ["start: /a/", {"type": "object"}, 3, True])
def test_what_is_no_constraint_is_refused_by_name(engine, constraint):
    with pytest.raises(InvalidParameterError, match="constraint must be a Constraint") as caught:
        engine.generate("Hi", constraint=constraint)
    assert caught.value.name == "constraint"


@pytest.mark.usefixtures("without_llguidance")
def test_without_the_extra_constraints_are_refused_and_tools_are_not():
    with new_engine() as engine:
        assert not engine.grammars.available
        assert_refused(engine, MissingDependencyError, r"\[structured\]", asking("flat"))
        assert engine.generate(free(20)).token_ids
        assert engine.plan(free(20)).constraint is None


def test_a_tokenizer_without_an_end_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    with PersonaJudge(HistoryModel(261), tokenizer) as engine:
        assert not engine.grammars.available
        call = replace(asking("flat"), user_id=None)
        assert_refused(engine, UnsupportedModelError, "end-of-sequence", call)
        assert engine.generate("Hi", tools=OFFERED, params=params(5)).token_ids


def test_the_reference_loop_refuses_constraints_and_leaves_tools_free(engine):
    assert engine.grammars.available
    with new_engine(loop="reference") as reference:
        assert not reference.grammars.available
        for user in ("ana", "bo", None):
            call = asking("flat", user)
            assert_refused(reference, InvalidParameterError, "left out with loop=.reference", call)
        assert reference.plan(free(10)).constraint is None
        assert len(reference.generate(free(10)).token_ids) == 10
