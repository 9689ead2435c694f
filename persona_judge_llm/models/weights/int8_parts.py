"""Linear layers with 8-bit weights and inputs in two parts, where 8-bit products are not exact.

CPUs with AVX2 alone add pairs of 8-bit products in 16 bits, which hold them only if one factor has
7 bits. An input is a coarse part of 7 bits and a fine part of 7 more, each a row of its own: with
few rows, twice as many cost nearly the same, and 14 bits lose next to nothing. Each input row has
a scale, so that a row's result does not depend on its neighbours.
"""

import warnings
from typing import Any

import torch
from torch import Tensor

from persona_judge_llm.models.weights.linear import LARGEST, TINY, QuantisedLinear

_STEPS = 64
"""From zero to the largest number of a part: twice 128 x 127 is less than 2^15."""
_FINER = 2 * _STEPS
"""The fine part's steps in a step of the coarse part."""


def is_available() -> bool:
    """Return whether this build of torch and this CPU multiply such numbers exactly."""
    try:
        layer = Int8PartsLinear(torch.full((16, 64), float(LARGEST)), None)
        largest = torch.full((2, 64), float(_STEPS))
        return bool((layer(largest) == 64 * _STEPS * LARGEST).all())
    except (AttributeError, RuntimeError):  # an engine that was compiled without these kernels
        return False


class Int8PartsLinear(QuantisedLinear):
    """A linear layer with a quantised weight and 14-bit inputs."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        ops: Any = torch.ops.quantized
        zeros = torch.zeros(self.out_features, dtype=torch.int64)
        with warnings.catch_warnings():  # these tensors are to leave torch some day
            warnings.simplefilter("ignore", UserWarning)
            quantised = torch._make_per_channel_quantized_tensor(  # noqa: SLF001
                self._quantised(weight), self._scales.double(), zeros, 0
            )
            self._packed = ops.linear_prepack(quantised, None)
        # Tensors, as torch would make one of a number at every call.
        self._step = torch.tensor(1 / _STEPS, dtype=torch.float32, device="cpu")
        self._finer = torch.tensor(float(_FINER), dtype=torch.float32, device="cpu")
        self._linear = ops.linear_with_input_q_dq_qweight_dq_output_fp32.default

    @property
    def weight(self) -> Tensor:
        """The quantised weight as a plain tensor, made anew at each access."""
        ops: Any = torch.ops.quantized
        dense: Tensor = ops.linear_unpack(self._packed)[0].int_repr()
        return (dense.float() * self._scales[:, None]).to(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x @ weight.T + bias`, with `x` rounded to 14 bits."""
        inputs = x.reshape(-1, self.in_features).float()
        rows = len(inputs)
        scale = inputs.abs().amax(-1, keepdim=True).mul_(self._step).clamp_min_(TINY)
        steps = inputs / scale
        coarse = steps.round()
        parts = torch.cat([coarse, steps.sub_(coarse).mul_(self._finer)])
        # The kernels take unsigned input, and the number of steps stands for zero.
        found: Tensor = self._linear(parts, 1.0, _STEPS, self._packed)
        total = torch.add(found[:rows], found[rows:], alpha=1 / _FINER)
        if self.bias is None:
            total.mul_(scale)
        else:
            total = torch.addcmul(self.bias, total, scale)
        return total.to(x.dtype).view(*x.shape[:-1], self.out_features)
