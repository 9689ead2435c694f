"""Linear layers with 8-bit weights and bfloat16 inputs, where 8-bit products are not exact.

For CPUs with AVX2 alone: a quarter of float32's memory to read, half of bfloat16's. A row's result
does not depend on its neighbours.
"""

import torch
from torch import Tensor, nn

from persona_judge_llm.models.weights.linear import QuantisedLinear

_BLOCK = 64
"""The kernel reads whole blocks of columns and checks nothing; any of its blocks divides this."""


def is_available() -> bool:
    """Return whether this build of torch has the kernel, and this CPU the instructions for it."""
    fast = torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    return fast and hasattr(torch, "_weight_int8pack_mm")


class WeightOnlyLinear(QuantisedLinear):
    """A linear layer with a quantised weight and bfloat16 inputs."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self._more = -self.in_features % _BLOCK
        self._columns = nn.functional.pad(self._quantised(weight), (0, self._more)).contiguous()
        # The kernel's own scales are of 8 bits, which is less than the rows deserve.
        self._ones = torch.ones(self.out_features, dtype=torch.bfloat16)

    @property
    def weight(self) -> Tensor:
        """The quantised weight as a plain tensor, made anew at each access."""
        dense = self._columns[:, : self.in_features].float()
        return (dense * self._scales[:, None]).to(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x @ weight.T + bias`, with bfloat16 `x`."""
        rows = x.reshape(-1, self.in_features).to(torch.bfloat16)
        if self._more:
            rows = nn.functional.pad(rows, (0, self._more))
        if len(rows):
            found = torch._weight_int8pack_mm(rows.contiguous(), self._columns, self._ones)  # noqa: SLF001
        else:
            found = rows.new_empty(0, self.out_features)
        found = found.float() * self._scales
        if self.bias is not None:
            found += self.bias
        return found.to(x.dtype).view(*x.shape[:-1], self.out_features)
