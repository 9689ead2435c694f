"""Rules that blend the sides' distributions at every token; pure functions on logits.

Under Algorithm 1 each token is drawn from one side's distribution. These rules draw from one
distribution made of all sides', for the same forward pass. With A, B and P the distributions of the
two sides and of the plain model, and w the share of A's preferences in the weight of all:

    overlap     min(A, B), normalised: what both would say
    geometric   A^w B^(1-w), normalised: minimises w KL(.|A) + (1-w) KL(.|B)
    mixture     w A + (1-w) B: what either would say
    veto        A where B(x) > min(0.09, 0.3 exp(-H(B))), normalised: A speaks, B may forbid
    compose     P (A/P)^(2 w s) (B/P)^(2 (1-w) s), normalised: what preferences change, added up;
                s is the strength, 0 the plain model
    balance     compose, with shares that follow the text: in proportion to w exp(-E/8), where E is
                the side's evidence in the text so far; what it says less of is spoken up for
    compose_each, balance_each    the same of n rows, one for each preference: P times each
                (row/P)^(n w s), with w the share of that preference in the weight of all

The evidence of a row is the sum of log (row(x)/P(x)) over the tokens x so far, in nats: the log of
how much likelier the text is under the row's preferences than under none. One token counts 10 nats
at most, and half of that 64 tokens later, so that a long text keeps both tastes to its end.

All are of the model's own distributions at temperature 1; temperature, top-k, top-p and min-p then
act on the blend as they do on a single model's. Where a rule leaves nothing (the sides share no
token), the mixture takes its place, and under the rules with a plain row the plain model.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import torch
from torch import Tensor

BlendRule: TypeAlias = Literal[
    "overlap",
    "geometric",
    "mixture",
    "veto",
    "compose",
    "compose_each",
    "balance",
    "balance_each",
]
BLEND_RULES: Final[tuple[str, ...]] = get_args(BlendRule)
EACH: Final = ("compose_each", "balance_each")
"""Rules with a row for each preference."""
BALANCING: Final = ("balance", "balance_each")
COMPOSING: Final = ("compose", "compose_each", *BALANCING)
"""Rules with a row without preferences, and a strength."""
MAX_STRENGTH: Final = 10.0
MAX_ROWS: Final = 8
"""Of preferences under `EACH`; what is beyond them shares rows with the heaviest."""
EVIDENCE_SCALE: Final = 8.0
"""Nats of evidence that a row must be ahead for its share to fall by the factor e."""
EVIDENCE_KEPT: Final = 0.5 ** (1 / 64)
"""Of a token's evidence, from one token to the next."""
MAX_GAIN: Final = 10.0
"""Nats that one token's evidence counts at most, either way."""
# Of typical acceptance (Medusa, arXiv 2401.10774).
_EPSILON, _DELTA = 0.09, 0.3


@dataclass(frozen=True, slots=True)
class Blend:
    """How a task's rows become one distribution."""

    rule: BlendRule
    shares: tuple[float, ...]
    """Of each row but the plain model's, adding up to 1; with one row (1.0,)."""
    strength: float = 1.0
    """For the rules that compose."""

    @property
    def plain(self) -> bool:
        """Whether the last row is the plain model's."""
        return self.rule in COMPOSING

    def scores(self, logits: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return the blend's logits.

        Args:
            logits: [rows, vocab]: A's, B's if there is one (or each preference's), and the plain
                model's if `plain`.
            evidence: [rows - 1], nats, for the rules that balance; None before the first token.

        Returns:
            [vocab] float32, log probabilities; NaN where a row holds NaN.
        """
        shares = torch.tensor([self.shares], dtype=torch.float32, device=logits.device)
        strength = torch.full_like(shares[:, :1], self.strength)
        said = None if evidence is None else evidence[None]
        logs = torch.log_softmax(logits.float(), dim=-1)
        return blended(self.rule, logs[None], shares, strength, said)[0]


def blended(
    rule: BlendRule,
    logs: Tensor,
    shares: Tensor,
    strengths: Tensor,
    evidence: Tensor | None = None,
) -> Tensor:
    """Return the logits of a rule's blend for several tasks.

    Args:
        rule: of all of them.
        logs: [tasks, rows, vocab], the rows' log probabilities, as for `Blend.scores`.
        shares: [tasks, rows], without the plain model's row where there is one.
        strengths: [tasks, 1]
        evidence: as `shares`, nats.

    Returns:
        [tasks, vocab] float32, log probabilities; NaN for tasks with NaN on any row.
    """
    if rule in COMPOSING:
        if rule in BALANCING and evidence is not None:
            shares = torch.softmax(shares.log() - evidence / EVIDENCE_SCALE, dim=-1)
        found = _composed(logs, shares * (shares.shape[-1] * strengths))
    elif logs.shape[1] == 1:
        found = logs[:, 0]
    else:
        found = _of_two(rule, logs[:, 0], logs[:, 1], shares)
    # For whoever draws from it to notice.
    return found.masked_fill(logs.isnan().any(-1).any(-1, keepdim=True), torch.nan)


def evidence_of(logs: Tensor, tokens: Tensor) -> Tensor:
    """Return how much one token of each task says of each row but the plain one.

    Args:
        logs: [tasks, rows, vocab], log probabilities, the plain model's last.
        tokens: [tasks], what was drawn.

    Returns:
        [tasks, rows - 1], nats; 0 for what all rows rule out, as where a grammar ends a text.
    """
    own = logs.gather(-1, tokens[:, None, None].expand(-1, logs.shape[1], 1))[..., 0]
    return (own[:, :-1] - own[:, -1:]).nan_to_num(nan=0.0).clamp(-MAX_GAIN, MAX_GAIN)


def _of_two(rule: BlendRule, a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    mixture = torch.logaddexp(a + shares[:, :1].log(), b + shares[:, 1:].log())
    if rule == "mixture":
        return mixture
    if rule == "overlap":
        found = torch.minimum(a, b)
    elif rule == "geometric":
        found = _times(a, shares[:, :1]) + _times(b, shares[:, 1:])
    else:
        found = a.masked_fill(b <= veto_threshold(b), -torch.inf)
    return _or(found, mixture)


def _composed(logs: Tensor, factors: Tensor) -> Tensor:
    plain = logs[:, -1]
    # What the plain model rules out stays ruled out.
    gains = (logs[:, :-1] - plain[:, None]).masked_fill(plain.isneginf()[:, None], 0.0)
    return _or(plain + _times(gains, factors[..., None]).sum(1), plain)


def _or(scores: Tensor, otherwise: Tensor) -> Tensor:
    """Normalise scores; where nothing is left of a task's, take the other ones."""
    nothing = scores.isneginf().all(-1, keepdim=True)
    return torch.log_softmax(torch.where(nothing, otherwise, scores), dim=-1)


def veto_threshold(logs: Tensor) -> Tensor:
    """Return the log probability up to which a side rules a token out (typical acceptance).

    Args:
        logs: [..., vocab], log probabilities.

    Returns:
        [..., 1]
    """
    entropy = -(logs.exp() * logs.nan_to_num(neginf=0.0)).sum(-1, keepdim=True)
    return (math.log(_DELTA) - entropy).clamp_max(math.log(_EPSILON))


def _times(logs: Tensor, factors: Tensor) -> Tensor:
    # A side without a say has none, not even by what it rules out (0 times infinity).
    return (logs * factors).masked_fill(factors == 0, 0.0)
