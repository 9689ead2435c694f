"""Linear layers with 16-bit weights and float32 inputs, for CPUs that multiply no bfloat16.

The kernels of FBGEMM widen half-precision weights on the way, so that half of float32's memory is
read. A power of two brings the weights into half precision's range, in which those of a bfloat16
or float16 checkpoint lie exactly: the results are float32's.
"""

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from persona_judge_llm.models.weights.linear import PreparedLinear

_TOP = 15
"""The largest weight is brought below this power of two; half precision ends at the next one."""
_LARGEST_SCALE = 100
_SLICE = 4096
_SMALL_WEIGHT = (16, 300)
_MANY_ROWS = 84
"""A number in which all rows go through the largest kernels: those of 6 rows, 12 or 14."""
_SOME_MORE = 16


def is_available() -> bool:
    """Return whether this build of torch has the kernels, and this CPU the instructions for it."""
    if torch.backends.cpu.get_cpu_capability() not in {"AVX2", "AVX512"}:
        return False
    try:
        HalfLinear(torch.ones(1, 1), None)
        return all(_filled(rows) for rows in range(1, _SOME_MORE))
    except (AttributeError, RuntimeError):  # another quantisation engine, or none compiled in
        return False


def holds(weight: Tensor) -> bool:
    """Return whether half precision holds a weight but for less than float32's own rounding."""
    largest = _largest(weight) if weight.numel() else math.nan
    if not math.isfinite(largest):
        return False
    scale = _scale(largest)
    least = largest * scale * 2.0**-24
    # In slices, as an output layer's weight is large.
    scaled = (part.float() * scale for part in weight.detach().split(_SLICE))
    return all(bool((part.half().float() - part).abs().max() <= least) for part in scaled)


class HalfLinear(PreparedLinear):
    """A linear layer with a weight in half precision; copies and pickles hold the plain one."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        ops: Any = torch.ops.quantized
        self._scale = _scale(_largest(weight))
        # A tensor, as torch would make one of a number at every call.
        self._inverse = torch.tensor(1 / self._scale, dtype=torch.float32, device="cpu")
        added = None if self.bias is None else self.bias.float()
        self._packed = ops.linear_prepack_fp16(weight.detach().float() * self._scale, added)
        self._linear = ops.linear_dynamic_fp16.default

    @property
    def weight(self) -> Tensor:
        """The weight as a plain tensor, made anew at each access."""
        ops: Any = torch.ops.quantized
        dense: Tensor = ops.linear_unpack_fp16(self._packed)[0]
        return (dense.float() / self._scale).to(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x @ weight.T + bias`, computed in float32."""
        inputs = x.reshape(-1, self.in_features).float()
        rows = len(inputs)
        # What stands in the rows that fill up is nobody's: their results are dropped.
        scaled = inputs.new_empty(max(rows, _filled(rows)), self.in_features)
        torch.mul(inputs, self._inverse, out=scaled[:rows])
        found: Tensor = self._linear(scaled, self._packed)[:rows]
        return found.to(x.dtype).view(*x.shape[:-1], self.out_features)

    def __reduce__(self) -> tuple[type, tuple[Tensor, Tensor | None]]:
        return HalfLinear, (self.weight, self.bias)


def _largest(weight: Tensor) -> float:
    lowest, highest = weight.detach().aminmax()  # no copy, as `abs` would make
    return max(-float(lowest), float(highest))


def _scale(largest: float) -> float:
    return 2.0 ** min(_TOP - math.frexp(largest)[1], _LARGEST_SCALE) if largest else 1.0


@lru_cache(maxsize=4096)
def _filled(rows: int) -> int:
    """Return how many rows to compute, for each to be what it is among any number of others.

    The kernels take a few rows at a time. Where one or two are left over, other kernels add them
    up in another order; tried out here, as which numbers these are depends on the CPU. 0 stands
    for none that was found.
    """
    ops: Any = torch.ops.quantized
    x = torch.arange(_SMALL_WEIGHT[1], dtype=torch.float32, device="cpu").sin()
    packed = ops.linear_prepack_fp16(x.cos().expand(_SMALL_WEIGHT).contiguous(), None)

    def product(count: int) -> Tensor:
        found: Tensor = ops.linear_dynamic_fp16(x.expand(count, -1).contiguous(), packed)
        return found

    expected = product(_MANY_ROWS)[0]
    tried = range(max(rows, 1), rows + _SOME_MORE)
    return next((count for count in tried if bool((product(count) == expected).all())), 0)
