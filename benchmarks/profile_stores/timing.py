"""Timing of calls that take microseconds: many at once, and methods in turn."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

THREADS = 8
LONGEST = 20.0
"""Seconds for a method in one round."""
_WARM = 50
_STEP = 10
"""Calls between two looks at the clock, which takes time too."""

Call: TypeAlias = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Pace:
    """How a number of calls went."""

    cpu: float
    """Microseconds of this process's own work in one call; a server's work is not in it."""
    rate: float
    """Calls a second."""


def pace(call: Call, keys: Sequence[str]) -> Pace:
    """Make a call for each key in this thread, or for as many as `LONGEST` seconds allow."""
    _run(call, keys[:_WARM])
    began, start = time.process_time(), time.perf_counter()
    made = _run(call, keys)
    seconds = time.perf_counter() - start
    return Pace((time.process_time() - began) / made * 1e6, made / seconds)


def _run(call: Call, keys: Sequence[str]) -> int:
    """Make the calls and return how many there was time for."""
    end = time.perf_counter() + LONGEST
    for first in range(0, len(keys), _STEP):
        for key in keys[first : first + _STEP]:
            call(key)
        if time.perf_counter() > end:
            return min(first + _STEP, len(keys))
    return len(keys)


def rate_of_threads(call: Call, keys: Sequence[str]) -> float:
    """Return the calls a second of `THREADS` threads together."""
    parts = [keys[first::THREADS] for first in range(THREADS)]

    def work(part: Sequence[str]) -> int:
        return _run(call, part)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, [part[:_WARM] for part in parts]))
        start = time.perf_counter()
        made = sum(pool.map(work, parts))
        return made / (time.perf_counter() - start)


def in_turn(methods: Mapping[str, Call], rounds: Sequence[Sequence[str]]) -> dict[str, list[Pace]]:
    """Time all methods one after the other on the keys of each round.

    Whatever disturbs the machine for a while disturbs all methods alike.
    """
    found: dict[str, list[Pace]] = {name: [] for name in methods}
    for keys in rounds:
        for name, call in methods.items():
            found[name].append(pace(call, keys))
    return found


def latencies(call: Call, keys: Sequence[str]) -> list[float]:
    """Return the milliseconds of each call."""
    taken = []
    for key in keys:
        start = time.perf_counter()
        call(key)
        taken.append((time.perf_counter() - start) * 1e3)
    return taken


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the value below which that share of them lies."""
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]
