"""What the texts of tasks decoded together already say of each side, for rules that balance."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from persona_judge_llm.rules import EVIDENCE_KEPT, Blend


class Evidence:
    """The evidence of tasks whose rule asks for it; most tasks have none.

    Args:
        blends: each task's, None where roles are taken in turns.
        device: where the distributions are.
    """

    def __init__(self, blends: Sequence[Blend | None], device: torch.device) -> None:
        self._held = [
            (blend, torch.zeros(len(blend.shares), device=device))
            if blend and blend.balances
            else None
            for blend in blends
        ]

    def at(self, place: int) -> Tensor | None:
        """Return one task's, [rows but the plain one], in nats."""
        held = self._held[place]
        return held and held[1]

    def places(self) -> Iterator[int]:
        """Return the tasks that have some."""
        return (place for place, held in enumerate(self._held) if held)

    def note(self, place: int, logits: Tensor, token: Tensor, alive: Tensor) -> None:
        """Count what one task drew, if it is `alive`.

        Args:
            place: of a task that has evidence.
            logits: [rows, vocab] of its rows, as the rule saw them.
            token: [], drawn.
            alive: [] bool.
        """
        held = self._held[place]
        if held is None:
            raise AssertionError("only tasks that balance are noted")
        blend, evidence = held
        found = EVIDENCE_KEPT * evidence + blend.gains(logits, token)
        self._held[place] = (blend, torch.where(alive, found, evidence))

    def keep(self, places: Sequence[int]) -> None:
        """Keep only these tasks, in this order."""
        self._held = [self._held[place] for place in places]

    def join(self, other: "Evidence") -> None:
        """Add the tasks of another one behind the own ones."""
        self._held += other._held  # noqa: SLF001
