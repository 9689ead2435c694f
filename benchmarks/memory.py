"""Goal 7: how much memory does a call hold, and does any of it stay?

The keys and values of a running call are found among all live objects, not computed. Growth is
looked for on a tiny model, over thousands of short calls of different users and lengths.
"""

import gc
import sys
from pathlib import Path

from transformers.cache_utils import Cache

from benchmarks.question import Setup, ask
from benchmarks.results import Check, Comparison, Figure, Result
from benchmarks.shapes import PREFERENCES, engine, prompt, sampling
from persona_judge_llm import PersonaJudge, Request
from persona_judge_llm.testing import tiny_engine

GOAL = (
    "Two rows of keys and values, the shared beginning once; the prefix cache stays in its bounds; "
    "no growth over 10,000 calls."
)
TWO_ROWS = 2.4
SHARED_ROWS = 1.4
"""Rows may be given room in blocks."""
GROWTH = 16 << 20
"""Bytes within which an allocator's own behaviour stays."""


def measure(setup: Setup) -> Result:
    """Weigh the cache of a call in both placements, then look for growth."""
    result = Result("Memory", GOAL)
    judge = engine(setup.folder, setup.device)
    length = setup.shape.prompts[-1]
    text = prompt(judge, length)
    config = setup.shape.config()
    head = config.hidden_size // config.num_attention_heads
    token = 2 * config.num_hidden_layers * (config.num_key_value_heads or 1) * head
    row = token * setup.shape.dtype.itemsize * (length + setup.shape.new_tokens)
    setting = f"prompt {length}"
    one_row = ("one row without any room", [float(row)])
    for method, most, request in (
        ("preferences first", TWO_ROWS, _request(text, setup, last=False)),
        ("preferences last", SHARED_ROWS, _request(text, setup, last=True)),
    ):
        held = [float(_held(judge, request))]
        megabytes = [held[0] / 2**20]
        result.figures.append(Figure.of(f"cache of a call, {method}", setting, "MiB", megabytes))
        goal = setup.goal(most)
        compared = Comparison.of((method, held), one_row, setting, goal, at_most=True)
        result.comparisons.append(compared)
    left = [cached_bytes() / 2**20]
    result.figures.append(Figure.of("caches alive after the calls", setting, "MiB", left))
    _growth(setup, result)
    return result


def cached_bytes() -> int:
    """Return the bytes of all caches of keys and values that are alive."""
    gc.collect()
    storages = {}
    for cache in [o for o in gc.get_objects() if issubclass(type(o), Cache)]:
        for layer in cache.layers:
            for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None)):
                if tensor is not None:
                    storage = tensor.untyped_storage()
                    storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def _request(text: str, setup: Setup, *, last: bool) -> Request:
    return Request(
        text,
        preferences=PREFERENCES,
        params=sampling(setup.shape.new_tokens),
        placement="last" if last else "system",
    )


def _held(judge: PersonaJudge, request: Request) -> int:
    """Return the most bytes that a call's cache has while its answer comes."""
    return max(cached_bytes() for _ in judge.stream(request))


def _growth(setup: Setup, result: Result) -> None:
    judge = tiny_engine(prefix_cache_bytes=1 << 20)
    short = [
        Request(f"Question {n}", preferences=[f"Taste {n % 7}", "Be brief"], params=sampling(3))
        for n in range(50)
    ]

    def answer(calls: int) -> None:
        for n in range(calls):
            if n % 100 == 99:
                judge.generate_batch(short[:8])
            else:
                judge.generate(short[n % len(short)])

    answer(max(50, setup.calls // 10))
    before = _resident()
    answer(setup.calls)
    gc.collect()
    growth = _resident() - before
    setting = f"{setup.calls} calls"
    result.figures.append(Figure.of("growth of the process", setting, "MiB", [growth / 2**20]))
    what = f"no growth over {setup.calls} calls"
    result.checks.append(Check(what, growth <= GROWTH, f"{growth / 2**20:.1f} MiB"))


def _resident() -> int:
    """Return the bytes of memory that this process occupies."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * 4096
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    ask(measure)
