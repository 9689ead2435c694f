"""Dual (lockstep) decoding: both sides' rows in one forward pass.

A and B are the same weights over the same growing text, so draft and judge distributions of the
next token come out of one pass and the verdict falls at once: nothing drafted is thrown away. The
law is that of Algorithm 1 (arXiv 2504.12663), because the verdict on a token needs only the two
distributions at its place. A task without a second prompt is one row that judges itself, which is
plain sampling. Guesses of the next tokens let one pass yield several (see `proposals`).
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice

import torch
from torch import Tensor

from persona_judge_llm.decoding.proposals import (
    FORCED,
    PassCosts,
    Proposer,
    guesses_worth,
)
from persona_judge_llm.decoding.seats import Seats
from persona_judge_llm.decoding.tasks import DecodedToken, DecodeTask
from persona_judge_llm.errors import PersonaJudgeError, decoding_error
from persona_judge_llm.metrics import Metrics
from persona_judge_llm.models.port import Context, Joining, LanguageModel

PIECE = 256
"""Tokens of newcomers' prompts computed between two steps of those under way."""
WAVE = 4096
"""Tokens of newcomers' prompts computed at once while nobody waits for a step."""


class DualDecoding:
    """Tasks decoded together, two rows each, one where there is no second prompt.

    Args:
        model: The language model.
        tasks: Tasks to begin with; others may `join` at any time.
        new_proposer: Makes what guesses tokens of a text, where that pays and the model can
            rewind; None for no guesses.
        costs: What passes were found to cost; shared by the decodings of one model.
        metrics: Counters to add to.
    """

    def __init__(
        self,
        model: LanguageModel,
        tasks: Sequence[DecodeTask] = (),
        *,
        new_proposer: Callable[[Sequence[int]], Proposer] | None = None,
        costs: PassCosts | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.forward_passes = 0
        self._model = model
        self._new_proposer = new_proposer if model.can_rewind else None
        self._costs = costs or PassCosts()
        self._metrics = metrics or Metrics()
        self._context: Context = model.open()
        self._seats = Seats((), (), model)
        self._joining: tuple[Joining, Seats] | None = None
        self._waiting: dict[int, DecodeTask] = {}  # first come first
        self._finished: set[int] = set()
        self._passes: dict[int, int] = {}
        self._proposers: dict[int, Proposer] = {}
        self._texts: dict[int, list[int]] = {}
        self._count = 0
        for task in tasks:
            self.join(task)

    def join(self, task: DecodeTask) -> int:
        """Take one more task in; its prompts are computed from the next step on."""
        index = self._count
        self._count += 1
        self._waiting[index] = task
        self._passes[index] = 0
        return index

    def finish(self, index: int) -> None:
        """Take a task out; its rows are freed before the next forward pass."""
        self._finished.add(index)

    def passes(self, index: int) -> int:
        """Return how many forward passes a task took part in, until it is taken out."""
        return self._passes.get(index, 0)

    def step(self) -> list[tuple[int, list[DecodedToken] | PersonaJudgeError]]:
        """Run a pass for the tasks under way, and a piece of the newcomers' prompts."""
        self.settle()
        decoded = self._next_tokens() if len(self._seats) else []
        if self._joining or self._waiting:
            decoded += self._prefill(PIECE if decoded else WAVE)
        # One that was taken out while its prompt was computed with others' draws a token too.
        return [(index, tokens) for index, tokens in decoded if index not in self._finished]

    def _next_tokens(self) -> list[tuple[int, list[DecodedToken] | PersonaJudgeError]]:
        seats = self._seats
        guesses = self._guesses() if self._new_proposer else None
        fed = seats.last[:, None]
        if guesses is not None:
            fed = torch.cat([fed, guesses.clamp_min(0)], dim=1)
        start = time.perf_counter()
        logits = self._context.extend(seats.to_rows(fed), None, fed.shape[1])
        self.forward_passes += 1
        self._metrics.forward_passes += 1
        decoded = seats.verdicts(logits, guesses)
        self._costs.note(len(seats.row_task), fed.shape[1], time.perf_counter() - start)
        if guesses is not None:
            spare = [
                fed.shape[1] - (1 if isinstance(tokens, PersonaJudgeError) else len(tokens))
                for tokens in decoded
            ]
            self._context.rewind([spare[place] for place in seats.row_task])
            self._metrics.proposed_tokens += int((guesses >= 0).sum())
            self._metrics.proposed_tokens_used += sum(fed.shape[1] - s - 1 for s in spare)
        return self._noted(seats, decoded)

    def _guesses(self) -> Tensor | None:
        """Return [tasks, guesses], -1 where there is none; None if none are worth their cost."""
        seats = self._seats
        proposers = [self._proposers[index] for index in seats.indices]
        forced = seats.forced()
        able = [bool(f) or p.can_guess for f, p in zip(forced, proposers, strict=True)]
        if not any(able):
            return None
        rates = [
            FORCED if f else p.hit_rate if can else 0.0
            for f, p, can in zip(forced, proposers, able, strict=True)
        ]
        seconds = sum(p.seconds_per_guess for p, can in zip(proposers, able, strict=True) if can)
        count = guesses_worth(rates, len(seats.row_task), self._costs, seconds)
        window = self._model.context_window
        if window is not None:
            longest = max(
                max(len(prompt) for prompt in task.prompts) + len(self._texts[index])
                for index, task in zip(seats.indices, seats.tasks, strict=True)
            )
            count = min(count, window - longest)
        if count < 1:
            return None
        found = [f[:count] or p.propose(count) for f, p in zip(forced, proposers, strict=True)]
        rows = [[*guess, *[-1] * (count - len(guess))] for guess in found]
        return torch.tensor(rows, device=self._model.device)

    def _prefill(self, max_tokens: int) -> list[tuple[int, list[DecodedToken] | PersonaJudgeError]]:
        """Compute a piece of the newcomers' prompts; once all is there, draw their first tokens."""
        if self._joining is None:
            self._joining = self._wave(max_tokens)
        joining, seats = self._joining
        for index in seats.indices:
            self._passes[index] += 1
        self.forward_passes += 1
        self._metrics.forward_passes += 1
        try:
            logits = joining.advance(max_tokens)
        except Exception as error:  # noqa: BLE001  # the rows under way have no part in it
            self._joining = None
            alone = len(seats) == 1
            return [(i, decoding_error("the prompt", error, alone=alone)) for i in seats.indices]
        if logits is None:
            return []
        self._joining = None
        decoded = seats.verdicts(logits[:, None])
        if len(self._seats):
            self._seats.join(seats)
        else:
            self._seats = seats
        return self._noted(seats, decoded, counted=True)

    def _wave(self, max_tokens: int) -> tuple[Joining, Seats]:
        """Take the first of those that wait, and as many more as fit the piece."""
        size, count = 0, 0
        for task in self._waiting.values():
            size += sum(len(prompt) for prompt in task.prompts)
            if count and size > max_tokens:
                break
            count += 1
        wave = list(islice(self._waiting.items(), count))
        for index, _ in wave:
            del self._waiting[index]
        seats = Seats([index for index, _ in wave], [task for _, task in wave], self._model)
        for index, task in wave:
            self._texts[index] = []
            if self._new_proposer:
                self._proposers[index] = self._new_proposer(task.prompt_a)
        return self._context.join([task.prompts for _, task in wave]), seats

    def _noted(
        self,
        seats: Seats,
        decoded: Sequence[list[DecodedToken] | PersonaJudgeError],
        *,
        counted: bool = False,
    ) -> list[tuple[int, list[DecodedToken] | PersonaJudgeError]]:
        """Remember what was drawn, and name the task of each."""
        result = list(zip(seats.indices, decoded, strict=True))
        for index, tokens in result:
            if not counted:
                self._passes[index] += 1
            if isinstance(tokens, PersonaJudgeError):
                continue
            self._texts[index] += [token.token_id for token in tokens]
            proposer = self._proposers.get(index)
            for token in tokens:
                self._metrics.count(token.outcome)
                if proposer is not None:
                    proposer.push(token.token_id)
        return result

    def settle(self) -> None:
        """Free the rows of the tasks that were taken out."""
        if not self._finished:
            return
        for index in self._finished:
            self._waiting.pop(index, None)
        if self._joining and self._finished >= set(self._joining[1].indices):
            self._joining = None
        indices = self._seats.indices
        gone = {place for place, index in enumerate(indices) if index in self._finished}
        self._remember(sorted(gone))
        if gone:
            kept = _compacted(len(indices), gone)
            self._context.keep(self._seats.rows_of(kept))
            self._seats.keep(kept)
        under_way = set(self._joining[1].indices) if self._joining else set()
        for index in self._finished - under_way:
            self._passes.pop(index, None)
            self._proposers.pop(index, None)
            self._texts.pop(index, None)
        self._finished &= under_way

    def _remember(self, places: Sequence[int]) -> None:
        for place in places:
            index = self._seats.indices[place]
            prompts = self._seats.tasks[place].prompts
            texts = [(*prompt, *self._texts[index]) for prompt in prompts]
            with suppress(Exception):  # no call fails for want of memory for later ones
                self._context.remember(self._seats.rows_of([place]), texts)


def _compacted(count: int, gone: set[int]) -> list[int]:
    """Return the places that stay, the last ones moved into the gaps, so that few rows move."""
    left = count - len(gone)
    movers = [place for place in range(left, count) if place not in gone]
    return [movers.pop(0) if place in gone else place for place in range(left)]
