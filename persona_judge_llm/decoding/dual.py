"""Dual (lockstep) decoding: both sides' rows in one forward pass, one token a step.

A and B are the same weights over the same growing text, so draft and judge distributions of the
next token come out of one pass and the verdict falls at once: nothing drafted is thrown away. The
law is that of Algorithm 1 (arXiv 2504.12663), because the verdict on a token needs only the two
distributions at its place. A task without a second prompt is one row that judges itself, which is
plain sampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from persona_judge_llm.decoding.tasks import (
    NOT_SAMPLEABLE,
    DecodedToken,
    DecodeTask,
    padded,
    tokens_seen,
)
from persona_judge_llm.decoding.uniforms import Uniforms
from persona_judge_llm.errors import NumericalError
from persona_judge_llm.judging import judge_step, judged_by_b
from persona_judge_llm.models.port import Context, LanguageModel
from persona_judge_llm.sampling import RowParams, logits_to_probs
from persona_judge_llm.trace import Outcome


@dataclass(slots=True)
class _Windows:
    """Where each task stands in its windows; tensors of one entry per task."""

    number: Tensor  # [tasks] windows ended so far
    drafted: Tensor  # [tasks] tokens of the present window so far
    length: Tensor  # [tasks] num_draft_tokens
    turns: Tensor  # [tasks, 2]

    @classmethod
    def of(cls, tasks: Sequence[DecodeTask], device: torch.device) -> "_Windows":
        return cls(
            number=torch.zeros(len(tasks), dtype=torch.long, device=device),
            drafted=torch.zeros(len(tasks), dtype=torch.long, device=device),
            length=torch.tensor([t.num_draft_tokens for t in tasks], device=device),
            turns=torch.tensor([t.turns for t in tasks], device=device),
        )

    def keep(self, kept: Tensor) -> None:
        self.number, self.drafted = self.number[kept], self.drafted[kept]
        self.length, self.turns = self.length[kept], self.turns[kept]

    def advance(self, ends: Tensor) -> None:
        """End the windows where `ends`, and count one more token in the others."""
        self.number = self.number + ends
        self.drafted = torch.where(ends, 0, self.drafted + 1)


class DualDecoding:
    """Tasks decoded together, two rows each, one where there is no second prompt."""

    def __init__(self, model: LanguageModel, tasks: Sequence[DecodeTask]) -> None:
        self.forward_passes = 0
        self._model = model
        self._tasks = list(tasks)
        self._alive = list(range(len(tasks)))
        self._finished: set[int] = set()
        self._device = model.device
        self._windows = _Windows.of(tasks, self._device)
        self._uniforms = Uniforms([t.seed for t in tasks], self._device)
        self._context: Context | None = None
        self._tokens = torch.empty(0, dtype=torch.long, device=self._device)
        self._seat_rows()
        self._params = RowParams.of(
            [tasks[i].params for i in self._row_task], model.vocab_size, self._device
        )
        self._seen = tokens_seen(self._prompts(), model.vocab_size, self._params, self._device)

    def step(self) -> list[tuple[int, list[DecodedToken]]]:
        """Run one forward pass and draw one token for every task that is not finished."""
        self._drop_finished()
        if not self._alive:
            return []
        probs = logits_to_probs(self._next_logits(), self._params, self._seen)
        b_judges = judged_by_b(self._windows.number, self._windows.turns)
        judge_probs = probs[torch.where(b_judges, self._row_b, self._row_a)]
        draft_probs = probs[torch.where(b_judges, self._row_a, self._row_b)]
        uniforms = self._uniforms.take(2)
        tokens, agreed = judge_step(draft_probs, judge_probs, uniforms[:, 0], uniforms[:, 1])
        bonus = self._windows.drafted == self._windows.length
        self._windows.advance(bonus | ~agreed)
        self._tokens = tokens
        if self._seen is not None:
            self._seen[torch.arange(len(self._row_task)), tokens[self._row_task_tensor]] = True
        column = tokens[:, None]
        facts = (
            tokens,
            bonus,
            agreed,
            b_judges,
            draft_probs.gather(1, column)[:, 0],
            judge_probs.gather(1, column)[:, 0],
        )
        return self._decoded(torch.stack([f.to(uniforms.dtype) for f in facts], dim=1).tolist())

    def finish(self, index: int) -> None:
        """Take a task out; its rows are freed before the next forward pass."""
        self._finished.add(index)

    def _prompts(self) -> list[tuple[int, ...]]:
        prompts = []
        for index in self._alive:
            task = self._tasks[index]
            prompts += [task.prompt_a] if task.prompt_b is None else [task.prompt_a, task.prompt_b]
        return prompts

    def _next_logits(self) -> Tensor:
        self.forward_passes += 1
        if self._context is None:
            prompts = self._prompts()
            self._context = self._model.open(len(prompts))
            tokens = padded(prompts, self._device)
            return self._context.extend(tokens, [len(p) for p in prompts])[:, 0]
        return self._context.extend(self._tokens[self._row_task_tensor][:, None])[:, 0]

    def _decoded(self, facts: list[list[float]]) -> list[tuple[int, list[DecodedToken]]]:
        decoded = []
        for index, (token, bonus, agreed, b_judges, draft_prob, judge_prob) in zip(
            self._alive, facts, strict=True
        ):
            if not judge_prob > 0:
                raise NumericalError(NOT_SAMPLEABLE)
            single = self._tasks[index].prompt_b is None
            outcome: Outcome = "bonus" if bonus else "accepted" if agreed else "recovered"
            decoded.append(
                (
                    index,
                    [
                        DecodedToken(
                            int(token),
                            "sampled" if single else outcome,
                            None if single else "B" if b_judges else "A",
                            None if single else draft_prob,
                            judge_prob,
                        )
                    ],
                )
            )
        return decoded

    def _seat_rows(self) -> None:
        """Give each living task its rows: A's, and B's behind it where there is one."""
        row_a: list[int] = []
        row_b: list[int] = []
        row_task: list[int] = []
        for place, index in enumerate(self._alive):
            row_a.append(len(row_task))
            row_task.append(place)
            if self._tasks[index].prompt_b is not None:
                row_task.append(place)
            row_b.append(len(row_task) - 1)
        self._row_task = row_task
        self._row_a = torch.tensor(row_a, device=self._device)
        self._row_b = torch.tensor(row_b, device=self._device)
        self._row_task_tensor = torch.tensor(row_task, device=self._device)

    def _drop_finished(self) -> None:
        kept = [p for p, index in enumerate(self._alive) if index not in self._finished]
        if len(kept) == len(self._alive):
            return
        rows = [row for row, place in enumerate(self._row_task) if place in set(kept)]
        self._alive = [self._alive[p] for p in kept]
        if not kept:
            self._context = None
            return
        if self._context is not None:
            self._context.keep(rows)
        kept_tensor = torch.tensor(kept, device=self._device)
        row_tensor = torch.tensor(rows, device=self._device)
        self._windows.keep(kept_tensor)
        self._uniforms.keep(kept)
        self._params = self._params.select(row_tensor)
        if self._tokens.numel():
            self._tokens = self._tokens[kept_tensor]
        if self._seen is not None:
            self._seen = self._seen[row_tensor]
        self._seat_rows()
