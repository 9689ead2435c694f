"""Random numbers of several tasks, each from a generator of its own, drawn in blocks.

A task's n-th number depends on its seed alone: not on the device, the threads, or which other
tasks are decoded beside it. The global generator of torch is never touched.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 64


class Uniforms:
    """Uniform numbers in [0, 1), one row per task, each read at its own pace."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        # A signed 64-bit number is what torch takes; MPS has no float64.
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._device = device
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._block = torch.empty(len(seeds), 0, dtype=self._dtype)
        self._used = [0] * len(seeds)

    def peek(self, columns: int) -> Tensor:
        """Return the next numbers of every task, [tasks, columns], without using them up."""
        if max(self._used) + columns > self._block.shape[1]:
            self._refill(columns)
        places = torch.tensor(self._used)[:, None] + torch.arange(columns)
        return self._block.gather(1, places).to(self._device)

    def advance(self, counts: Sequence[int]) -> None:
        """Use up so many numbers of each task."""
        self._used = [used + count for used, count in zip(self._used, counts, strict=True)]

    def take(self, columns: int) -> Tensor:
        """Return the next numbers of every task, [tasks, columns], and use them up."""
        numbers = self.peek(columns)
        self.advance([columns] * len(self._used))
        return numbers

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these tasks."""
        self._generators = [self._generators[r] for r in rows]
        self._used = [self._used[r] for r in rows]
        self._block = self._block[list(rows)]

    def join(self, other: "Uniforms") -> None:
        """Add the tasks of another one behind the own ones."""
        self._generators += other._generators  # noqa: SLF001
        self._used += other._used  # noqa: SLF001
        width = max(self._block.shape[1], other._block.shape[1])  # noqa: SLF001
        blocks = [self._filled(self._block, 0, width)]
        first = len(self._block)
        blocks.append(self._filled(other._block, first, width))  # noqa: SLF001
        self._block = torch.cat(blocks)

    def _filled(self, block: Tensor, first: int, width: int) -> Tensor:
        """Draw more numbers for the tasks from `first` on, until their rows are `width` long."""
        missing = width - block.shape[1]
        if not missing:
            return block
        drawn = [
            torch.rand(missing, generator=generator, dtype=self._dtype)
            for generator in self._generators[first : first + len(block)]
        ]
        return torch.cat([block, torch.stack(drawn)], dim=1)

    def _refill(self, columns: int) -> None:
        # A task that is slow beside others may have more numbers left than are wanted.
        width = max(BLOCK + columns, self._block.shape[1] - min(self._used))
        rows = []
        for row, used, generator in zip(self._block, self._used, self._generators, strict=True):
            rest = row[used:]
            drawn = torch.rand(width - len(rest), generator=generator, dtype=self._dtype)
            rows.append(torch.cat([rest, drawn]))
        self._block = torch.stack(rows)
        self._used = [0] * len(rows)
