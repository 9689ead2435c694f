"""From logits to the distribution that is sampled from: one function, for both roles.

Everything after `logits_to_probs` sees only distributions. Order of the steps, as in
transformers: repetition penalty, bias, temperature, top-k, top-p, min-p, softmax; all in float32.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from persona_judge_llm.errors import InvalidParameterError

MAX_STOP_STRINGS = 16
MAX_BIAS = 10_000.0
MAX_PENALTY = 100.0
MAX_SEED = 2**63 - 1
_LARGEST = torch.finfo(torch.float32).max
_SMALLEST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How tokens are drawn and when the text ends.

    Fields left at None take the model's `generation_config`, then neutral values.

    Raises:
        InvalidParameterError: a value out of range or of the wrong type, named.
    """

    temperature: float | None = None
    """0 is greedy."""
    top_k: int | None = None
    """Keep the k likeliest tokens, and ties with the last of them; 0 switches it off."""
    top_p: float | None = None
    """Keep the likeliest tokens until their mass reaches this; 1.0 switches it off."""
    min_p: float | None = None
    """Drop tokens less likely than this times the likeliest one; 0 switches it off."""
    repetition_penalty: float | None = None
    """Above 1: tokens of the prompt and the text so far become less likely; 1.0 is off."""
    logit_bias: Mapping[int, float] | None = None
    """Added to the logits of these token ids, before the temperature."""
    max_new_tokens: int | None = None
    stop: Sequence[str] = ()
    """Strings that end the text and are not in it; one string or up to 16."""
    seed: int | None = None
    """Repeats a text; None draws a fresh one, which the result reports."""
    top_logprobs: int = 0
    """Report the likeliest tokens at each place, at most 20, in `TokenTrace.top_probs`."""

    def __post_init__(self) -> None:
        """Check every field."""
        _check_number("temperature", self.temperature, "0 or above", low=0)
        _check_whole("top_k", self.top_k, "0 or above", low=0)
        _check_number("top_p", self.top_p, "above 0 and at most 1", above=0, high=1)
        _check_number("min_p", self.min_p, "from 0 to 1", low=0, high=1)
        _check_number(
            "repetition_penalty",
            self.repetition_penalty,
            f"from {1 / MAX_PENALTY} to {MAX_PENALTY}",
            low=1 / MAX_PENALTY,
            high=MAX_PENALTY,
        )
        _check_whole("max_new_tokens", self.max_new_tokens, "1 or above", low=1)
        _check_whole("seed", self.seed, f"from 0 to {MAX_SEED}", low=0, high=MAX_SEED)
        _check_whole("top_logprobs", self.top_logprobs, "from 0 to 20", low=0, high=20)
        if self.top_logprobs is None:
            raise InvalidParameterError("top_logprobs", None, "a whole number from 0 to 20")
        object.__setattr__(self, "stop", _checked_stop(self.stop))
        if self.logit_bias is not None:
            object.__setattr__(self, "logit_bias", _checked_bias(self.logit_bias))

    def resolved(self, defaults: "SamplingParams") -> "SamplingParams":
        """Return a copy whose None fields take those of `defaults`, then neutral values."""
        filled: dict[str, Any] = {}
        for name, neutral in _NEUTRAL.items():
            value = getattr(self, name)
            value = getattr(defaults, name) if value is None else value
            filled[name] = neutral if value is None else value
        return dataclasses.replace(self, **filled)


_NEUTRAL: dict[str, Any] = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "max_new_tokens": 256,
}


def _check_number(
    name: str,
    value: object,
    expected: str,
    *,
    low: float = -math.inf,
    above: float = -math.inf,
    high: float = math.inf,
) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidParameterError(name, value, f"a number {expected}")
    # Comparisons, for float() fails on very large whole numbers; NaN compares as False.
    if not (max(low, -_LARGEST) <= value <= min(high, _LARGEST) and value > above):
        raise InvalidParameterError(name, value, expected)


def _check_whole(
    name: str, value: object, expected: str, *, low: int, high: float = math.inf
) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidParameterError(name, value, f"a whole number {expected}")


def _checked_stop(stop: object) -> tuple[str, ...]:
    strings = (stop,) if isinstance(stop, str) else stop
    if not isinstance(strings, Sequence) or not all(isinstance(s, str) for s in strings):
        raise InvalidParameterError("stop", stop, "a string or a list of strings")
    if any(not s for s in strings):
        raise InvalidParameterError("stop", stop, "free of empty strings")
    if len(strings) > MAX_STOP_STRINGS:
        raise InvalidParameterError("stop", stop, f"at most {MAX_STOP_STRINGS} strings")
    return tuple(strings)


def _checked_bias(bias: object) -> dict[int, float]:
    if not isinstance(bias, Mapping):
        raise InvalidParameterError("logit_bias", bias, "a mapping of token id to number")
    for token, value in bias.items():
        if isinstance(token, bool) or not isinstance(token, int) or token < 0:
            raise InvalidParameterError("logit_bias", token, "keyed by token ids")
        if value is None:
            raise InvalidParameterError("logit_bias", value, "a number")
        _check_number(
            "logit_bias", value, f"at most {MAX_BIAS} either way", low=-MAX_BIAS, high=MAX_BIAS
        )
    return {int(token): float(value) for token, value in bias.items()}


@dataclass(frozen=True, slots=True)
class RowParams:
    """The sampling parameters of several rows as tensors; made once per call, not per step."""

    temperature: Tensor  # [rows, 1], 1 where greedy
    greedy: Tensor | None  # [rows, 1] bool, None if no row is
    top_k: Tensor | None  # [rows, 1] long, vocab size where off
    max_top_k: int
    top_p: Tensor | None  # [rows, 1]
    min_p: Tensor | None  # [rows, 1]
    repetition_penalty: Tensor | None  # [rows, 1]
    bias: Tensor | None  # [rows, vocab]

    @classmethod
    def of(
        cls, params: Sequence[SamplingParams], vocab_size: int, device: torch.device | str = "cpu"
    ) -> "RowParams":
        """Make them from resolved parameters, one per row.

        Raises:
            InvalidParameterError: a `logit_bias` for a token that the vocabulary does not have.
        """

        def column(name: str, neutral: float) -> Tensor | None:
            values = [getattr(p, name) for p in params]
            if all(v == neutral for v in values):
                return None
            return torch.tensor(values, dtype=torch.float32, device=device)[:, None]

        # Too small for float32 is as good as zero.
        temperatures = [t if (t := p.temperature or 0.0) >= _SMALLEST else 0.0 for p in params]
        greedy = [t == 0 for t in temperatures]
        # One candidate is enough for a greedy row.
        ks = [
            1 if g else min(p.top_k or vocab_size, vocab_size)
            for p, g in zip(params, greedy, strict=True)
        ]
        return cls(
            temperature=torch.tensor(
                [t or 1.0 for t in temperatures], dtype=torch.float32, device=device
            )[:, None],
            greedy=torch.tensor(greedy, device=device)[:, None] if any(greedy) else None,
            top_k=torch.tensor(ks, device=device)[:, None]
            if min(ks, default=vocab_size) < vocab_size
            else None,
            max_top_k=max(ks, default=vocab_size),
            top_p=column("top_p", 1.0),
            min_p=column("min_p", 0.0),
            repetition_penalty=column("repetition_penalty", 1.0),
            bias=_bias(params, vocab_size, device),
        )

    def select(self, rows: Tensor) -> "RowParams":
        """Return the parameters of some rows, in the order of `rows` (repeats allowed)."""
        chosen: dict[str, Any] = {
            f.name: value[rows] if isinstance(value := getattr(self, f.name), Tensor) else value
            for f in dataclasses.fields(self)
        }
        return RowParams(**chosen)

    def without_adjustment(self) -> "RowParams":
        """Return a copy without penalty and bias, for logits that have been through them."""
        return dataclasses.replace(self, repetition_penalty=None, bias=None)

    def without_top_p(self) -> "RowParams":
        """Return a copy without top-p."""
        return dataclasses.replace(self, top_p=None)

    @classmethod
    def join(cls, parts: "Sequence[RowParams]") -> "RowParams":
        """Return the parameters of several batches, one behind the other."""
        rows = [len(part.temperature) for part in parts]
        vocab_size = max(part.max_top_k for part in parts)

        def column(name: str, neutral: float) -> Tensor | None:
            found = [getattr(part, name) for part in parts]
            if all(value is None for value in found):
                return None
            like = next(value for value in found if value is not None)
            return torch.cat(
                [
                    like.new_full((n, like.shape[1]), neutral) if value is None else value
                    for value, n in zip(found, rows, strict=True)
                ]
            )

        return cls(
            temperature=torch.cat([part.temperature for part in parts]),
            greedy=column("greedy", 0),
            top_k=column("top_k", vocab_size),
            max_top_k=vocab_size,
            top_p=column("top_p", 1.0),
            min_p=column("min_p", 0.0),
            repetition_penalty=column("repetition_penalty", 1.0),
            bias=column("bias", 0.0),
        )


def _bias(
    params: Sequence[SamplingParams], vocab_size: int, device: torch.device | str
) -> Tensor | None:
    if not any(p.logit_bias for p in params):
        return None
    bias = torch.zeros(len(params), vocab_size)
    for row, p in enumerate(params):
        for token, value in (p.logit_bias or {}).items():
            if token >= vocab_size:
                raise InvalidParameterError("logit_bias", token, f"token ids below {vocab_size}")
            bias[row, token] = value
    return bias.to(device)


def adjusted_logits(logits: Tensor, params: RowParams, seen: Tensor | None = None) -> Tensor:
    """Return the logits after repetition penalty and bias; as they are where there is neither.

    Args:
        logits: [rows, vocab], any float type.
        params: one row of parameters per row of logits.
        seen: [rows, vocab] bool, the tokens that the repetition penalty concerns.
    """
    scores = logits
    if params.repetition_penalty is not None and seen is not None:
        scores, penalty = scores.float(), params.repetition_penalty
        penalised = torch.where(scores > 0, scores / penalty, scores * penalty)
        scores = torch.where(seen, penalised, scores)
    return scores if params.bias is None else scores.float() + params.bias


def logits_to_probs(logits: Tensor, params: RowParams, seen: Tensor | None = None) -> Tensor:
    """Return the distributions sampled from; greedy is one-hot, so callers need no special case.

    Args:
        logits: [rows, vocab], any float type.
        params: one row of parameters per row of logits.
        seen: [rows, vocab] bool, the tokens that the repetition penalty concerns.

    Returns:
        [rows, vocab] float32; rows sum to 1. Ties: all tokens tied with the k-th are kept by
        top-k; top-p and greedy prefer the lower token id.
    """
    scores = adjusted_logits(logits, params, seen).float()
    # Relative to the largest, so that no temperature can overflow.
    largest_score = scores.amax(-1, keepdim=True)
    scores = scores - largest_score
    best = scores.argmax(-1, keepdim=True) if params.greedy is not None else None
    scores = scores / params.temperature
    if params.top_k is not None:
        largest = scores.topk(params.max_top_k, dim=-1).values
        scores = scores.masked_fill(scores < largest.gather(-1, params.top_k - 1), -torch.inf)
    if params.top_p is not None:
        scores = _top_p(scores, params.top_p)
    probs = torch.softmax(scores, dim=-1)
    if params.min_p is not None:
        floor = params.min_p * probs.amax(-1, keepdim=True)
        probs = probs.masked_fill(probs < floor, 0.0)
        probs = probs / probs.sum(-1, keepdim=True)
    if best is not None and params.greedy is not None:
        one_hot = torch.zeros_like(probs).scatter_(-1, best, 1.0)
        # NaN anywhere stays NaN, for whoever draws from it to notice.
        probs = torch.where(params.greedy & ~largest_score.isnan(), one_hot, probs)
    return probs


def _top_p(scores: Tensor, top_p: Tensor) -> Tensor:
    ranked, order = scores.sort(dim=-1, descending=True, stable=True)
    ranked_probs = torch.softmax(ranked, dim=-1)
    mass_before = ranked_probs.cumsum(-1) - ranked_probs
    # The likeliest token stays whatever top_p is; 1.0 keeps everything, rounding aside.
    drop = (mass_before >= top_p) & (top_p < 1.0)
    drop[..., 0] = False
    return scores.masked_fill(torch.zeros_like(drop).scatter_(-1, order, drop), -torch.inf)


def draw(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Draw a token per row by inverting the cumulative distribution.

    Args:
        probs: [..., vocab], rows sum to 1.
        uniforms: [...], in [0, 1), one per row; the same number always draws the same token.

    Returns:
        [...] token ids; a token of probability 0 is never drawn.
    """
    mass = probs.to(uniforms.dtype).cumsum(-1)
    target = uniforms.unsqueeze(-1) * mass[..., -1:]
    # searchsorted could land behind the last possible token where target rounds up to the mass.
    last = (mass < mass[..., -1:]).sum(-1, keepdim=True)
    return torch.minimum(torch.searchsorted(mass, target, right=True), last).squeeze(-1)
