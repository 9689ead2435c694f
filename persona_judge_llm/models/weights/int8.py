"""Linear layers with 8-bit weights: half the memory to read of bfloat16, a quarter of float32.

Each output row of the weight has a scale, and so has each row of the input, found anew at every
call. With one scale for the whole input, what a row gives would depend on its neighbours, and a
call would be answered differently alone and in a batch.
"""

from typing import Any

import torch
from torch import Tensor

from persona_judge_llm.models.weights.linear import LARGEST, TINY, QuantisedLinear

# The kernels take unsigned input; 128 stands for zero.
_ZERO = 128
_ROWS = 4


def is_available() -> bool:
    """Return whether this build of torch and this CPU multiply 8-bit numbers exactly.

    Older x86 CPUs add pairs of products in 16 bits, which saturates.
    """
    ops: Any = torch.ops.onednn
    if not (hasattr(ops, "qlinear_prepack") and hasattr(ops, "qlinear_pointwise")):
        return False
    try:
        layer = Int8Linear(torch.ones(16, 64), None)
        return bool((layer(torch.ones(2, 64)) == 64).all())  # noqa: PLR2004
    except RuntimeError:  # an engine that was compiled without these kernels
        return False


class Int8Linear(QuantisedLinear):
    """A linear layer with a quantised weight and 8-bit inputs."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        ops: Any = torch.ops.onednn
        self._packed = ops.qlinear_prepack(self._quantised(weight), [_ROWS, self.in_features])
        self._zeros = torch.zeros(self.out_features, dtype=torch.int32)
        self._linear = ops.qlinear_pointwise.default

    @property
    def weight(self) -> Tensor:
        """The quantised weight as a plain tensor, made anew at each access."""
        dense: Tensor = self._packed.to_dense()
        return (dense.t() * self._scales[:, None]).to(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x @ weight.T + bias`, with 8-bit `x`."""
        x32 = x.float()
        scale = x32.abs().amax(-1, keepdim=True).div_(LARGEST).clamp_min_(TINY)
        # Adding a half and cutting off is rounding, of what is never negative.
        rounded = x32.div(scale).add_(_ZERO + 0.5).to(torch.uint8)
        result: Tensor = self._linear(
            rounded, 1.0, _ZERO, self._packed, self._scales, self._zeros,
            None, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        if self.bias is None:
            return result.mul_(scale).to(x.dtype)
        return torch.addcmul(self.bias, result, scale).to(x.dtype)
