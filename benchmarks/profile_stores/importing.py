"""The import, in a process of its own whose memory is known: `timed_import`.

Run as `python -m benchmarks.profile_stores.importing URL FILE LINES`; prints JSON.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from persona_judge_profiles import SQLProfileStore


@dataclass(frozen=True, slots=True)
class Imported:
    """How an import went."""

    seconds: float
    cpu: float
    """Seconds of this process's own work."""
    before: int
    """The most bytes of memory that the process had before it began."""
    peak: int
    """And in all."""
    written: int


def timed_import(url: str, path: Path, lines: int) -> Imported:
    """Import the file in a new process."""
    command = [sys.executable, "-m", "benchmarks.profile_stores.importing", url, str(path)]
    done = subprocess.run([*command, str(lines)], stdout=subprocess.PIPE, check=True)
    return Imported(**json.loads(done.stdout))


def bar(console: Console) -> Progress:
    """Return the bar that shows how many of the users are done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def main() -> None:
    """Import, and print what it took."""
    url, path, lines = sys.argv[1:]
    with SQLProfileStore(url) as store, bar(Console(stderr=True)) as shown:
        store.upgrade()
        task = shown.add_task(f"import, {url.partition(':')[0]}", total=int(lines))
        before = _peak()
        began, start = time.process_time(), time.perf_counter()
        report = store.import_jsonl(path, progress=lambda done: shown.update(task, completed=done))
        seconds, cpu = time.perf_counter() - start, time.process_time() - began
    print(json.dumps(asdict(Imported(seconds, cpu, before, _peak(), report.written))))


def _peak() -> int:
    """Return the most bytes that this process has had in memory."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not `ru_maxrss`, which on Linux begins with that of the process that started this one.
        lines = status.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
