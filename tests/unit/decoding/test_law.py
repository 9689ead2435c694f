"""Both decoders follow Algorithm 1's law, on a model whose law depends on the whole history.

So do all ways of decoding faster: calls that join late, guesses, beginnings that both sides share,
and beginnings that an earlier call left; the last two on a real model with a cache.
"""

import importlib.util
import itertools
import os
from collections import Counter
from functools import cache, partial
from pathlib import Path

import pytest
import torch
import transformers
from scipy.stats import chisquare

from persona_judge_llm.decoding import dual
from persona_judge_llm.decoding.dual import DualDecoding
from persona_judge_llm.decoding.proposals import NGramProposer, PassCosts
from persona_judge_llm.decoding.reference import ReferenceDecoding
from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.metrics import Metrics
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.models.recorded_steps import RecordedSteps, rehearsed
from persona_judge_llm.sampling import RowParams, SamplingParams, logits_to_probs
from persona_judge_llm.testing import HistoryModel, tiny_model

_spec = importlib.util.spec_from_file_location("exact_law", Path(__file__).parent / "exact_law.py")
assert _spec
assert _spec.loader
exact_law = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(exact_law)

LENGTH = 4
SAMPLES = int(os.environ.get("LAW_SAMPLES", "200000"))
OTHER_SAMPLES = int(os.environ.get("LAW_SAMPLES", "40000"))
"""For all settings but the first two: mutants are found with 20,000."""
FAST_SAMPLES = max(10_000, SAMPLES // 8)
REAL_SAMPLES = max(2_000, SAMPLES // 40)
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
# Every pair of the four tokens is in it, so that every text has an end that was there before.
PAIRS = (0, 0, 1, 0, 2, 0, 3, 1, 1, 2, 1, 3, 2, 2, 3, 3, 0)
REPEATING = {
    "lambda 2, guesses": (PAIRS, B, NEUTRAL, 2, (1, 1), False),
    "lambda 1, turns (2, 1), filtered, guesses": (PAIRS, A, FILTERED, 1, (2, 1), False),
}


@cache
def expected_law(name):
    prompt_a, prompt_b, params, num_draft_tokens, turns, opposed = (SETTINGS | REPEATING)[name]
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
    prompt_a, prompt_b, params, num_draft_tokens, turns, opposed = (SETTINGS | REPEATING)[name]
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
        assert {len(text) for text in texts} == {LENGTH}
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
    samples = SAMPLES if name in list(SETTINGS)[:2] else OTHER_SAMPLES
    assert p_value(expected_law(name), sample_counts(DECODERS[decoder], name, samples)) > 0.001


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


# --- ways of decoding faster ----------------------------------------------------------------------


class JoinedLate(DualDecoding):
    """Tasks that join some at a time, while others of many kinds are under way."""

    def __init__(self, model, tasks):
        super().__init__(model)
        self._later = list(reversed(tasks))
        self._first = len([self.join(other) for other in OTHERS])

    def step(self):
        for _ in range(min(40, len(self._later))):
            self.join(self._later.pop())
        found = super().step()
        return [(index - self._first, new) for index, new in found if index >= self._first]

    def finish(self, index):
        super().finish(index + self._first)


OTHERS = [
    DecodeTask(
        prompt_a=prompt_a, prompt_b=prompt_b, params=params, seed=10**9, num_draft_tokens=3,
        turns=turns,
    )
    for prompt_a, prompt_b, params, turns in (
        ((3, 3, 2), (1,), FILTERED, (1, 1)),
        ((2,) * 9, None, TOP_P, (1, 1)),
        ((0,), (1, 2, 3, 0, 1), NEUTRAL, (1, 2)),
    )
]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["lambda 3, filtered, with a repetition penalty", "lambda 2, top-p, turns (2, 1)"]
)
def test_texts_that_join_others_under_way_have_the_law(name):
    counts = sample_counts(JoinedLate, name, FAST_SAMPLES)
    assert p_value(expected_law(name), counts) > 0.001


class Free(PassCosts):
    """Passes that cost the same whatever their width: every guess is worth it."""

    def of(self, rows, places):
        return 1.0


@pytest.mark.parametrize("name", REPEATING)
def test_texts_that_are_guessed_have_the_law(name, monkeypatch):
    monkeypatch.setattr(dual, "PIECE", dual.WAVE)  # more at once, for the test's own speed
    metrics = Metrics()
    guessing = partial(DualDecoding, new_proposer=NGramProposer, costs=Free(), metrics=metrics)
    counts = sample_counts(guessing, name, FAST_SAMPLES)
    assert metrics.proposed_tokens_used > FAST_SAMPLES / 10
    assert p_value(expected_law(name), counts) > 0.001


# --- on a real model with a cache -----------------------------------------------------------------

REAL_LENGTH = 3
BEGINNING = (0, 1, 2, 3, 3, 2, 1, 0, 2, 0, 1)
REAL_A, REAL_B = (*BEGINNING, 1, 2), (*BEGINNING, 3)
REAL_PARAMS = SamplingParams(max_new_tokens=REAL_LENGTH).resolved(SamplingParams())


@cache
def real_model():
    return tiny_model(
        transformers.Qwen2Config(
            vocab_size=4, hidden_size=32, intermediate_size=16, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
            bos_token_id=None, eos_token_id=None, pad_token_id=None,
        ),
        scale=20.0,
        seed=1,
    )  # fmt: skip


@cache
def real_law(prompt_a, prompt_b):
    """Return the law for a lambda of 1, of the model run over whole texts without any cache."""

    def side(prompt):
        law = {}
        for length in range(REAL_LENGTH):
            texts = list(itertools.product(range(4), repeat=length))
            with torch.inference_mode():
                logits = real_model()(torch.tensor([[*prompt, *text] for text in texts])).logits
            law |= zip(texts, logits[:, -1].double().softmax(-1).tolist(), strict=True)
        return law.__getitem__

    return exact_law.joint_law(
        side(prompt_a), side(prompt_b), length=REAL_LENGTH, num_draft_tokens=1, turns=(1, 1)
    )


def real_counts(model, prompt_a, prompt_b, samples):
    tasks = [
        DecodeTask(
            prompt_a=prompt_a, prompt_b=prompt_b, params=REAL_PARAMS, seed=seed,
            num_draft_tokens=1, turns=(1, 1),
        )
        for seed in range(samples)
    ]  # fmt: skip
    texts = []
    for start in range(0, samples, 500):
        texts += decode(DualDecoding, model, tasks[start : start + 500])
    return Counter(tuple(text[:REAL_LENGTH]) for text in texts)


def test_sides_that_share_a_beginning_have_the_law():
    model = HuggingFaceModel(real_model())
    counts = real_counts(model, REAL_A, REAL_B, REAL_SAMPLES)
    # The beginning once for both, but for the last token of it.
    each = len(BEGINNING) + 2 + 1
    assert model.prompt_tokens_computed == REAL_SAMPLES * each
    assert p_value(real_law(REAL_A, REAL_B), counts) > 0.001


def test_recorded_steps_have_the_law():
    steps = RecordedSteps(rehearsed, grain=16)
    counts = real_counts(
        HuggingFaceModel(real_model(), recorded_steps=steps), REAL_A, REAL_B, REAL_SAMPLES
    )
    assert steps.replayed
    assert p_value(real_law(REAL_A, REAL_B), counts) > 0.001


def test_prompts_whose_beginning_an_earlier_call_left_have_the_law():
    model = HuggingFaceModel(real_model(), prefix_cache_bytes=20_000)
    # What is left: texts that go on from B's prompt, and some that differ after a while.
    real_counts(model, REAL_B, (*BEGINNING[:6], 0, 0, 3), 3)
    before = model.prompt_tokens_computed
    counts = real_counts(model, REAL_A, REAL_B, REAL_SAMPLES)
    assert model.prefix_cache.hits >= 2 * REAL_SAMPLES
    assert model.prompt_tokens_computed - before < REAL_SAMPLES * 4
    assert p_value(real_law(REAL_A, REAL_B), counts) > 0.001


def test_the_real_model_tells_the_sides_and_beginnings_apart():
    """Else a cache of somebody else's tokens would pass."""
    counts = real_counts(HuggingFaceModel(real_model()), REAL_A, REAL_B, 1_000)
    other = (*BEGINNING[:6], 0, *BEGINNING[7:])
    for prompt_a, prompt_b in (
        (REAL_B, REAL_A),
        (REAL_A, REAL_A),
        ((*other, 1, 2), (*other, 3)),
        ((*BEGINNING, 1, 2, 2), (*BEGINNING, 3, 3)),
    ):
        assert p_value(real_law(prompt_a, prompt_b), counts) < 1e-6
