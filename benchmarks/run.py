"""Every benchmark, one after the other: `python -m benchmarks.run [--quick] [--only NAME]`.

Each runs in a process of its own, so that its memory is freed. Writes RESULTS.md and a chart. The
section of the profile stores stands on its own: `--only profiles` writes it anew and leaves the
others as they are.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.chart import draw
from benchmarks.machine import facts
from benchmarks.question import arguments
from benchmarks.report import as_markdown, with_section
from benchmarks.results import Check, Comparison, Figure, Gap, Result
from benchmarks.shapes import FULL, QUICK, Shape, save

ENGINE = (
    "single_stream",
    "proposals",
    "paper_procedure",
    "prefill",
    "many_users",
    "overhead",
    "memory",
)
PROFILES = "profiles"
QUESTIONS = (*ENGINE, PROFILES)
CHART = "results.png"


def read(path: Path) -> Result:
    """Return the result that a benchmark wrote."""
    found = json.loads(path.read_text())
    found["figures"] = [Figure(**f) for f in found["figures"]]
    found["comparisons"] = [Comparison(**c) for c in found["comparisons"]]
    found["checks"] = [Check(**c) for c in found["checks"]]
    found["gaps"] = [Gap(**g) for g in found["gaps"]]
    return Result(**found)


def measure(chosen: argparse.Namespace, shape: Shape) -> tuple[dict[str, Result], list[str]]:
    """Run what is asked for; return the results, and the names of what failed."""
    results: dict[str, Result] = {}
    failed = []
    start = time.perf_counter()
    asked = chosen.only or QUESTIONS
    with tempfile.TemporaryDirectory() as temporary:
        model = chosen.model or Path(temporary)
        if chosen.model is None and asked != [PROFILES]:
            save(shape, model)
        for question in asked:
            print(f"-- {question}, {time.perf_counter() - start:.0f} s so far", flush=True)
            written = Path(temporary) / f"{question}.json"
            command = [sys.executable, "-m", f"benchmarks.{question}", *_options(chosen, question)]
            if question != PROFILES:
                command += ["--model", str(model)]
            if subprocess.run([*command, "--json", str(written)], check=False).returncode:
                failed.append(question)
            else:
                results[question] = read(written)
    return results, failed


def write(results: dict[str, Result], folder: Path, shape: Shape, device: str) -> Path:
    """Write the document and its chart; return where the document is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "RESULTS.md"
    engine = {name: result for name, result in results.items() if name != PROFILES}
    if engine:
        draw(engine, folder / CHART)
        described = f"{shape.name} shape, random weights, {str(shape.dtype).removeprefix('torch.')}"
        text = as_markdown(engine, described, facts(device), CHART)
    else:
        text = path.read_text() if path.exists() else ""
    if PROFILES in results:
        text = with_section(text, PROFILES, results[PROFILES])
    path.write_text(text)
    return path


def main() -> int:
    """Run what is asked for; return 1 where a benchmark failed or a check did not hold."""
    parser = arguments()
    parser.add_argument("--only", action="append", choices=QUESTIONS, help="may be repeated")
    parser.add_argument("--users", type=int, help="of the profile stores; default: a million")
    parser.add_argument("--output", type=Path, help="folder of RESULTS.md and the chart")
    chosen = parser.parse_args()
    shape = QUICK if chosen.quick else FULL
    results, failed = measure(chosen, shape)
    # What was tried out, or is not whole, must not stand in the place of the figures.
    tried = chosen.quick or chosen.users or failed
    whole = not tried and chosen.only in (None, [PROFILES])
    folder = chosen.output or (Path(__file__).parent if whole else None)
    if folder:
        print(f"written: {write(results, folder, shape, chosen.device)}")
    broken = [c.what for result in results.values() for c in result.checks if not c.held]
    for name in failed:
        print(f"FAILED: {name}", file=sys.stderr)
    for what in broken:
        print(f"DID NOT HOLD: {what}", file=sys.stderr)
    return 1 if failed or broken else 0


def _options(chosen: argparse.Namespace, question: str) -> list[str]:
    """Return the options that are handed on."""
    options = ["--quick"] if chosen.quick else []
    names = ("rounds", "users") if question == PROFILES else ("rounds", "calls", "device")
    for name in names:
        if getattr(chosen, name):
            options += [f"--{name}", str(getattr(chosen, name))]
    return options


if __name__ == "__main__":
    sys.exit(main())
