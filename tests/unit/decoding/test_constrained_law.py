"""Texts held to grammars have the law of Algorithm 1 on what the grammars leave of both sides.

The masks depend on all of a text, so that one of another text, place or task shows.
"""

import os
from collections import Counter
from functools import cache, partial

import pytest
import torch

from persona_judge_llm.decoding import dual
from persona_judge_llm.decoding.dual import DualDecoding
from persona_judge_llm.decoding.proposals import NGramProposer
from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.metrics import Metrics
from persona_judge_llm.sampling import RowParams, logits_to_probs
from persona_judge_llm.testing import HistoryModel
from tests.unit.decoding.exact_law import joint_law
from tests.unit.decoding.held import Held
from tests.unit.decoding.test_law import (
    FILTERED,
    LENGTH,
    NEUTRAL,
    OTHERS,
    PAIRS,
    TOP_P,
    A,
    B,
    Free,
    JoinedLate,
    decode,
    p_value,
)

SAMPLES = max(6_000, int(os.environ.get("LAW_SAMPLES", "200000")) // 32)
BATCH = 10_000


def two_of_four(text):
    """Two tokens, by all of the text."""
    first = (len(text) + 3 * sum(text) + sum(text[1::2])) % 4
    return first, (first + 1 + sum(text) % 3) % 4


def three_of_four(text):
    left_out = (2 + len(text) + sum(text)) % 4
    return [token for token in range(4) if token != left_out]


def free_or_forced(text):
    """All tokens, or one alone."""
    return range(4) if len(text) % 2 == 0 else [(1 + sum(text)) % 4]


RULES = {r.__name__: r for r in (two_of_four, three_of_four, free_or_forced)}
SETTINGS = {
    "lambda 1, alternate": ("three_of_four", A, B, NEUTRAL, 1, (1, 1), False),
    "lambda 3, filtered, with a repetition penalty": (
        "three_of_four", A, B, FILTERED, 3, (1, 1), False,
    ),
    "lambda 2, top-p, turns (2, 1)": ("two_of_four", A, B, TOP_P, 2, (2, 1), False),
    "lambda 6, opposed sides": ("three_of_four", (0, 2), (1, 2), NEUTRAL, 6, (1, 1), True),
}  # fmt: skip
GUESSED = {
    "lambda 2, guesses": ("three_of_four", PAIRS, B, NEUTRAL, 2, (1, 1), False),
    "lambda 1, forced tokens": ("free_or_forced", PAIRS, A, NEUTRAL, 1, (1, 1), False),
}


def masked(model, tokens, allowed):
    logits = model.logits(tokens)
    hidden = torch.ones(model.vocab_size, dtype=torch.bool)
    hidden[list(allowed)] = False
    return logits.masked_fill(hidden, -torch.inf)


@cache
def expected_law(name, judge_masked=True, draft_masked=True):
    rule, prompt_a, prompt_b, params, num_draft_tokens, turns, opposed = (SETTINGS | GUESSED)[name]
    model = HistoryModel(opposed=opposed, seed=3)
    row_params = RowParams.of([params], model.vocab_size)

    def side(prompt, is_masked):
        @cache
        def probs(text):
            tokens = [*prompt, *text]
            seen = torch.zeros(1, model.vocab_size, dtype=torch.bool)
            seen[0, tokens] = True
            allowed = RULES[rule](text) if is_masked else range(4)
            logits = masked(model, tokens, allowed)[None]
            return logits_to_probs(logits, row_params, seen)[0].double().tolist()

        return probs

    return joint_law(
        side(prompt_a, draft_masked),
        side(prompt_b, judge_masked),
        length=LENGTH,
        num_draft_tokens=num_draft_tokens,
        turns=turns,
    )


def task(name, seed, **changed):
    rule, prompt_a, prompt_b, params, num_draft_tokens, turns, _ = (SETTINGS | GUESSED)[name]
    fields = {
        "prompt_a": prompt_a, "prompt_b": prompt_b, "params": params, "seed": seed,
        "num_draft_tokens": num_draft_tokens, "turns": turns,
        "constraint": Held(RULES[rule], 4, forced=forced if rule == "free_or_forced" else nothing),
    }  # fmt: skip
    return DecodeTask(**{**fields, **changed})


def nothing(_):
    return ()


def forced(text):
    return free_or_forced(text) if len(text) % 2 else ()


@cache
def sample_counts(decoder, name):
    model = HistoryModel(opposed=(SETTINGS | GUESSED)[name][-1], seed=3)
    counts = Counter()
    for start in range(0, SAMPLES, BATCH):
        seeds = range(start, min(start + BATCH, SAMPLES))
        tasks = [task(name, seed) for seed in seeds]
        texts = decode(decoder, model, tasks)
        for one, text in zip(tasks, texts, strict=True):
            [followed] = one.constraint.texts
            assert followed.tokens[:LENGTH] == tuple(text)
        counts.update(tuple(t) for t in texts)
    return counts


@pytest.mark.parametrize("name", SETTINGS)
def test_the_first_four_tokens_have_the_joint_law_of_the_masked_sides(name):
    counts = sample_counts(DualDecoding, name)
    assert p_value(expected_law(name), counts) > 0.001
    assert set(counts) <= set(expected_law(name))


def test_the_law_tells_which_sides_are_masked():
    counts = sample_counts(DualDecoding, "lambda 1, alternate")
    assert p_value(expected_law("lambda 1, alternate"), counts) > 0.001
    for masks in ((False, True), (False, False)):
        law = expected_law("lambda 1, alternate", *masks)
        assert p_value(law, counts) < 1e-6


class AmongOthers(JoinedLate):
    """Tasks that join some at a time beside others, free ones and ones of other grammars."""

    def __init__(self, model, tasks):
        others = [
            task("lambda 2, top-p, turns (2, 1)", 10**9),
            task("lambda 2, top-p, turns (2, 1)", 10**9, prompt_b=None),
        ]
        super().__init__(model, tasks)
        self._first += len([self.join(other) for other in others])


def test_texts_that_join_others_under_way_have_the_law():
    assert all(other.constraint is None for other in OTHERS)
    name = "lambda 3, filtered, with a repetition penalty"
    counts = sample_counts(AmongOthers, name)
    assert p_value(expected_law(name), counts) > 0.001


@pytest.mark.parametrize("name", GUESSED)
def test_texts_that_are_guessed_have_the_law(name, monkeypatch):
    monkeypatch.setattr(dual, "PIECE", dual.WAVE)  # more at once, for the test's own speed
    metrics = Metrics()
    guessing = partial(DualDecoding, new_proposer=NGramProposer, costs=Free(), metrics=metrics)
    counts = sample_counts(guessing, name)
    assert metrics.proposed_tokens_used > SAMPLES / 10
    assert p_value(expected_law(name), counts) > 0.001


def test_a_lone_prompt_follows_its_masked_distribution():
    rule = "three_of_four"
    model, row_params = HistoryModel(seed=3), RowParams.of([NEUTRAL], 4)
    law = {(): 1.0}
    for _ in range(LENGTH):
        longer = {}
        for text, mass in law.items():
            logits = masked(model, [*A, *text], RULES[rule](text))[None]
            for token, prob in enumerate(logits_to_probs(logits, row_params)[0].tolist()):
                if prob:
                    longer[(*text, token)] = mass * prob
        law = longer
    tasks = [
        task("lambda 1, alternate", seed, prompt_b=None, constraint=Held(RULES[rule], 4))
        for seed in range(5_000)
    ]
    counts = Counter(tuple(text) for text in decode(DualDecoding, model, tasks))
    assert p_value(law, counts) > 0.001
