"""Linear layers with weights in the blocked layout of oneDNN's kernels, float32 or bfloat16.

A plain weight is rearranged inside every matrix product of more than one row, which costs more
than the product while rows are few. Results differ from the plain layer's by rounding only.
"""

from typing import Any

import torch
from torch import Tensor, nn

from persona_judge_llm.models.weights.linear import PreparedLinear

ROWS = 4
"""The number of rows that the layout is chosen for; any number works."""

_LEAST_ROWS = {torch.float32: ROWS, torch.bfloat16: 2}
"""Fewer rows are filled up with zeros. A single row would go through a kernel that adds in
another order, and be answered with other roundings than in a batch; and float32 is quicker so."""


def is_available(dtype: torch.dtype) -> bool:
    """Return whether this build of torch packs weights of this dtype, and this CPU runs them."""
    if not torch.backends.mkldnn.is_available():
        return False
    ops: Any = torch.ops.mkldnn
    if not (hasattr(ops, "_reorder_linear_weight") and hasattr(ops, "_linear_pointwise")):
        return False
    if dtype == torch.bfloat16:
        return bool(ops._is_mkldnn_bf16_supported())  # noqa: SLF001
    return dtype == torch.float32


class PackedLinear(PreparedLinear):
    """A linear layer with a packed weight; `state_dict`, copies and pickles hold the plain one."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        ops: Any = torch.ops.mkldnn
        with torch.no_grad():
            self._packed = ops._reorder_linear_weight(weight.detach().contiguous(), ROWS)  # noqa: SLF001
        self._least_rows = _LEAST_ROWS[weight.dtype]
        self._linear = ops._linear_pointwise.default  # noqa: SLF001

    @property
    def weight(self) -> Tensor:
        """The weight as a plain tensor, made anew at each access."""
        dense: Tensor = self._packed.to_dense()
        return dense

    def forward(self, x: Tensor) -> Tensor:
        """Return `x @ weight.T + bias`."""
        rows = x.numel() // self.in_features
        if not 0 < rows < self._least_rows:
            return self._product(x)
        filled = nn.functional.pad(x.reshape(rows, -1), (0, 0, 0, self._least_rows - rows))
        return self._product(filled)[:rows].view(*x.shape[:-1], self.out_features)

    def _product(self, x: Tensor) -> Tensor:
        result: Tensor = self._linear(x, self._packed, self.bias, "none", [], "")
        return result

    def __reduce__(self) -> tuple[type, tuple[Tensor, Tensor | None]]:
        return PackedLinear, (self.weight, self.bias)
