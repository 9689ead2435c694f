"""A key-value cache of lines of slots, for attention models; `Layout` says what is where.

Appending is a write behind what a line holds, forgetting is a smaller count: what lies beyond is
masked and written over. Sliding-window layers keep all slots, and the mask limits them, so that a
rewind cannot lose what slid out. Buffers have room for more lines than there are, so that calls
come and go without copying the others.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from persona_judge_llm.models.layout import Layout

GROWTH = 256
SPARE = 4
"""Buffers this many times as large as what lives in them are given up."""


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values, [room for lines, heads, room for slots, dim]."""

    is_sliding = False

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._layout = layout

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make empty buffers of the right kind."""
        lines = len(self._layout.lines)
        self.keys = key_states.new_empty((lines, key_states.shape[1], 0, key_states.shape[3]))
        self.values = value_states.new_empty(
            (lines, value_states.shape[1], 0, value_states.shape[3])
        )
        self.is_initialized = True

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[Tensor, Tensor]:
        """Write each line's new states behind its own; return the live part of the buffers."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        layout = self._layout
        live = len(layout.lines), layout.span
        self.make_room()
        for buffer, states in zip(self.states(), (key_states, value_states), strict=True):
            # In blocks, the places must be read from a tensor: a recording has them from there.
            if layout.aligned and layout.grain == 1:
                start = layout.lines[0].used
                buffer[: live[0], :, start : start + layout.width] = states
            else:
                # Layers may be on other devices than the layout.
                rows = torch.arange(live[0], device=states.device)[:, None]
                buffer[rows, :, layout.slots.to(states.device)] = states.transpose(1, 2)
        keys, values = self.states()
        return keys[: live[0], :, : live[1]], values[: live[0], :, : live[1]]

    def make_room(self) -> None:
        """Let the buffers grow to what the current pass attends to."""
        live = len(self._layout.lines), self._layout.span
        self.keys, self.values = (_roomy(buffer, *live) for buffer in self.states())

    def follow(self, layout: Layout) -> None:
        """Be where another layout says from now on."""
        self._layout = layout

    def get_seq_length(self) -> int:
        """Return the slots in use by the longest line."""
        return max(line.used for line in self._layout.lines)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the number of slots attended to, and the first one."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """Return -1: the buffers grow."""
        return -1

    def states(self) -> tuple[Tensor, Tensor]:
        """Return the buffers of keys and values."""
        if self.keys is None or self.values is None:
            raise AssertionError("no forward pass has filled this layer")
        return self.keys, self.values

    def fill(self, keys: Tensor, values: Tensor) -> None:
        """Begin with these states, [lines, heads, slots, dim]; they become the layer's own."""
        self.keys, self.values, self.is_initialized = keys, values, True

    @torch.inference_mode()
    def move(self, moves: Sequence[tuple[int, int]], end: int) -> None:
        """Copy the first `end` slots of lines to other lines, all read before any is written."""
        if moves and self.is_initialized:
            sources, targets = (list(side) for side in zip(*moves, strict=True))
            for buffer in self.states():
                buffer[targets, :, :end] = buffer[sources, :, :end]
                buffer[targets, :, end:] = 0  # the line that was there may have left NaN

    def fit(self) -> None:
        """Give up room if the live part is a small part of the buffers."""
        if not self.is_initialized:
            return
        keys, values = self.states()
        lines, end = len(self._layout.lines), self.get_seq_length()
        if keys.shape[0] * keys.shape[2] > SPARE * lines * (end + GROWTH):
            self.keys, self.values = (s[:lines, :, :end].clone() for s in (keys, values))

    @torch.inference_mode()
    def append(self, keys: Tensor, values: Tensor) -> None:
        """Copy the states of more lines behind the own ones, before the layout counts them."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        lines = len(self._layout.lines)
        new, end = keys.shape[0], keys.shape[2]
        self.keys = _roomy(self.states()[0], lines + new, end)
        self.values = _roomy(self.states()[1], lines + new, end)
        for buffer, states in ((self.keys, keys), (self.values, values)):
            buffer[lines : lines + new, :, :end] = states
            buffer[lines : lines + new, :, end:] = 0  # a line that left may have left NaN


def _roomy(buffer: Tensor | None, lines: int, slots: int) -> Tensor:
    """Return a buffer with room for so many lines and slots; twice the lines where it must grow."""
    if buffer is None:
        raise AssertionError("buffers are made before they grow")
    if buffer.shape[0] >= lines and buffer.shape[2] >= slots:
        return buffer
    room = buffer.shape[0] if buffer.shape[0] >= lines else max(lines, 2 * buffer.shape[0])
    capacity = max(buffer.shape[2], -(-slots // GROWTH) * GROWTH)
    # Zeros, not garbage: a masked slot still takes part in 0 * value, and NaN would survive it.
    grown = buffer.new_zeros((room, buffer.shape[1], capacity, buffer.shape[3]))
    grown[: buffer.shape[0], :, : buffer.shape[2]] = buffer
    return grown


class SlotCache(Cache):
    """The cache of all layers."""

    def __init__(self, num_layers: int, layout: Layout) -> None:
        self.layout = layout
        self.slot_layers = [SlotLayer(layout) for _ in range(num_layers)]
        super().__init__(layers=[*self.slot_layers])

    @property
    def is_filled(self) -> bool:
        """Whether a pass or another cache has filled the layers."""
        return all(layer.is_initialized for layer in self.slot_layers)

    def buffers(self) -> list[Tensor]:
        """Return the keys and values of all layers."""
        return [buffer for layer in self.slot_layers for buffer in layer.states()]

    def use(self, buffers: Sequence[Tensor]) -> None:
        """Have these keys and values, in the order of `buffers`."""
        for layer, keys, values in zip(self.slot_layers, buffers[::2], buffers[1::2], strict=True):
            layer.fill(keys, values)

    def make_room(self) -> None:
        """Let all layers grow to what the current pass attends to."""
        for layer in self.slot_layers:
            layer.make_room()

    def follow(self, layout: Layout) -> None:
        """Be where another layout says from now on."""
        self.layout = layout
        for layer in self.slot_layers:
            layer.follow(layout)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(buffer.nbytes for buffer in self.buffers())

    def bytes_of(self, slots: int) -> int:
        """Return how many bytes so many slots of one line take in all layers."""
        return slots * sum(b.shape[1] * b.shape[3] * b.element_size() for b in self.buffers())
