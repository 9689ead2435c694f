"""Steps recorded once for each of their shapes and replayed: CUDA graphs.

Only `on_cuda` needs a GPU, and no GPU has run it yet; all else is tested with `rehearsed`.

A step of a small model is hundreds of kernels that each take less time than to launch it. A
recorded step is one launch. It reads its tokens, places and masks from tensors that stay where
they are, and attends to whole blocks of slots, so that the next step has the same shape; what is
beyond a row's own slots is masked, as it is for rows of unequal length.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from persona_judge_llm.models.layout import Layout
from persona_judge_llm.models.slots import GROWTH, SlotCache

MOST = 32
"""Recordings that are kept; those used last."""
KEPT_BYTES = 256 * 2**20
"""Larger buffers are given up when nobody decodes."""
_WARM_UPS = 3

Replay: TypeAlias = Callable[[], object]
Run: TypeAlias = Callable[[], Tensor]
Record: TypeAlias = Callable[[Run], tuple[Tensor, Replay]]
"""Runs a step, and returns its logits and what computes them anew into the same tensor."""
Masks: TypeAlias = "Tensor | dict[str, Tensor] | None"
Forward: TypeAlias = Callable[[Tensor, Tensor, Masks], Tensor]
"""Runs the model, given tokens, positions and masks; returns the logits."""

_log = logging.getLogger(__name__)


def on_cuda() -> Record:
    """Return what records steps as CUDA graphs, which share their memory for intermediate results.

    They may, as a step's logits are copied before another one runs.
    """
    pool = torch.cuda.graph_pool_handle()

    def record(run: Run) -> tuple[Tensor, Replay]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):  # libraries make their workspaces; slots are written again
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on: their calls are none of this recording's business.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            logits = run()
        graph.replay()
        return logits, graph.replay

    return record


def rehearsed(run: Run) -> tuple[Tensor, Replay]:
    """Record nothing and run every step from its recorded inputs; on any device, for tests."""
    logits = run()
    return logits, lambda: logits.copy_(run())


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What differs between two steps of one shape."""

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    masks: Masks

    def tensors(self) -> list[Tensor]:
        masks = self.masks
        listed = list(masks.values()) if isinstance(masks, dict) else [masks]
        return [self.tokens, self.positions, self.slots, *(m for m in listed if m is not None)]

    def copy(self) -> "_Inputs":
        masks = self.masks
        if isinstance(masks, dict):
            masks = {name: mask.clone() for name, mask in masks.items()}
        elif masks is not None:
            masks = masks.clone()
        return _Inputs(self.tokens.clone(), self.positions.clone(), self.slots.clone(), masks)


class _Recording(NamedTuple):
    inputs: _Inputs
    logits: Tensor
    replay: Replay


class RecordedSteps:
    """Recordings of one model's steps, over the buffers of one cache at a time.

    Not for several threads at once.

    Args:
        record: of `on_cuda`, or `rehearsed`.
        grain: slots are attended to in blocks of so many.
    """

    def __init__(self, record: Record, grain: int = GROWTH) -> None:
        self.grain = grain
        self._record: Record | None = record
        self._recordings: OrderedDict[tuple[object, ...], _Recording] = OrderedDict()
        self._met: set[tuple[object, ...]] = set()
        self._buffers: list[Tensor] = []
        self._spare: SlotCache | None = None
        self.replayed = 0
        """Steps that were replayed so far."""

    def run(
        self,
        forward: Forward,
        tokens: Tensor,
        masks: Masks,
        layout: Layout,
        cache: SlotCache,
        last: int,
    ) -> Tensor:
        """Run a step whose places are in the layout; return its logits, [lines, last, vocab]."""
        if self._record is None or masks is None or not cache.is_filled:
            return forward(tokens, layout.positions, masks)
        cache.make_room()
        inputs = _Inputs(tokens, layout.positions, layout.slots, masks)
        key = (*tokens.shape, layout.span, last)
        if not self._is_met(key, cache):
            return forward(tokens, layout.positions, masks)
        recording = self._recordings.get(key)
        if recording is None:
            try:
                recording = self._recorded(self._record, forward, inputs.copy(), cache)
            except RuntimeError as error:
                _log.warning(
                    "steps of this model cannot be recorded, and run as they are: %s", error
                )
                self._record = None
                self._recordings.clear()
                return forward(tokens, layout.positions, masks)
            self._recordings[key] = recording
            if len(self._recordings) > MOST:
                self._recordings.popitem(last=False)
        else:
            for kept, given in zip(recording.inputs.tensors(), inputs.tensors(), strict=True):
                kept.copy_(given)
            recording.replay()
            self._recordings.move_to_end(key)
            self.replayed += 1
        return recording.logits.clone()

    def take(self) -> SlotCache | None:
        """Return the buffers that the last texts left, for the next ones, if there are any."""
        spare, self._spare = self._spare, None
        return spare

    def give_back(self, cache: SlotCache) -> None:
        """Keep the buffers of a cache that nobody uses: recordings are of these and no others."""
        if cache.nbytes <= KEPT_BYTES:
            self._spare = cache

    def _is_met(self, key: tuple[object, ...], cache: SlotCache) -> bool:
        """Tell whether there was such a step before: those that come once are not recorded."""
        buffers = cache.buffers()
        same = len(buffers) == len(self._buffers)
        if not same or any(a is not b for a, b in zip(buffers, self._buffers, strict=True)):
            self._recordings.clear()
            self._met.clear()
            self._buffers = buffers
        met = key in self._met
        self._met.add(key)
        return met

    @staticmethod
    def _recorded(
        record: Record, forward: Forward, inputs: _Inputs, cache: SlotCache
    ) -> _Recording:
        lines, buffers = [replace(line) for line in cache.layout.lines], cache.buffers()

        def run() -> Tensor:
            # The cache writes where its layout says. Whatever else there is is what there was when
            # the step was recorded: so a rehearsal finds what a graph would not see change.
            layout = cache.layout
            own = layout.slots, layout.lines, cache.buffers()
            layout.slots, layout.lines = inputs.slots, lines
            cache.use(buffers)
            try:
                return forward(inputs.tokens, inputs.positions, inputs.masks)
            finally:
                layout.slots, layout.lines = own[:2]
                cache.use(own[2])

        return _Recording(inputs, *record(run))
