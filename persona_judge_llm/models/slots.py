"""A key-value cache whose rows have lengths of their own, for attention models.

Every row of the buffer starts at slot 0 and token i of a row is in slot i, so a slot's number is
its position and nothing is padded on the left. Appending is a write at each row's length,
forgetting is a smaller length: what lies beyond is masked and written over. Sliding-window layers
keep all slots, and the mask limits them, so that a rewind cannot lose what slid out.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

GROWTH = 256


@dataclass(slots=True)
class Slots:
    """Where the tokens of the current forward pass go; shared by all layers of a cache."""

    lengths: list[int]
    """Tokens that each row holds, before the current pass."""
    width: int = 0
    """Tokens per row in the current pass, padding included."""
    positions: Tensor = field(default_factory=lambda: torch.empty(0))  # [rows, width]
    rows: Tensor = field(default_factory=lambda: torch.empty(0))  # [rows, 1]

    @property
    def end(self) -> int:
        """Slots in use by the longest row, the current pass included."""
        return max(self.lengths) + self.width

    @property
    def aligned(self) -> bool:
        """Whether all rows have one length."""
        return min(self.lengths) == max(self.lengths)

    def place(self, width: int, device: torch.device) -> None:
        """Set the positions of a pass of `width` tokens behind what each row holds."""
        self.width = width
        starts = torch.tensor(self.lengths, device=device)[:, None]
        self.positions = starts + torch.arange(width, device=device)
        self.rows = torch.arange(len(self.lengths), device=device)[:, None]


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values, [rows, heads, slots, dim]; grows by blocks."""

    is_sliding = False

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self._slots = slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make empty buffers of the right kind."""
        self.keys = key_states.new_empty((*key_states.shape[:2], 0, key_states.shape[-1]))
        self.values = value_states.new_empty((*value_states.shape[:2], 0, value_states.shape[-1]))
        self.is_initialized = True

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[Tensor, Tensor]:
        """Write each row's new states behind its own; return the live part of the buffers."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._written(self.keys, key_states)
        self.values = self._written(self.values, value_states)
        end = self._slots.end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def _written(self, buffer: Tensor | None, states: Tensor) -> Tensor:
        slots = self._slots
        if buffer is None or buffer.shape[2] < slots.end:
            buffer = _grown(buffer, states, slots.end)
        if slots.aligned:
            start = slots.lengths[0]
            buffer[:, :, start : start + slots.width] = states
        else:
            buffer[slots.rows, :, slots.positions] = states.transpose(1, 2)
        return buffer

    def get_seq_length(self) -> int:
        """Return the longest row's length."""
        return max(self._slots.lengths)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the number of slots attended to, and the first one."""
        return max(self._slots.lengths) + query_length, 0

    def get_max_length(self) -> int:
        """Return -1: the buffers grow."""
        return -1

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows."""
        if self.keys is not None and self.values is not None:
            self.keys = self.keys.index_select(0, rows)
            self.values = self.values.index_select(0, rows)


def _grown(buffer: Tensor | None, states: Tensor, end: int) -> Tensor:
    capacity = -(-end // GROWTH) * GROWTH
    # Zeros, not garbage: a masked slot still takes part in 0 * value, and NaN would survive it.
    grown = states.new_zeros((*states.shape[:2], capacity, states.shape[-1]))
    if buffer is not None:
        grown[:, :, : buffer.shape[2]] = buffer
    return grown


class SlotCache(Cache):
    """The cache of all layers."""

    def __init__(self, num_layers: int, slots: Slots) -> None:
        self._slot_layers = [SlotLayer(slots) for _ in range(num_layers)]
        super().__init__(layers=[*self._slot_layers])

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows in every layer."""
        for layer in self._slot_layers:
            layer.keep(rows)


def attention_mask(slots: Slots, dtype: torch.dtype, window: int | None = None) -> Tensor:
    """Return the additive mask of a pass: token at position p sees slots p - window + 1 to p.

    Shape: [rows, 1, width, slots in use]. Slots beyond a row's length are later than every
    position of the pass, so they are masked by the same comparison.
    """
    positions = slots.positions[:, None, :, None]
    slot = torch.arange(slots.end, device=positions.device)
    visible = slot <= positions
    if window is not None:
        visible = visible & (slot > positions - window)
    hidden = torch.finfo(dtype).min
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
        ~visible, hidden
    )
