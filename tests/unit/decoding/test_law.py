"""Both decoders follow Algorithm 1's law, on a model whose law depends on the whole history."""

import importlib.util
import os
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare

from persona_judge_llm.decoding.dual import DualDecoding
from persona_judge_llm.decoding.reference import ReferenceDecoding
from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.sampling import RowParams, SamplingParams, logits_to_probs
from persona_judge_llm.testing import HistoryModel

_spec = importlib.util.spec_from_file_location("exact_law", Path(__file__).parent / "exact_law.py")
assert _spec
assert _spec.loader
exact_law = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(exact_law)

LENGTH = 4
SAMPLES = int(os.environ.get("LAW_SAMPLES", "200000"))
BATCH = 25_000
A, B = (0, 2, 1), (1, 3)  # prompts of different lengths, so that rows differ in length

NEUTRAL = SamplingParams(max_new_tokens=LENGTH).resolved(SamplingParams())
FILTERED = SamplingParams(
    max_new_tokens=LENGTH, temperature=0.8, top_k=3, top_p=0.9, repetition_penalty=1.3
).resolved(SamplingParams())
TOP_P = SamplingParams(max_new_tokens=LENGTH, temperature=1.4, top_p=0.8).resolved(SamplingParams())

SETTINGS = {
    "lambda 1, alternate": (A, B, NEUTRAL, 1, (1, 1), False),
    "lambda 2, fixed": (A, B, NEUTRAL, 2, (0, 1), False),
    "lambda 3, filtered, with a repetition penalty": (A, B, FILTERED, 3, (1, 1), False),
    "lambda 2, top-p, turns (2, 1)": (A, B, TOP_P, 2, (2, 1), False),
    "lambda 4, A = B": (A, A, NEUTRAL, 4, (1, 1), False),
    "lambda 6, opposed sides": ((0, 2), (1, 2), NEUTRAL, 6, (1, 1), True),
}
DECODERS = {"dual": DualDecoding, "reference": ReferenceDecoding}


@cache
def expected_law(name):
    prompt_a, prompt_b, params, num_draft_tokens, turns, opposed = SETTINGS[name]
    model = HistoryModel(opposed=opposed, seed=3)
    row_params = RowParams.of([params], model.vocab_size)

    def side(prompt):
        @cache
        def probs(text):
            tokens = [*prompt, *text]
            seen = torch.zeros(1, model.vocab_size, dtype=torch.bool)
            seen[0, tokens] = True
            return (
                logits_to_probs(model.logits(tokens)[None], row_params, seen)[0].double().tolist()
            )

        return probs

    return exact_law.joint_law(
        side(prompt_a),
        side(prompt_b),
        length=LENGTH,
        num_draft_tokens=num_draft_tokens,
        turns=turns,
    )


def sample_counts(decoder, name, samples):
    """Count the texts that `samples` decodings give, each with a seed of its own."""
    prompt_a, prompt_b, params, num_draft_tokens, turns, opposed = SETTINGS[name]
    model = HistoryModel(opposed=opposed, seed=3)
    counts = Counter()
    for start in range(0, samples, BATCH):
        texts = decode(
            decoder,
            model,
            [
                DecodeTask(
                    prompt_a=prompt_a,
                    prompt_b=prompt_b,
                    params=params,
                    seed=seed,
                    num_draft_tokens=num_draft_tokens,
                    turns=turns,
                )
                for seed in range(start, min(start + BATCH, samples))
            ],
        )
        counts.update(tuple(t) for t in texts)
    return counts


def decode(decoder, model, tasks):
    decoding = decoder(model, tasks)
    texts = [[] for _ in tasks]
    while tokens_of := decoding.step():
        for index, tokens in tokens_of:
            texts[index] += [t.token_id for t in tokens]
            if len(texts[index]) >= LENGTH:
                del texts[index][LENGTH:]
                decoding.finish(index)
    return texts


def p_value(law, counts):
    """Return the chi-square p-value of counts under a law; cells below 5 expected are merged."""
    samples = sum(counts.values())
    assert sum(law.values()) == pytest.approx(1, abs=1e-6)
    cells = sorted((p * samples, counts.get(text, 0)) for text, p in law.items())
    small = [c for c in cells if c[0] < 5]
    merged = [c for c in cells if c[0] >= 5]
    if small:
        merged.append((sum(c[0] for c in small), sum(c[1] for c in small)))
    if merged[-1][0] < 5:  # too little even together: impossible texts must not have come up
        assert merged[-1][1] < 30
        merged.pop()
    observed = [c[1] for c in merged]
    total = sum(c[0] for c in merged)
    expected = [c[0] * sum(observed) / total for c in merged]
    return float(chisquare(observed, expected).pvalue)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_the_first_four_tokens_have_the_joint_law_of_algorithm_1(decoder, name):
    law = expected_law(name)
    assert p_value(law, sample_counts(DECODERS[decoder], name, SAMPLES)) > 0.001


def test_the_settings_tell_the_rules_apart():
    """A law that all settings share would let a wrong decoder pass."""
    counts = sample_counts(DualDecoding, "lambda 1, alternate", 20_000)
    assert p_value(expected_law("lambda 2, fixed"), counts) < 1e-6


def test_with_fixed_roles_the_text_follows_the_judge_alone():
    """The paper's C.2: what the draft thinks, and the window's length, leave no mark."""
    prompt_b, params = SETTINGS["lambda 2, fixed"][1:3]
    model, row_params = HistoryModel(seed=3), RowParams.of([NEUTRAL], 4)
    assert params is NEUTRAL

    def probability(text):
        product = 1.0
        for i, token in enumerate(text):
            logits = model.logits([*prompt_b, *text[:i]])[None]
            product *= float(logits_to_probs(logits, row_params)[0, token])
        return product

    for text, mass in expected_law("lambda 2, fixed").items():
        assert mass == pytest.approx(probability(text), rel=1e-4)
