"""How far the two sides of a call agree, token by token, and which rule fits."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import torch
from torch import Tensor

from persona_judge_llm.models.port import LanguageModel
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import Request, Rule
from persona_judge_llm.rules import veto_threshold
from persona_judge_llm.sampling import RowParams, logits_to_probs
from persona_judge_llm.splitting import Split
from persona_judge_llm.token_page import page
from persona_judge_llm.trace import Generation, Side, TokenTrace

AGREEING = 0.1
"""Mean total variation up to which all rules come to much the same."""
_LIKELY = 0.1
_SHOWN = 5
_PIECE = 32


@dataclass(frozen=True, slots=True)
class TokenDiagnosis:
    """What both sides made of one place in the text."""

    token: TokenTrace
    total_variation: float
    """Between the sides' distributions that are sampled from: 0 alike, 1 nothing in common. The
    draft's token is accepted with a probability of 1 less this."""
    favourites: tuple[str, str]
    """The likeliest next token for A, and for B."""
    vetoed: tuple[tuple[Side, str], ...]
    """Tokens that the other side finds likely (above 0.1) and this side rules out, as under
    `rule="veto"`."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """How far the sides of a call agree on its prompt, and what follows from it."""

    generation: Generation = field(repr=False)
    """The answer that was looked at, by `rule="alternate"`."""
    tokens: tuple[TokenDiagnosis, ...] = field(repr=False)
    """Empty where there is one prompt only."""
    rule: Rule
    """The rule that fits."""
    reason: str

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted tokens over judged draft tokens of this answer."""
        return self.generation.acceptance_rate

    @property
    def total_variation(self) -> float | None:
        """Mean over the tokens; None where there is one prompt only."""
        return fmean(t.total_variation for t in self.tokens) if self.tokens else None

    def to_html(self) -> str:
        """Return a page with each token in a colour, the deeper the more the sides differ."""
        figures = {"rule that fits": f"{self.rule}: {self.reason}"}
        if (distance := self.total_variation) is not None:
            figures["total variation"] = f"{distance:.2f} on average"
        if self.acceptance_rate is not None:
            figures["acceptance rate"] = f"{self.acceptance_rate:.0%}"
        tokens = [
            (t.token.text, "", f"background: rgb(220 80 40 / {t.total_variation:.2f})", _note(t))
            for t in self.tokens
        ] or [(t.text, "", "", "") for t in self.generation.trace]
        return page("How far the sides agree", figures, tokens)


def alternating(call: PreparedCall) -> Request:
    """Return a call's request with the rule under which sides judge each other."""
    return replace(call.request, rule="alternate")


def diagnose(
    model: LanguageModel,
    call: PreparedCall,
    generation: Generation,
    detokenize: Callable[[list[int]], str],
) -> Diagnosis:
    """Compare what both sides say at every token of an answer: one more pass over it.

    Args:
        model: the model that answered.
        call: what was answered.
        generation: the answer, to `call`.
        detokenize: turns token ids into text.
    """
    a, b, text = call.prompt_ids_a, call.prompt_ids_b, generation.token_ids
    tokens: list[TokenDiagnosis] = []
    if b is not None and text:
        # What was seen before is left out of it: the penalty differs by side and place.
        params = replace(call.params, repetition_penalty=1.0)
        rows = RowParams.of([params, params], model.vocab_size)
        for token, logits in zip(generation.trace, _behind_each(model, (a, b), text), strict=False):
            tokens.append(_compared(token, logits, rows, detokenize))
    rule, reason = _fitting(call.split, [t.total_variation for t in tokens])
    return Diagnosis(generation, tuple(tokens), rule, reason)


def _behind_each(
    model: LanguageModel, prompts: tuple[Sequence[int], Sequence[int]], text: Sequence[int]
) -> list[Tensor]:
    """Return the logits of both rows before each token of a text, each [2, vocab]."""
    context = model.open()
    joining = context.join([prompts])
    while (first := joining.advance(1 << 30)) is None:
        pass
    found = [first.cpu()]
    for start in range(0, len(text) - 1, _PIECE):
        piece = list(text[start : min(start + _PIECE, len(text) - 1)])
        fed = torch.tensor([piece, piece], device=model.device)
        logits = context.extend(fed, last=len(piece)).cpu()
        found += [logits[:, place] for place in range(len(piece))]
    return found


def _compared(
    token: TokenTrace,
    logits: Tensor,
    params: RowParams,
    detokenize: Callable[[list[int]], str],
) -> TokenDiagnosis:
    probs = logits_to_probs(logits, params)
    own = torch.log_softmax(logits.float(), -1)
    vetoed: list[tuple[Side, str]] = []
    sides: tuple[Side, Side] = ("A", "B")
    for place, side in enumerate(sides):
        ruled_out = own[place] <= veto_threshold(own[place])
        likely = (own[1 - place].exp() > _LIKELY) & ruled_out
        order = own[1 - place].masked_fill(~likely, -torch.inf).topk(min(_SHOWN, len(likely)))
        for token_id, score in zip(order.indices.tolist(), order.values.tolist(), strict=True):
            if score > -math.inf:
                vetoed.append((side, detokenize([token_id])))
    best = [detokenize([int(row.argmax())]) for row in probs]
    distance = 0.5 * (probs[0] - probs[1]).abs().sum().item()
    return TokenDiagnosis(token, min(distance, 1.0), (best[0], best[1]), tuple(vetoed))


def _fitting(split: Split, distances: Sequence[float]) -> tuple[Rule, str]:
    if not distances:
        return "alternate", "there is one prompt only, so all rules without a strength are the same"
    mean = fmean(distances)
    opposed = split.conflicts or any(
        p.id in q.opposes or q.id in p.opposes for p in split.a for q in split.b
    )
    if opposed:
        return "alternate", "preferences are declared to conflict, and taking turns hears both"
    if mean <= AGREEING:
        return "alternate", f"the sides nearly agree (total variation {mean:.2f})"
    if all(p.kind == "must" for p in split.b):
        return "veto", "side B holds only what must be, which may forbid and need not speak"
    return "balance", (
        f"the sides differ (total variation {mean:.2f}), and what one says less of is spoken up for"
    )


def _note(found: TokenDiagnosis) -> str:
    a, b = found.favourites
    note = f"total variation {found.total_variation:.2f}; A would say {a!r}, B {b!r}"
    return note + "".join(f"; {side} vetoes {text!r}" for side, text in found.vetoed)
