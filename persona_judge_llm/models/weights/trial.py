"""A guard by measurement: on an unknown CPU, a layout made for speed can be emulated slowly."""

import time

import torch
from torch import Tensor, nn

CLEARLY = 1.5
"""Near-equal times decide nothing: the choice, and with it the rounding of every result, must
be the same at each load."""

_ROWS = 2
_TRIES = 5


def is_slower(layer: nn.Module, than: nn.Linear) -> bool:
    """Return whether a layer takes clearly longer than the plain one for two rows."""
    x = torch.ones(_ROWS, than.in_features, dtype=than.weight.dtype)
    with torch.inference_mode():
        return _seconds(layer, x) > CLEARLY * _seconds(than, x)


def _seconds(layer: nn.Module, x: Tensor) -> float:
    layer(x)
    times = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        layer(x)
        times.append(time.perf_counter() - start)
    return min(times)
