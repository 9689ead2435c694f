"""The likeliest tokens at each place: those of the distribution that the token was drawn from."""

import json

import pytest
import torch

from persona_judge_llm.constraints import Constraint
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import tiny_engine, tiny_model, tiny_tokenizer

TASTES = ["Be concise", "Use images"]
SCHEMA = {"type": "object", "properties": {"a": {"enum": ["xa", "xb", "ya"]}}, "required": ["a"]}


@pytest.fixture(scope="module")
def engine():
    with tiny_engine() as engine:
        yield engine


def params(top_logprobs=5, **fields):
    return SamplingParams(
        **{"max_new_tokens": 20, "seed": 4, "top_logprobs": top_logprobs, **fields}
    )


def probs_behind(engine, prompt_ids, text, temperature=1.0, allowed=None):
    """Return a side's distribution, of the model run over the whole text without any cache."""
    with torch.inference_mode():
        logits = engine.model(torch.tensor([[*prompt_ids, *text]])).logits[0, -1]
    if allowed is not None:
        hidden = torch.ones_like(logits, dtype=torch.bool)
        hidden[allowed] = False
        logits = logits.masked_fill(hidden, -torch.inf)
    return torch.softmax(logits / temperature, -1)


def assert_tops(token, probs, count):
    expected, ids = probs.topk(min(count, int((probs > 0).sum())))
    assert [p for _, p in token.top_probs] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-7)
    gaps = (expected[:-1] - expected[1:]).tolist()
    if not gaps or min(gaps) > 1e-4:
        assert [i for i, _ in token.top_probs] == ids.tolist()


def test_they_are_the_judges_likeliest_in_falling_order(engine):
    plan = engine.plan("Hello", preferences=TASTES, params=params(temperature=0.7))
    generation = engine.generate(plan)
    text, sides = [], set()
    for token in generation.trace:
        prompt = plan.prompt_ids_b if token.judged_by == "B" else plan.prompt_ids_a
        assert_tops(token, probs_behind(engine, prompt, text, 0.7), 5)
        assert dict(token.top_probs).get(token.token_id, token.judge_prob) == pytest.approx(
            token.judge_prob
        )
        text.append(token.token_id)
        sides.add(token.judged_by)
    assert sides == {"A", "B"}


@pytest.mark.parametrize("count", [1, 3, 20])
def test_as_many_as_were_asked_for_and_never_more_than_all(engine, count):
    generation = engine.generate("Hello", preferences=TASTES, params=params(count))
    for token in generation.trace:
        probs = [prob for _, prob in token.top_probs]
        assert len(probs) == count
        assert probs == sorted(probs, reverse=True)
        assert 0 < sum(probs) <= 1 + 1e-5
        assert len({i for i, _ in token.top_probs}) == count
        assert probs[0] >= token.judge_prob - 1e-6


def test_they_are_what_the_filters_left(engine):
    generation = engine.generate("Hello", preferences=TASTES, params=params(20, top_k=4))
    for token in generation.trace:
        assert len(token.top_probs) == 4
        assert sum(prob for _, prob in token.top_probs) == pytest.approx(1)
        assert token.token_id in dict(token.top_probs)
    greedy = engine.generate("Hello", preferences=TASTES, params=params(temperature=0))
    assert [t.top_probs for t in greedy.trace] == [((t.token_id, 1.0),) for t in greedy.trace]


def test_of_one_prompt_they_are_the_models_own(engine):
    plan = engine.plan("Hello", params=params())
    text = []
    for token in engine.generate(plan).trace:
        assert_tops(token, probs_behind(engine, plan.prompt_ids_a, text), 5)
        text.append(token.token_id)


def test_under_a_constraint_they_are_what_it_allows(engine):
    plan = engine.plan(
        "Hello", preferences=TASTES, constraint=Constraint.json_schema(SCHEMA), params=params()
    )
    generation = engine.generate(plan)
    assert json.loads(generation.text)["a"] in SCHEMA["properties"]["a"]["enum"]
    text = []
    letters = [engine.tokenizer.encode(letter)[0] for letter in "xyab"]
    for place, token in enumerate(generation.trace):
        if place == 7:  # behind {"a": "
            allowed = letters[:2]
        elif place == 8:
            allowed = letters[2:] if generation.text[7] == "x" else letters[2:3]
        else:
            assert token.top_probs == ((token.token_id, 1.0),)
            text.append(token.token_id)
            continue
        prompt = plan.prompt_ids_b if token.judged_by == "B" else plan.prompt_ids_a
        assert len(token.top_probs) == len(allowed)
        assert_tops(token, probs_behind(engine, prompt, text, allowed=allowed), 5)
        assert sum(prob for _, prob in token.top_probs) == pytest.approx(1)
        text.append(token.token_id)


def test_nobody_gets_any_who_did_not_ask(engine):
    asking = [Request("Hi", preferences=TASTES, params=params(n)) for n in (0, 2, 0, 7)]
    found = engine.generate_batch(asking)
    for request, generation in zip(asking, found, strict=True):
        assert {len(t.top_probs) for t in generation.trace} == {request.params.top_logprobs}
    assert {t.top_probs for t in engine.generate("Hi", preferences=TASTES).trace} == {()}
    texts = [[t.token_id for t in g.trace] for g in found]
    assert texts[0] == texts[1] == texts[3]  # asking changes nothing else


def test_streams_have_them_too(engine):
    request = Request("Hi", preferences=TASTES, params=params(3))
    *_, last = engine.stream(request)
    assert last.generation.trace == engine.generate(request).trace
    assert {len(t.top_probs) for t in last.generation.trace} == {3}


def test_guessed_tokens_have_those_of_their_own_places():
    model = tiny_model()
    bias = {97: 30.0}  # a text that says the same over and over is guessed
    found = {}
    for proposals in ("auto", "off"):
        with PersonaJudge(model, tiny_tokenizer(), proposals=proposals) as engine:
            found[proposals] = engine.generate(
                "aaaa", preferences=TASTES, params=params(3, logit_bias=bias, max_new_tokens=60)
            )
            used = engine.metrics.proposed_tokens_used
            assert (used > 0) == (proposals == "auto")
    for token, other in zip(found["auto"].trace, found["off"].trace, strict=True):
        assert token.token_id == other.token_id
        assert [p for _, p in token.top_probs] == pytest.approx(
            [p for _, p in other.top_probs], rel=1e-3, abs=1e-7
        )


@pytest.mark.parametrize("count", [-1, 21, True, 1.0, "3", None])
def test_other_numbers_of_them_are_refused_by_name(count):
    with pytest.raises(InvalidParameterError, match="top_logprobs") as caught:
        SamplingParams(top_logprobs=count)
    assert caught.value.name == "top_logprobs"
