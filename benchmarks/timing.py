"""Timing of streams of tokens: methods in turn, and the prompt apart from the decoding."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from benchmarks.shapes import SAMPLING
from persona_judge_llm import PersonaJudge, Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Speed:
    """How one answer came."""

    first: float
    """Seconds until its first token."""
    rate: float
    """Tokens a second after the first ones."""
    tokens: tuple[int, ...]


class Stamps(BaseStreamer):
    """Notes when tokens come; also a streamer for `generate`, which shows it the prompt first."""

    def __init__(self, *, sees_prompt: bool = False) -> None:
        self.start = time.perf_counter()
        self.first = self.last = self.start
        self.first_tokens = 0
        self.tokens: list[int] = []
        self._skip = sees_prompt

    def put(self, value: Tensor) -> None:
        """Note tokens that came now."""
        if self._skip:
            self._skip = False
            return
        self.note(value.flatten().tolist())

    def note(self, tokens: list[int]) -> None:
        """Note tokens that came now."""
        self.last = time.perf_counter()
        if not self.tokens:
            self.first, self.first_tokens = self.last, len(tokens)
        self.tokens += tokens

    def end(self) -> None:
        """Do nothing: `generate` calls this at the end."""

    def speed(self) -> Speed:
        """Return what was noted."""
        decoded, seconds = len(self.tokens) - self.first_tokens, self.last - self.first
        rate = decoded / seconds if seconds else 0.0
        return Speed(self.first - self.start, rate, tuple(self.tokens))


def generated(
    model: PreTrainedModel,
    ids: tuple[int, ...],
    new_tokens: int,
    **options: Any,  # noqa: ANN401
) -> Speed:
    """Time transformers' `generate` of one stream with sampling."""
    inputs = torch.tensor([ids], device=model.device)
    stamps = Stamps(sees_prompt=True)
    model.generate(  # type: ignore[operator]  # upstream's mixin
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=new_tokens,
        streamer=stamps,
        **({"do_sample": True} | SAMPLING | options),
    )
    return checked(stamps.speed(), new_tokens)


def answered(judge: PersonaJudge, request: Request) -> Speed:
    """Time one streamed call of the engine."""
    stamps = Stamps()
    for chunk in judge.stream(request):
        if chunk.token_ids:
            stamps.note(list(chunk.token_ids))
    return checked(stamps.speed(), request.params.max_new_tokens or 0)


def checked(speed: Speed, new_tokens: int) -> Speed:
    """Refuse an answer that ended early: its rate would compare with nothing."""
    if len(speed.tokens) != new_tokens:
        raise AssertionError(f"{len(speed.tokens)} tokens came, {new_tokens} were asked for")
    return speed


def in_turn(methods: Mapping[str, Callable[[], T]], rounds: int, what: str) -> dict[str, list[T]]:
    """Run all methods one after the other, several times over, and return what each returned.

    Whatever disturbs the machine for a while disturbs all methods alike.
    """
    found: dict[str, list[T]] = {name: [] for name in methods}
    for number in range(rounds):
        start = time.perf_counter()
        for name, run in methods.items():
            found[name].append(run())
        took = time.perf_counter() - start
        print(f"  {what}: round {number + 1} of {rounds}, {took:.0f} s", flush=True)
    return found


def seconds(run: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
