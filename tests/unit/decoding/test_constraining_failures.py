"""Tokens that are replaced, grammars that fail, and numbers that are none."""

import pytest
import torch

from persona_judge_llm.decoding.dual import DualDecoding
from persona_judge_llm.errors import DecodingError, NumericalError
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import HistoryContext, HistoryModel
from tests.unit.decoding.held import Held
from tests.unit.decoding.test_constraining import (
    GREEDY,
    LENGTH,
    PARAMS,
    SAMPLED,
    A,
    B,
    alone,
    decoded,
    every,
    facts,
    ids,
    masked_probs,
    task,
)
from tests.unit.decoding.test_proposals import Free, Oracle


def model():
    return HistoryModel(vocab_size=17, seed=5)


# --- replaced tokens ------------------------------------------------------------------------------


def third_is_next(text, token):
    """Put the token behind in the place of every third one."""
    return (token + 3) % 17 if len(text) % 3 == 2 else token


@pytest.mark.parametrize("prompt_b", [B, None])
@pytest.mark.parametrize("params", PARAMS)
def test_a_token_that_takes_anothers_place_is_certain(params, prompt_b):
    held = Held(every(3, 1), 17, replaced=third_is_next)
    tokens = alone(model(), task(held, PARAMS[params], prompt_b=prompt_b))
    [followed] = held.texts
    assert tuple(ids(tokens)) == followed.tokens[:LENGTH]
    for place, token in enumerate(tokens):
        is_replaced = place % 3 == 2
        assert (followed.drawn[place] != token.token_id) == is_replaced
        if is_replaced:
            assert token.judge_prob == 1
            assert token.draft_prob == (None if prompt_b is None else 1)
    if params == "sampled":
        assert min(t.judge_prob for t in tokens) < 0.9


def test_the_text_goes_on_from_the_token_that_was_put_there():
    held = Held(every(3, 1), 17, replaced=third_is_next)
    tokens = alone(model(), task(held, GREEDY))
    text = []
    for place, token in enumerate(tokens):
        prompt = B if token.judged_by == "B" else A
        likeliest = int(masked_probs(model(), prompt, text, held, GREEDY).argmax())
        assert token.token_id == (likeliest if place % 3 < 2 else (likeliest + 3) % 17)
        text.append(token.token_id)


def test_a_repetition_penalty_is_for_tokens_that_stand_in_the_text():
    params = SamplingParams(temperature=0, repetition_penalty=100.0)
    held = Held(lambda _: range(17), 17, replaced=lambda text, token: 16 if not text else token)
    flat = model()
    flat.table[:] = torch.linspace(5, 4, 17)
    tokens = alone(flat, task(held, params, prompt_a=(1,), prompt_b=(1,)))
    # The likeliest was drawn and replaced, so it is still new at the second place.
    assert ids(tokens)[:4] == [16, 0, 2, 3]


def test_guesses_go_on_behind_replaced_tokens():
    held = Held(every(3, 1), 17, replaced=third_is_next)
    one = task(held)
    expected = alone(model(), one)
    oracle = Oracle(ids(expected), lambda _: True, 17)
    guessed = DualDecoding(model(), [one], new_proposer=lambda _: oracle, costs=Free())
    [tokens] = decoded(guessed, 1)
    assert facts(tokens) == facts(expected)
    assert [t.judge_prob for t in tokens] == pytest.approx([t.judge_prob for t in expected])
    assert guessed.forward_passes < 6


# --- grammars that fail ---------------------------------------------------------------------------


@pytest.mark.parametrize("guesses", [False, True])
@pytest.mark.parametrize("fails_at", [0, 1, 6])
def test_a_grammar_that_cannot_go_on_fails_its_own_text_alone(fails_at, guesses):
    failing = Held(every(5, 2), 17, fails_at=fails_at)
    tasks = [
        task(Held(every(5, 1), 17)),
        task(failing, prompt_a=(4,)),
        task(None, seed=6, prompt_a=(5, 5)),
        task(Held(every(7, 3), 17), GREEDY, (6,), None),
    ]
    expected = [alone(model(), one) for one in tasks]
    assert isinstance(expected[1], DecodingError)
    proposer = None
    if guesses:
        texts = {t.prompt_a: e for t, e in zip(tasks, expected, strict=True)}
        whole = alone(model(), task(Held(every(5, 2), 17), prompt_a=(4,)))
        texts[(4,)] = whole

        def proposer(prompt):
            return Oracle(ids(texts[tuple(prompt)]), lambda _: True, 17)

    found = decoded(DualDecoding(model(), tasks, new_proposer=proposer, costs=Free()), 4)
    assert str(found[1]) == "the grammar ends here"
    for place in (0, 2, 3):
        assert facts(found[place]) == facts(expected[place])
    assert [len(text.tokens) for text in failing.texts] == [fails_at] * len(failing.texts)


def test_a_failure_is_told_once_and_newcomers_take_the_place():
    failing, held = Held(every(5, 2), 17, fails_at=3), Held(every(7, 3), 17)
    decoding = DualDecoding(model(), [task(failing), task(Held(every(5, 1), 17), seed=4)])
    errors, newcomer, tokens = 0, None, []
    for _ in range(20):
        for index, new in decoding.step():
            if index == 0:
                errors += isinstance(new, DecodingError)
                if errors and newcomer is None:
                    decoding.finish(0)
                    newcomer = decoding.join(task(held, seed=5))
            elif index == newcomer:
                tokens += new
            else:
                assert not isinstance(new, DecodingError)
    assert errors == 1
    expected = alone(model(), task(held, seed=5))
    assert facts(tokens) == facts(expected)[: len(tokens)]
    assert len(tokens) > 10


# --- numbers that are none ------------------------------------------------------------------------


class Hollow(HistoryModel):
    """Gives NaN behind every prompt that begins with token 9."""

    def open(self, num_rows=0):
        return HollowContext(self, num_rows)


class HollowContext(HistoryContext):
    def extend(self, tokens, counts=None, last=1):
        hollow = (tokens[:, 0] == 9) & (self._lengths == 0)
        logits = super().extend(tokens, counts, last)
        return logits.masked_fill(hollow[:, None, None], torch.nan)


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("side", ["A", "B", "both", "alone"])
def test_nan_is_an_error_under_a_grammar_too(params, side, replaced):
    prompt_a = (9, 1) if side in ("A", "both", "alone") else (1, 1)
    prompt_b = None if side == "alone" else (9, 2) if side in ("B", "both") else (2, 2)
    held = Held(every(3, 1), 17, replaced=third_is_next if replaced else lambda _, token: token)
    broken = Hollow(vocab_size=17, seed=5)
    found = alone(broken, task(held, PARAMS[params], prompt_a, prompt_b))
    assert isinstance(found, NumericalError), found


def test_nan_of_one_side_only_where_it_is_ruled_out_is_no_matter():
    """What no distribution holds harms nobody."""
    partly = model()
    partly.table[:, 0] = torch.nan
    held = Held(lambda _: range(1, 17), 17)
    assert len(alone(partly, task(held, SAMPLED))) == LENGTH
    assert isinstance(alone(partly, task(None, SAMPLED)), NumericalError)
