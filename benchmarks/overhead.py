"""Goal 6: how much of a step is not the model's forward pass?

Sampling, verdict, trace, text and scheduling are what remains of the time between two forward
passes. The profile says where it goes: what every thread was doing, looked up many times a second.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from transformers import PreTrainedModel

from benchmarks.question import Setup, ask
from benchmarks.results import Comparison, Figure, Result
from benchmarks.shapes import PREFERENCES, engine, model_of, prompt, sampling
from persona_judge_llm import PersonaJudge, Request

GOAL = "Everything that is not the model's forward pass: at most 5 % of a step."
AT_MOST = 0.05
FIRST_STEPS = 3
"""Not counted: the prompt, and what is made once."""
LOOKS_A_SECOND = 500
LINES = 14
PACKAGE = "persona_judge_llm"


@contextmanager
def forward_passes(model: PreTrainedModel) -> Iterator[list[tuple[float, float]]]:
    """Note when each forward pass begins and ends."""
    passes: list[tuple[float, float]] = []
    begun: list[float] = []

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def before(*_: Any) -> None:  # noqa: ANN401
        begun.append(now())

    def after(*_: Any) -> None:  # noqa: ANN401
        passes.append((begun.pop(), now()))

    hooks = [model.register_forward_pre_hook(before), model.register_forward_hook(after)]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def share_outside(judge: PersonaJudge, request: Request) -> float:
    """Return the share of a step that lies outside of the forward pass."""
    with forward_passes(model_of(judge)) as passes:
        judge.generate(request)
    counted = passes[FIRST_STEPS:]
    total = counted[-1][1] - passes[FIRST_STEPS - 1][1]
    return 1 - sum(end - start for start, end in counted) / total


class Profile(threading.Thread):
    """Looks many times a second at what other threads are doing in the package."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.places: Counter[str] = Counter()
        self._done = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self._done.wait(1 / LOOKS_A_SECOND):
            for thread, frame in sys._current_frames().items():  # noqa: SLF001
                if thread != self.ident and (place := _place(frame)):
                    self.places[place] += 1

    def __enter__(self) -> "Profile":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def table(self) -> str:
        """Return where the time went, the most first."""
        total = self.places.total() or 1
        lines = [f"{n / total:7.1%}  {place}" for place, n in self.places.most_common(LINES)]
        return "\n".join(["share    where", *lines])


def _place(frame: FrameType | None) -> str | None:
    """Name the innermost function of the package; None where a thread waits or does other work."""
    if frame is None or frame.f_code.co_name in {"wait", "get", "result", "acquire", "select"}:
        return None
    ours = None
    while frame is not None:
        code = frame.f_code
        if "transformers" in code.co_filename and code.co_name == "forward":
            return "the model's forward pass"
        if ours is None and f"/{PACKAGE}/" in code.co_filename:
            module = code.co_filename.rsplit(f"/{PACKAGE}/", 1)[1]
            ours = f"{module}  {code.co_qualname if sys.version_info >= (3, 11) else code.co_name}"
        frame = frame.f_back
    return ours


def measure(setup: Setup) -> Result:
    """Take the share at one user, then the profile."""
    result = Result("Overhead of a step", GOAL)
    new = 2 * setup.shape.new_tokens
    for weights in setup.weights[1:] or setup.weights:
        judge = engine(setup.folder, setup.device, weights)
        text = prompt(judge, setup.shape.prompts[0])
        request = Request(text, preferences=PREFERENCES, params=sampling(new))
        judge.generate(request)
        shares = [share_outside(judge, request) for _ in range(setup.rounds)]
        setting = f"one user, {weights}"
        percents = [100 * share for share in shares]
        result.figures.append(Figure.of("outside of the forward pass", setting, "%", percents))
        whole = ("a step", [1.0] * len(shares))
        goal = setup.goal(AT_MOST) if weights == setup.best else None
        outside = ("outside of the forward pass", shares)
        result.comparisons.append(Comparison.of(outside, whole, setting, goal, at_most=True))
        with Profile() as profile:
            judge.generate(request)
        result.notes.append(f"Profile, {setting}\n{profile.table()}")
    return result


if __name__ == "__main__":
    ask(measure)
