"""From logits to the distribution that is sampled from."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.sampling import RowParams, SamplingParams, draw, logits_to_probs

VOCAB = 12


def probs_of(logits, seen=None, **fields):
    params = SamplingParams(**fields).resolved(SamplingParams())
    return logits_to_probs(logits, RowParams.of([params] * len(logits), logits.shape[-1]), seen)


logit_rows = st.lists(st.floats(-30, 30, width=32), min_size=VOCAB, max_size=VOCAB).map(
    lambda row: torch.tensor([row])
)
any_params = st.fixed_dictionaries(
    {
        "temperature": st.one_of(st.just(0.0), st.floats(1e-3, 5)),
        "top_k": st.integers(0, 2 * VOCAB),
        "top_p": st.floats(0.01, 1),
        "min_p": st.floats(0, 1),
        "repetition_penalty": st.floats(0.2, 5),
        "logit_bias": st.none() | st.dictionaries(st.integers(0, VOCAB - 1), st.floats(-50, 50)),
    }
)


@given(logit_rows, any_params, st.sets(st.integers(0, VOCAB - 1)))
def test_every_combination_of_settings_gives_a_distribution(logits, fields, seen_tokens):
    seen = torch.zeros(1, VOCAB, dtype=torch.bool)
    seen[0, list(seen_tokens)] = True
    probs = probs_of(logits, seen, **fields)
    assert probs.dtype == torch.float32
    assert torch.all(probs >= 0)
    assert probs.sum().item() == pytest.approx(1, abs=1e-5)
    if fields["temperature"] == 0:
        assert probs.max() == 1


@given(
    st.integers(0, 2**32),
    st.floats(0.2, 3),
    st.integers(1, VOCAB),
    st.floats(0.05, 1),
    st.floats(0, 0.5),
    st.floats(0.5, 2),
)
def test_filters_agree_with_the_ones_of_transformers(seed, temperature, top_k, top_p, min_p, rep):
    logits = 3 * torch.randn(1, VOCAB, generator=torch.Generator().manual_seed(seed))
    tokens = torch.tensor([[1, 4, 4, 7]])
    seen = torch.zeros(1, VOCAB, dtype=torch.bool).index_fill_(1, tokens[0], True)
    scores = logits.clone()
    for step in (
        RepetitionPenaltyLogitsProcessor(rep),
        TemperatureLogitsWarper(temperature),
        TopKLogitsWarper(top_k),
        TopPLogitsWarper(top_p),
        MinPLogitsWarper(min_p),
    ):
        scores = step(tokens, scores)
    probs = probs_of(
        logits,
        seen,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=rep,
    )
    expected = torch.softmax(scores, -1)
    # At the very edge of top-p, float32 rounding may decide either way about one token.
    near_edge = (probs > 0) != (expected > 0)
    if near_edge.any():
        ranked = torch.softmax(logits / temperature, -1).sort(descending=True).values.cumsum(-1)
        assert (ranked - top_p).abs().min() < 1e-4 or near_edge.sum() <= 1
    else:
        torch.testing.assert_close(probs, expected, atol=1e-5, rtol=1e-4)


def test_neutral_settings_are_the_softmax_of_the_logits():
    logits = torch.randn(3, VOCAB)
    torch.testing.assert_close(probs_of(logits), torch.softmax(logits, -1))


def test_top_k_keeps_tokens_tied_with_the_last_one():
    probs = probs_of(torch.tensor([[2.0, 1.0, 1.0, 0.0]]), top_k=2)
    assert (probs > 0).tolist() == [[True, True, True, False]]


def test_top_p_prefers_the_lower_token_id_among_equal_ones():
    probs = probs_of(torch.zeros(1, 4), top_p=0.5)
    assert (probs > 0).tolist() == [[True, True, False, False]]


def test_greedy_prefers_the_lower_token_id_among_equal_ones():
    assert probs_of(torch.tensor([[1.0, 3.0, 3.0]]), temperature=0).tolist() == [[0, 1, 0]]


def test_greedy_heeds_bias_and_repetition_penalty():
    logits = torch.tensor([[2.0, 1.5, 0.0]])
    assert probs_of(logits, temperature=0, logit_bias={2: 9.0}).argmax() == 2
    seen = torch.tensor([[True, False, False]])
    assert probs_of(logits, seen, temperature=0, repetition_penalty=2.0).argmax() == 1


def test_tiny_temperatures_and_large_logits_do_not_overflow():
    probs = probs_of(torch.tensor([[3e38, -3e38, 0.0]]), temperature=1e-30)
    assert probs.tolist() == [[1, 0, 0]]


def test_a_temperature_too_small_for_float32_is_greedy():
    assert probs_of(torch.tensor([[1.0, 2.0]]), temperature=1e-50).tolist() == [[0, 1]]


def test_rows_keep_their_own_settings():
    logits = torch.tensor([[1.0, 2.0, 3.0]]).repeat(3, 1)
    params = [
        SamplingParams(temperature=0),
        SamplingParams(top_k=2),
        SamplingParams(logit_bias={0: 50.0}),
    ]
    rows = RowParams.of([p.resolved(SamplingParams()) for p in params], 3)
    probs = logits_to_probs(logits, rows)
    assert probs[0].tolist() == [0, 0, 1]
    assert (probs[1] > 0).tolist() == [False, True, True]
    assert probs[2, 0] > 0.99
    swapped = logits_to_probs(logits, rows.select(torch.tensor([2, 0, 1])))
    assert torch.equal(swapped, probs[[2, 0, 1]])


def test_half_precision_logits_give_float32_probabilities():
    assert probs_of(torch.randn(1, 5).bfloat16()).dtype == torch.float32


@given(st.lists(st.integers(0, 5), min_size=2, max_size=8).filter(any), st.floats(0, 1 - 2**-53))
def test_a_draw_inverts_the_cumulative_distribution(weights, uniform):
    probs = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    token = int(draw(probs[None], torch.tensor([uniform], dtype=torch.float64)))
    assert weights[token] > 0
    below, mass = sum(weights[:token]) / sum(weights), weights[token] / sum(weights)
    assert below - 1e-12 <= uniform <= below + mass + 1e-12


def test_a_draw_never_returns_an_impossible_last_token():
    almost_one = torch.tensor([math.nextafter(1, 0)], dtype=torch.float64)
    assert draw(torch.tensor([[0.3, 0.7, 0.0, 0.0]]), almost_one).item() == 1
    assert draw(torch.tensor([[0.0, 0.3, 0.7]]), torch.zeros(1, dtype=torch.float64)).item() == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "warm"),
        ("temperature", True),
        ("top_k", -1),
        ("top_k", 2.5),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_p", math.nan),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", 1e-50),
        ("temperature", 10**400),
        ("logit_bias", {1: 1e39}),
        ("max_new_tokens", 0),
        ("seed", -1),
        ("seed", 2**63),
        ("stop", [""]),
        ("stop", ["x"] * 17),
        ("stop", [1]),
        ("stop", 3),
        ("logit_bias", {-1: 0.0}),
        ("logit_bias", {0: math.nan}),
        ("logit_bias", {0: None}),
        ("logit_bias", [1]),
    ],
)
def test_a_bad_value_is_refused_by_name(name, value):
    with pytest.raises(InvalidParameterError, match=name):
        SamplingParams(**{name: value})


def test_a_number_too_long_to_be_shown_is_refused_by_name_all_the_same():
    with pytest.raises(InvalidParameterError, match="seed"):
        SamplingParams(seed=10**5000)


def test_a_bias_beyond_the_vocabulary_is_refused():
    with pytest.raises(InvalidParameterError, match="logit_bias"):
        RowParams.of([SamplingParams(logit_bias={7: 1.0}).resolved(SamplingParams())], 7)


def test_unset_fields_take_the_defaults_then_neutral_values():
    resolved = SamplingParams(top_k=5).resolved(SamplingParams(temperature=0.3, top_k=9))
    assert (resolved.temperature, resolved.top_k, resolved.top_p) == (0.3, 5, 1.0)
    assert not any(
        getattr(resolved, f.name) is None
        for f in dataclasses.fields(resolved)
        if f.name not in ("seed", "logit_bias")
    )


def test_one_stop_string_may_be_given_bare():
    assert SamplingParams(stop="\n").stop == ("\n",)
