"""The laws on distributions, by exact enumeration over small vocabularies."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from persona_judge_llm.candidates import Candidates
from persona_judge_llm.judging import (
    acceptance_probs,
    judge_draft,
    judge_step,
    judged_by_b,
    recovery_probs,
)
from persona_judge_llm.sampling import draw

VOCAB = 6


def normalised(weights):
    return torch.tensor(weights, dtype=torch.float32) / sum(weights)


# Whole weights with zeros: truncated, one-hot, disjoint and equal distributions all come up.
distributions = (
    st.lists(st.integers(0, 9), min_size=VOCAB, max_size=VOCAB).filter(any).map(normalised)
)
ONE_HOT, OTHER = normalised([0, 1, 0, 0, 0, 0]), normalised([0, 0, 1, 1, 0, 2])


@given(distributions, distributions)
@example(ONE_HOT, OTHER)
@example(ONE_HOT, ONE_HOT)
@example(OTHER, ONE_HOT)
def test_accepted_and_recovered_tokens_together_follow_the_judge(draft, judge):
    accepted = draft * acceptance_probs(draft, judge)
    refused = 1 - accepted.sum()
    emitted = accepted + refused * recovery_probs(draft, judge)
    torch.testing.assert_close(emitted, judge, atol=1e-6, rtol=0)


@given(distributions, distributions)
@example(ONE_HOT, OTHER)
@example(OTHER, OTHER)
def test_a_step_emits_the_judges_law_and_goes_on_as_often_as_a_draft_is_accepted(draft, judge):
    goes_on = judge * acceptance_probs(judge, draft)
    torch.testing.assert_close(goes_on, draft * acceptance_probs(draft, judge), atol=1e-6, rtol=0)


@given(distributions, distributions)
def test_what_is_recovered_was_not_what_the_draft_preferred(draft, judge):
    recovery = recovery_probs(draft, judge)
    assert recovery.sum().item() == pytest.approx(1, abs=1e-6)
    if not torch.equal(draft, judge):
        assert torch.all(recovery[draft >= judge] == 0)


def window(draft_tokens, accept_uniforms, next_uniform, draft_probs, judge_probs):
    return judge_draft(
        torch.tensor([draft_tokens]),
        torch.stack(draft_probs)[None],
        torch.stack(judge_probs)[None],
        torch.tensor([accept_uniforms], dtype=torch.float64),
        torch.tensor([next_uniform], dtype=torch.float64),
    )


UNIFORM = normalised([1] * VOCAB)


def test_a_judge_that_never_accepts_recovers_the_first_token_from_its_own_law():
    verdict = window([1, 1], [0.0, 0.0], 0.5, [ONE_HOT, ONE_HOT], [OTHER, OTHER, OTHER])
    assert verdict.num_accepted.tolist() == [0]
    assert verdict.next_token.item() == draw(OTHER[None], torch.tensor([0.5])).item()


def test_a_judge_that_always_accepts_adds_a_bonus_token_of_its_own():
    verdict = window([1, 1], [0.999, 0.999], 0.5, [ONE_HOT, ONE_HOT], [ONE_HOT, ONE_HOT, OTHER])
    assert verdict.num_accepted.tolist() == [2]
    assert verdict.next_token.item() == draw(OTHER[None], torch.tensor([0.5])).item()


def test_nothing_behind_the_first_refused_token_is_accepted():
    half = normalised([1, 1, 0, 0, 0, 0])
    # Probability of acceptance 1/2 each: refused in the middle, though the last would pass.
    verdict = window([1, 1, 1], [0.1, 0.9, 0.1], 0.0, [ONE_HOT] * 3, [half] * 4)
    assert verdict.num_accepted.tolist() == [1]
    assert verdict.next_token.item() == 0  # the residual of half minus one-hot


def test_a_window_has_the_judges_joint_law_of_its_first_token():
    """Every draft token, acceptance and recovery enumerated through `judge_draft` itself."""
    draft, judge = normalised([5, 1, 0, 2, 0, 0]), normalised([1, 3, 2, 0, 0, 1])
    steps = 2000
    grid = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    law = torch.zeros(VOCAB, dtype=torch.float64)
    for token in range(VOCAB):
        if draft[token] == 0:
            continue
        verdict = judge_draft(
            torch.full((steps, 1), token),
            draft.expand(steps, 1, VOCAB),
            judge.expand(steps, 2, VOCAB),
            grid[:, None],
            grid.flip(0)[torch.randperm(steps, generator=torch.Generator().manual_seed(1))],
        )
        first = torch.where(verdict.num_accepted > 0, token, verdict.next_token)
        law += draft[token] * torch.bincount(first, minlength=VOCAB) / steps
    torch.testing.assert_close(law.float(), judge, atol=0.03, rtol=0)


def test_a_step_draws_from_the_judge_and_never_from_the_draft():
    drawn = judge_step(
        Candidates(ONE_HOT.expand(50, -1), None),
        Candidates(OTHER.expand(50, -1), None),
        torch.linspace(0, 0.99, 50, dtype=torch.float64),
        torch.zeros(50, dtype=torch.float64),
    )
    assert set(drawn.token.tolist()) == {2, 3, 5}
    assert not drawn.accepted.any()


@pytest.mark.parametrize(
    ("turns", "judges"),
    [((1, 1), "BABABA"), ((0, 1), "BBBBBB"), ((2, 1), "BAABAA"), ((1, 3), "BBBABB")],
)
def test_turns_say_which_side_judges_each_window(turns, judges):
    b_judges = judged_by_b(torch.arange(6), torch.tensor([turns] * 6))
    assert "".join("B" if b else "A" for b in b_judges) == judges
