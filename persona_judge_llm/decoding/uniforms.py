"""Random numbers of several tasks, each from a generator of its own, drawn in blocks.

A task's n-th number depends on its seed alone: not on the device, the threads, or which other
tasks are decoded beside it. The global generator of torch is never touched.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 64


class Uniforms:
    """Columns of uniform numbers in [0, 1), one row per task."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        # A signed 64-bit number is what torch takes; MPS has no float64.
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._device = device
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._block = torch.empty(len(seeds), 0)
        self._used = 0

    def take(self, columns: int) -> Tensor:
        """Return the next numbers of every task, [tasks, columns]."""
        if self._used + columns > self._block.shape[1]:
            width = max(BLOCK, columns)
            drawn = [torch.rand(width, generator=g, dtype=self._dtype) for g in self._generators]
            self._block = torch.stack(drawn).to(self._device)
            self._used = 0
        self._used += columns
        return self._block[:, self._used - columns : self._used]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these tasks."""
        self._generators = [self._generators[r] for r in rows]
        self._block = self._block[list(rows)]
