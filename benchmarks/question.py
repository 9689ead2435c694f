"""The command line that every benchmark shares: `python -m benchmarks.NAME [--quick] [...]`."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers.utils import logging

from benchmarks.report import as_text
from benchmarks.results import Result
from benchmarks.shapes import FULL, QUICK, Shape, save
from persona_judge_llm.models.weights import WeightFormat
from persona_judge_llm.models.weights.preparing import int8_kind


@dataclass(frozen=True, slots=True)
class Setup:
    """What to measure on, and how much."""

    shape: Shape
    folder: Path
    """A checkpoint of that shape."""
    device: str
    rounds: int
    calls: int
    """Calls of the search for memory that grows."""

    @property
    def quick(self) -> bool:
        """Whether this only tries the script out."""
        return self.shape is QUICK

    @property
    def weights(self) -> tuple[WeightFormat, ...]:
        """The forms of weights that are compared on this device."""
        if self.device != "cpu":
            return ("auto",)
        return ("plain", "packed", "int8") if int8_kind() else ("plain", "packed")

    @property
    def best(self) -> WeightFormat:
        """The form of weights that is exact and fast."""
        return "packed" if self.device == "cpu" else "auto"

    def goal(self, value: float) -> float | None:
        """Return the goal, which is meant for the full shape only."""
        return None if self.quick else value


def arguments() -> argparse.ArgumentParser:
    """Return the options of one benchmark, which are also those of `run`."""
    parser = argparse.ArgumentParser(description="Measure; see the module's docstring.")
    parser.add_argument("--quick", action="store_true", help="a small model: try the script out")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, help="repetitions")
    parser.add_argument("--calls", type=int, help="calls of the search for memory that grows")
    parser.add_argument("--model", type=Path, help="folder with a checkpoint of that shape")
    return parser


def ask(measure: Callable[[Setup], Result]) -> None:
    """Read the command line, measure, print the tables."""
    parser = arguments()
    parser.add_argument("--json", type=Path, help="where to write the result as well")
    chosen = parser.parse_args()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    shape = QUICK if chosen.quick else FULL
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.model or Path(temporary)
        if chosen.model is None:
            save(shape, folder)
        setup = Setup(
            shape,
            folder,
            chosen.device,
            chosen.rounds or shape.rounds,
            chosen.calls or (60 if chosen.quick else 10_000),
        )
        start = time.perf_counter()
        result = measure(setup)
        result.seconds = time.perf_counter() - start
    print(as_text(result))
    if chosen.json:
        chosen.json.write_text(json.dumps(asdict(result)))
