"""What the linear layers with prepared weights have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from persona_judge_llm.errors import UnsupportedModelError

LARGEST = 127
"""The largest of the 8-bit numbers that weights are rounded to."""
TINY = torch.finfo(torch.float32).tiny


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


class QuantisedLinear(PreparedLinear):
    """One whose weight is 8-bit numbers with a scale for each row; it can be made, not saved."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, None if bias is None else bias.float())
        # A row of zeros has any scale but zero.
        self._scales = (weight.detach().float().abs().amax(1) / LARGEST).clamp_min_(TINY)

    def _quantised(self, weight: Tensor) -> Tensor:
        return (weight.detach().float() / self._scales[:, None]).round_().to(torch.int8)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        raise UnsupportedModelError(
            "int8 weights are rounded and are not saved; load the model with weights='plain'"
        )

    def __reduce__(self) -> tuple[type, tuple[Tensor, Tensor | None]]:
        raise UnsupportedModelError("a model with int8 weights can be neither copied nor pickled")
