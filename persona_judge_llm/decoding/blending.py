"""The rules that blend, for tasks decoded together: all of one rule and size in one go."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.rules import (
    BALANCING,
    EVIDENCE_KEPT,
    MAX_ROWS,
    Blend,
    BlendRule,
    blended,
    evidence_of,
)

_PIECE = 1 << 22
"""Numbers of logits that are blended at a time, at most, so that they stay in a CPU's caches."""


@dataclass(slots=True)
class _Group:
    """Tasks of one rule and as many rows each."""

    rule: BlendRule
    places: Tensor  # [tasks] in all that are decoded together
    rows: Tensor  # [tasks, rows]
    laws: Tensor  # [tasks] where the blend goes
    shares: Tensor  # [tasks, rows but the plain one]
    strengths: Tensor  # [tasks, 1]
    logs: Tensor | None = None  # [tasks, rows, vocab] until what was drawn from them is noted


class Blending:
    """Turns the logits of all rows into those that tokens are drawn from, the laws.

    A task that blends has one law, any other one for each row.

    Args:
        tasks: in the order of their rows.
        vocab_size: width of the logits.
        device: where they are.
    """

    def __init__(self, tasks: Sequence[DecodeTask], vocab_size: int, device: torch.device) -> None:
        self.first_law: list[int] = []
        """[tasks] Each task's first law."""
        self.law_task: list[int] = []
        """[laws] The task of each."""
        row, law_row = 0, list[int]()
        found: dict[tuple[BlendRule, int], list[tuple[int, int, Blend]]] = defaultdict(list)
        for place, task in enumerate(tasks):
            rows = len(task.prompts)
            laws = rows if task.blend is None else 1
            self.first_law.append(len(self.law_task))
            self.law_task += [place] * laws
            law_row += range(row, row + laws)
            if task.blend is not None:
                found[task.blend.rule, rows].append((place, row, task.blend))
            row += rows
        self._law_row = torch.tensor(law_row, dtype=torch.long, device=device)
        self._groups: list[_Group] = []
        for (rule, rows), held in found.items():
            size = max(1, _PIECE // (rows * vocab_size))
            for start in range(0, len(held), size):
                self._add(rule, rows, held[start : start + size])

    def _add(self, rule: BlendRule, rows: int, held: Sequence[tuple[int, int, Blend]]) -> None:
        device = self._law_row.device
        # Not the process's default, which changes while models are loaded.
        float32: dict[str, Any] = {"dtype": torch.float32, "device": device}
        self._groups.append(
            _Group(
                rule=rule,
                places=torch.tensor([place for place, _, _ in held], device=device),
                rows=torch.tensor([[*range(r, r + rows)] for _, r, _ in held], device=device),
                laws=torch.tensor([self.first_law[place] for place, _, _ in held], device=device),
                shares=torch.tensor([blend.shares for *_, blend in held], **float32),
                strengths=torch.tensor([[blend.strength] for *_, blend in held], **float32),
            )
        )

    def laws_of(self, places: Sequence[int]) -> list[int]:
        """Return the laws of some tasks."""
        ends = [*self.first_law[1:], len(self.law_task)]
        return [law for place in places for law in range(self.first_law[place], ends[place])]

    def laws(self, logits: Tensor, evidence: Tensor) -> Tensor:
        """Return what tokens are drawn from.

        Args:
            logits: [rows, vocab]
            evidence: [tasks, MAX_ROWS], see `rules`.

        Returns:
            [laws, vocab]
        """
        if not self._groups:
            return logits
        found = logits[self._law_row].float()
        for group in self._groups:
            own = evidence[group.places, : group.shares.shape[1]]
            logs = torch.log_softmax(logits[group.rows].float(), dim=-1)
            scores = blended(group.rule, logs, group.shares, group.strengths, own)
            group.logs = logs if group.rule in BALANCING else None
            found.index_copy_(0, group.laws, scores)
        return found

    def noted(self, evidence: Tensor, tokens: Tensor, alive: Tensor) -> Tensor:
        """Return the evidence with that of one more token, drawn from the laws made last.

        Args:
            evidence: [tasks, MAX_ROWS]
            tokens: [tasks], drawn.
            alive: [tasks], those that did draw.
        """
        for group in self._groups:
            if group.logs is not None:
                says = evidence_of(group.logs, tokens[group.places])
                group.logs = None
                says = torch.nn.functional.pad(says, (0, MAX_ROWS - says.shape[1]))
                held = evidence[group.places]
                more = torch.where(alive[group.places, None], EVIDENCE_KEPT * held + says, held)
                evidence = evidence.index_copy(0, group.places, more)
        return evidence
