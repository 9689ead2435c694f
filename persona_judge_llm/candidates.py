"""Distributions over the few tokens that can be drawn, without sorting whole vocabularies.

Top-k leaves some tens of a hundred thousand tokens. They are found once; filtering, drawing and
judging then work on them alone. Where a filter cannot be decided on the largest logits (no filter
at all, or ties without end), the whole vocabulary is used; the law is that of `logits_to_probs`
either way.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from persona_judge_llm.sampling import RowParams, adjusted_logits, draw, logits_to_probs

MARGIN = 44
"""More candidates than top-k asks for, so that ties with the k-th one are among them."""
MOST_CANDIDATES = 512
_NUCLEUS = 1024
_BLOCK = 64
_LARGE_VOCABULARY = 8192


@dataclass(frozen=True, slots=True)
class Candidates:
    """One distribution a row, over some tokens."""

    probs: Tensor  # [rows, candidates]
    ids: Tensor | None  # [rows, candidates], ascending; None: candidate i is token i

    def draw(self, uniforms: Tensor) -> Tensor:
        """Draw a token a row; a number draws the same token from candidates as from all."""
        places = draw(self.probs, uniforms)
        return places if self.ids is None else self.ids.gather(1, places[:, None])[:, 0]

    def prob_of(self, tokens: Tensor) -> Tensor:
        """Return each row's probability of its token, [rows]; 0 for one that is no candidate."""
        if self.ids is None:
            return self.probs.gather(1, tokens[:, None])[:, 0]
        return (self.probs * (self.ids == tokens[:, None])).sum(1)

    def top(self, count: int) -> tuple[Tensor, Tensor]:
        """Return each row's likeliest tokens and their probabilities, [rows, at most count]."""
        probs, places = _pair(self.probs.topk(min(count, self.probs.shape[1]), dim=1))
        return (places if self.ids is None else self.ids.gather(1, places)), probs

    def select(self, rows: Tensor) -> "Candidates":
        """Return some rows, in the order of `rows`."""
        return Candidates(self.probs[rows], None if self.ids is None else self.ids[rows])


def candidates(logits: Tensor, params: RowParams, seen: Tensor | None = None) -> Candidates:
    """Return the distributions sampled from; arguments as of `logits_to_probs`."""
    scores = adjusted_logits(logits, params, seen)
    rest = params.without_adjustment()
    found: Candidates | None = None
    if params.top_k is not None and params.max_top_k <= MOST_CANDIDATES:
        found = _of_top_k(scores, rest)
    elif params.top_p is not None and params.top_k is None and logits.device.type == "cpu":
        found = _of_top_p(scores, rest)
    return found or Candidates(logits_to_probs(scores, rest), None)


def _of_top_k(scores: Tensor, params: RowParams) -> Candidates | None:
    count = params.max_top_k + MARGIN
    if params.top_k is None or scores.shape[1] <= count:
        return None
    values, ids = _largest(scores, count)
    # Equal values might go on beyond the candidates.
    if bool((values.gather(1, params.top_k - 1) <= values[:, -1:]).any()):
        return None
    ids, order = ids.sort(dim=1)
    return Candidates(logits_to_probs(values.gather(1, order), params), ids)


def _of_top_p(scores: Tensor, params: RowParams) -> Candidates | None:
    if params.top_p is None or params.min_p is not None or scores.shape[1] <= 2 * _NUCLEUS:
        return None
    values, ids = _largest(scores, _NUCLEUS)
    scaled = values.float() / params.temperature
    total = (scores.float() / params.temperature).logsumexp(-1, keepdim=True)
    probs = (scaled - total).exp()
    # The nucleus must end before the tokens that are tied with the last candidate: others might be
    # tied with it too, and come first.
    certain = (probs * (values > values[:, -1:])).sum(1, keepdim=True)
    enough = (certain > params.top_p) & (params.top_p < 1.0)
    if params.greedy is not None:
        enough |= params.greedy
    if not bool((enough & (values[:, :1] > values[:, -1:])).all()):
        return None
    ids, order = ids.sort(dim=1)
    values, probs = values.gather(1, order), probs.gather(1, order)
    ranked, ranking = probs.sort(dim=1, descending=True, stable=True)
    drop = ranked.cumsum(1) - ranked >= params.top_p
    drop[:, 0] = False
    hidden = torch.zeros_like(drop).scatter_(1, ranking, drop)
    kept = values.float().masked_fill(hidden, -torch.inf)
    return Candidates(logits_to_probs(kept, params.without_top_p()), ids)


def _largest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` largest values of each row in falling order, and where they are.

    Of a large vocabulary, the `count` blocks with the largest maxima are searched: no token
    outside them is larger than the smallest of the values found.
    """
    rows, vocabulary = scores.shape
    blocks = vocabulary // _BLOCK
    if vocabulary < _LARGE_VOCABULARY or blocks <= count or scores.device.type != "cpu":
        return _pair(scores.topk(count, dim=1))
    whole = scores[:, : blocks * _BLOCK].reshape(rows, blocks, _BLOCK)
    chosen = whole.amax(2).topk(count, dim=1).indices
    inside = torch.arange(_BLOCK)
    places = (chosen[:, :, None] * _BLOCK + inside).flatten(1)
    rest = torch.arange(blocks * _BLOCK, vocabulary).expand(rows, -1)
    places = torch.cat([places, rest], dim=1)
    values, order = _pair(scores.gather(1, places).topk(count, dim=1))
    return values, places.gather(1, order)


def _pair(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return found[0], found[1]
