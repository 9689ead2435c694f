"""What the linear layers with prepared weights have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from persona_judge_llm.errors import UnsupportedModelError


class PreparedLinear(nn.Module, ABC):
    """An `nn.Linear` for inference whose weight is kept in a layout of its own.

    The weight is no parameter: `parameters()` does not list it, and the layer stays on the CPU
    and in its dtype.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.dtype = weight.dtype
        self.bias = None if bias is None else bias.detach()

    @property
    @abstractmethod
    def weight(self) -> Tensor:
        """The weight as a plain tensor, made anew at each access."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return `x @ weight.T + bias`."""

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        shape = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{shape}, bias={self.bias is not None}, dtype={self.dtype}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PreparedLinear":  # noqa: FBT001, FBT002
        moved = fn(torch.empty(0, dtype=self.dtype))
        if moved.device.type != "cpu" or moved.dtype != self.dtype:
            raise UnsupportedModelError(
                "a model with packed or int8 weights stays on the CPU and in its dtype; "
                "load it with weights='plain' to move or convert it"
            )
        return self

    def _save_to_state_dict(
        self,
        destination: dict[str, Any],
        prefix: str,
        keep_vars: bool,  # noqa: FBT001
    ) -> None:
        destination[f"{prefix}weight"] = self.weight
        if self.bias is not None:
            destination[f"{prefix}bias"] = self.bias
