"""Every benchmark, one after the other: `python -m benchmarks.run [--quick] [--only NAME]`.

Each runs in a process of its own, so that its memory is freed. Writes RESULTS.md and a chart.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.chart import draw
from benchmarks.machine import facts
from benchmarks.question import arguments
from benchmarks.report import as_markdown
from benchmarks.results import Check, Comparison, Figure, Result
from benchmarks.shapes import FULL, QUICK, save

QUESTIONS = (
    "single_stream",
    "proposals",
    "paper_procedure",
    "prefill",
    "many_users",
    "overhead",
    "memory",
)
CHART = "results.png"


def read(path: Path) -> Result:
    """Return the result that a benchmark wrote."""
    found = json.loads(path.read_text())
    found["figures"] = [Figure(**f) for f in found["figures"]]
    found["comparisons"] = [Comparison(**c) for c in found["comparisons"]]
    found["checks"] = [Check(**c) for c in found["checks"]]
    return Result(**found)


def main() -> int:
    """Run what is asked for; return 1 where a benchmark failed or a check did not hold."""
    parser = arguments()
    parser.add_argument("--only", action="append", choices=QUESTIONS, help="may be repeated")
    parser.add_argument("--output", type=Path, help="folder of RESULTS.md and the chart")
    chosen = parser.parse_args()
    shape = QUICK if chosen.quick else FULL
    results: dict[str, Result] = {}
    failed = []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        model = chosen.model or Path(temporary)
        if chosen.model is None:
            save(shape, model)
        options = ["--model", str(model), "--device", chosen.device]
        options += ["--quick"] if chosen.quick else []
        for name in ("rounds", "calls"):
            if getattr(chosen, name):
                options += [f"--{name}", str(getattr(chosen, name))]
        for question in chosen.only or QUESTIONS:
            print(f"-- {question}, {time.perf_counter() - start:.0f} s so far", flush=True)
            written = Path(temporary) / f"{question}.json"
            command = [sys.executable, "-m", f"benchmarks.{question}", *options]
            if subprocess.run([*command, "--json", str(written)], check=False).returncode:
                failed.append(question)
            else:
                results[question] = read(written)
    # What was tried out, or is not whole, must not stand in the place of the figures.
    whole = not chosen.quick and not chosen.only and not failed
    folder = chosen.output or (Path(__file__).parent if whole else None)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        draw(results, folder / CHART)
        described = f"{shape.name} shape, random weights, {str(shape.dtype).removeprefix('torch.')}"
        text = as_markdown(results, described, facts(chosen.device), CHART)
        (folder / "RESULTS.md").write_text(text)
        print(f"written: {folder / 'RESULTS.md'}")
    broken = [c.what for result in results.values() for c in result.checks if not c.held]
    for name in failed:
        print(f"FAILED: {name}", file=sys.stderr)
    for what in broken:
        print(f"DID NOT HOLD: {what}", file=sys.stderr)
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
