"""The laws of Persona-judge on distributions (arXiv 2504.12663, Algorithm 1); pure functions.

draft: the side that proposed a token; judge: the side that accepts or replaces it (the
literature's target). Both distributions are over the same text so far, each filtered and
normalised already.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from persona_judge_llm.candidates import Candidates
from persona_judge_llm.sampling import draw


def acceptance_probs(draft_probs: Tensor, judge_probs: Tensor) -> Tensor:
    """Return min(1, judge / draft) for every token, and 1 where draft and judge are both 0.

    Shapes: [..., vocab] each, and of the result. A token that the draft cannot draw never comes
    up, so its entry is of no consequence.
    """
    ratio = judge_probs / draft_probs.clamp_min(torch.finfo(draft_probs.dtype).tiny)
    return torch.where(draft_probs > judge_probs, ratio, 1.0)


def recovery_probs(draft_probs: Tensor, judge_probs: Tensor) -> Tensor:
    """Return norm(max(0, judge - draft)), from which a refused token is replaced.

    Shapes: [..., vocab] each, and of the result. Where the two are equal, nothing can be refused
    and the judge's distribution is returned.
    """
    residual = (judge_probs - draft_probs).clamp_min(0.0)
    mass = residual.sum(-1, keepdim=True)
    possible = mass > torch.finfo(residual.dtype).tiny
    return torch.where(
        possible, residual / mass.where(possible, torch.ones_like(mass)), judge_probs
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge made of a window of drafted tokens; one entry per row."""

    num_accepted: Tensor  # [rows]
    next_token: Tensor  # [rows] recovered where num_accepted < drafted, else bonus


@dataclass(frozen=True, slots=True)
class JudgedToken:
    """One token a row, drawn from the judge."""

    token: Tensor  # [rows]
    accepted: Tensor  # [rows] bool: the window goes on; else recovered, and it ends
    draft_prob: Tensor  # [rows]
    judge_prob: Tensor  # [rows]


def judge_draft(
    draft_tokens: Tensor,
    draft_probs: Tensor,
    judge_probs: Tensor,
    accept_uniforms: Tensor,
    next_uniforms: Tensor,
) -> Verdict:
    """Accept drafted tokens from the left until one is refused; draw the token that follows.

    Args:
        draft_tokens: [rows, drafted]
        draft_probs: [rows, drafted, vocab], the distributions they were drawn from.
        judge_probs: [rows, drafted + 1, vocab], at the same places and one further.
        accept_uniforms: [rows, drafted]
        next_uniforms: [rows]
    """
    drafted = draft_tokens.shape[1]
    accept = acceptance_probs(draft_probs, judge_probs[:, :drafted])
    accept = accept.gather(-1, draft_tokens.unsqueeze(-1)).squeeze(-1)
    accepted = accept_uniforms < accept
    num_accepted = accepted.long().cumprod(-1).sum(-1)
    place = num_accepted[:, None, None]
    judge_there = judge_probs.take_along_dim(place, dim=1).squeeze(1)
    # Behind the last drafted token the draft has no say: nothing is subtracted, a bonus token.
    no_draft = torch.zeros_like(draft_probs[:, :1])
    draft_there = torch.cat([draft_probs, no_draft], dim=1).take_along_dim(place, dim=1).squeeze(1)
    return Verdict(num_accepted, draw(recovery_probs(draft_there, judge_there), next_uniforms))


def judge_step(
    draft: Candidates, judge: Candidates, token_uniforms: Tensor, accept_uniforms: Tensor
) -> JudgedToken:
    """Draw one token from the judge and tell whether the draft goes along with it.

    The same law as drafting, judging and recovering, with one draw: the emitted token follows
    the judge, and given token x the window goes on with probability min(1, draft(x) / judge(x)),
    which is how likely x was drafted and accepted rather than recovered.

    Args:
        draft: one distribution a row.
        judge: one distribution a row.
        token_uniforms: [rows]
        accept_uniforms: [rows]
    """
    tokens = judge.draw(token_uniforms)
    draft_probs, judge_probs = draft.prob_of(tokens), judge.prob_of(tokens)
    agreement = acceptance_probs(judge_probs, draft_probs)
    return JudgedToken(tokens, accept_uniforms < agreement, draft_probs, judge_probs)


def judged_by_b(window: Tensor, turns: Tensor) -> Tensor:
    """Tell which windows B judges: of each round of a + b windows, the first b.

    So A drafts and B judges in the first window; (1, 1) swaps roles after each window and
    (0, 1) never does (the paper's Persona-judge-Base).

    Args:
        window: [...], counted from 0.
        turns: [..., 2], windows judged by A and by B in a round.
    """
    return window % turns.sum(-1) < turns[..., 1]
