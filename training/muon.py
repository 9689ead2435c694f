"""Muon: momentum whose update is made orthogonal, in float32 for CPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5


def orthogonal(update: torch.Tensor) -> torch.Tensor:
    """Bring all singular values of a matrix near one (Newton-Schulz iteration)."""
    wide = update if update.shape[0] <= update.shape[1] else update.T
    x: torch.Tensor = wide / (wide.norm() + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if update.shape[0] <= update.shape[1] else x.T


class Muon(torch.optim.Optimizer):
    """Optimizer for weight matrices; processes share the work of making updates orthogonal.

    Args:
        params: Matrices.
        lr: Learning rate.
        momentum: Nesterov momentum.
        weight_decay: Decoupled weight decay.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        together = dist.is_available() and dist.is_initialized()
        self._rank = dist.get_rank() if together else 0
        self._world = dist.get_world_size() if together else 1

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Do one update."""
        for group in self.param_groups:
            matrices = [p for p in group["params"] if p.grad is not None]
            updates = [torch.zeros_like(p) for p in matrices]
            for i, p in enumerate(matrices):
                velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
                velocity.mul_(group["momentum"]).add_(p.grad)
                if i % self._world == self._rank:
                    updates[i] = orthogonal(p.grad.add(velocity, alpha=group["momentum"]))
            if self._world > 1:
                flat = torch.cat([update.reshape(-1) for update in updates])
                dist.all_reduce(flat)
                parts = flat.split([update.numel() for update in updates])
                updates = [part.view_as(p) for part, p in zip(parts, matrices, strict=True)]
            for p, update in zip(matrices, updates, strict=True):
                scale = max(1.0, p.shape[0] / p.shape[1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * scale)
