"""What an engine counts."""

import dataclasses

import pytest

from persona_judge_llm.metrics import Metrics
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import tiny_engine

PREFERENCES = ["Be brief", "Use vivid images"]
PARAMS = SamplingParams(temperature=0.8, max_new_tokens=20, seed=5)


@pytest.fixture
def engine():
    with tiny_engine(proposals="off") as engine:
        yield engine


def test_each_outcome_has_its_counter_and_ends_a_window_or_not():
    metrics = Metrics()
    for outcome in ("accepted", "accepted", "recovered", "accepted", "bonus", "sampled"):
        metrics.count(outcome)
    assert metrics == Metrics(
        tokens_accepted=3, tokens_recovered=1, tokens_bonus=1, tokens_sampled=1, windows=2
    )


@pytest.mark.parametrize(
    ("outcomes", "rate"),
    [
        ([], None),
        (["sampled", "bonus"], None),
        (["recovered"], 0.0),
        (["accepted", "accepted", "accepted", "recovered", "bonus", "sampled"], 0.75),
    ],
)
def test_the_acceptance_rate_is_that_of_judged_draft_tokens(outcomes, rate):
    metrics = Metrics()
    for outcome in outcomes:
        metrics.count(outcome)
    assert metrics.acceptance_rate == rate


def test_a_new_engine_has_done_nothing(engine):
    assert engine.metrics == Metrics()


def test_the_counters_of_a_call_are_those_of_its_result(engine):
    out = engine.generate("Hello", preferences=PREFERENCES, params=PARAMS)
    metrics = engine.metrics
    outcomes = [token.outcome for token in out.trace]
    assert metrics.forward_passes == out.usage.forward_passes
    assert metrics.tokens_accepted == outcomes.count("accepted") > 0
    assert metrics.tokens_recovered == outcomes.count("recovered") > 0
    assert metrics.tokens_bonus == outcomes.count("bonus") > 0
    assert metrics.tokens_sampled == 0
    assert metrics.windows == metrics.tokens_recovered + metrics.tokens_bonus
    assert metrics.acceptance_rate == out.acceptance_rate
    assert metrics.proposed_tokens == metrics.proposed_tokens_used == 0


def test_a_plain_call_adds_sampled_tokens(engine):
    first = engine.generate("Hello", preferences=PREFERENCES, params=PARAMS)
    before = engine.metrics
    second = engine.generate("Hello", persona=False, params=PARAMS)
    after = engine.metrics
    assert after.tokens_sampled == len(second.trace)
    assert after.windows == before.windows
    assert after.acceptance_rate == first.acceptance_rate
    assert after.forward_passes == first.usage.forward_passes + second.usage.forward_passes


def test_calls_decoded_together_share_passes_and_add_their_tokens(engine):
    requests = [
        Request("Hello", preferences=PREFERENCES, params=PARAMS),
        Request("Good evening", params=dataclasses.replace(PARAMS, max_new_tokens=9)),
        Request("What now?", preferences=PREFERENCES[::-1], params=PARAMS),
    ]
    results = engine.generate_batch(requests)
    metrics = engine.metrics
    passes = [out.usage.forward_passes for out in results]
    assert metrics.forward_passes == max(passes) < sum(passes)
    drawn = (
        metrics.tokens_accepted
        + metrics.tokens_recovered
        + metrics.tokens_bonus
        + metrics.tokens_sampled
    )
    assert drawn == sum(len(out.trace) for out in results)
    assert metrics.tokens_sampled == len(results[1].trace)


def test_passes_are_those_that_the_model_ran(engine, monkeypatch):
    ran = []
    forward = engine.language_model.forward

    def spy(*arguments, **inputs):
        ran.append(1)
        return forward(*arguments, **inputs)

    monkeypatch.setattr(engine.language_model, "forward", spy)
    engine.generate("Hello", preferences=PREFERENCES, params=PARAMS)
    assert engine.metrics.forward_passes == len(ran)


def test_a_prompt_that_was_there_before_is_found_and_hardly_computed(engine):
    call = Request("Hello", preferences=PREFERENCES, params=PARAMS)
    prompts = [engine.plan(call).prompt_ids_a, engine.plan(call).prompt_ids_b]
    shared = next(i for i, (a, b) in enumerate(zip(*prompts, strict=False)) if a != b)
    slots = shared + sum(len(prompt) - shared for prompt in prompts)
    engine.generate(call)
    first = engine.metrics
    assert (first.prefix_cache_hits, first.prefix_cache_misses) == (0, 2)
    assert (first.prompt_tokens_computed, first.prefix_cache_tokens_reused) == (slots, 0)
    assert first.prefix_cache_bytes > 0
    engine.generate(call)
    second = engine.metrics
    assert (second.prefix_cache_hits, second.prefix_cache_misses) == (2, 2)
    assert second.prompt_tokens_computed == slots + 2
    assert second.prefix_cache_tokens_reused == slots - 2
    assert second.prefix_cache_bytes == first.prefix_cache_bytes  # the same entry again


def test_without_a_prefix_cache_its_counters_stay_at_zero():
    engine = tiny_engine(prefix_cache_bytes=0)
    for _ in range(2):
        engine.generate("Hello", preferences=PREFERENCES, params=PARAMS)
    metrics = engine.metrics
    assert metrics.prefix_cache_hits == metrics.prefix_cache_misses == 0
    assert metrics.prefix_cache_tokens_reused == metrics.prefix_cache_bytes == 0


def test_calls_under_way_are_counted_until_they_end(engine):
    stream = engine.stream("Hello", preferences=PREFERENCES, params=PARAMS)
    assert (engine.metrics.queue_depth, engine.metrics.batch_size) == (0, 0)
    next(stream)
    assert (engine.metrics.queue_depth, engine.metrics.batch_size) == (0, 1)
    list(stream)
    assert (engine.metrics.queue_depth, engine.metrics.batch_size) == (0, 0)


def test_a_call_that_was_left_is_no_longer_under_way_and_what_it_drew_stays_counted(engine):
    stream = engine.stream("Hello", preferences=PREFERENCES, params=PARAMS)
    next(stream)
    stream.close()
    metrics = engine.metrics
    assert (metrics.queue_depth, metrics.batch_size) == (0, 0)
    assert metrics.tokens_accepted + metrics.tokens_recovered + metrics.tokens_bonus > 0


def test_calls_beyond_the_batch_wait_and_are_counted(monkeypatch):
    engine = tiny_engine(max_batch=1)
    first = engine.stream("Hello", params=PARAMS)
    next(first)
    found = []
    forward = engine.language_model.forward

    def spy(*arguments, **inputs):
        found.append((engine.metrics.queue_depth, engine.metrics.batch_size))
        return forward(*arguments, **inputs)

    monkeypatch.setattr(engine.language_model, "forward", spy)
    engine.generate("Hello", params=PARAMS)
    assert found[0] == (1, 1)
    assert found[-1] == (0, 1)
    assert (engine.metrics.queue_depth, engine.metrics.batch_size) == (0, 0)


def test_metrics_are_a_picture_and_not_the_counters_themselves(engine):
    before = engine.metrics
    engine.generate("Hello", params=PARAMS)
    assert before == Metrics()
    engine.metrics.forward_passes = 0
    assert engine.metrics.forward_passes > 0


def test_the_reference_loop_counts_as_well():
    with tiny_engine(proposals="off", loop="reference") as engine:
        answer = engine.generate("Hi", preferences=PREFERENCES, params=PARAMS)
        metrics = engine.metrics
    assert metrics.forward_passes == answer.usage.forward_passes > 0
    judged = metrics.tokens_accepted + metrics.tokens_recovered + metrics.tokens_bonus
    assert judged >= len(answer.trace) > 0
