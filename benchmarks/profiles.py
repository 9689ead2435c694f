"""What keeping profiles costs: `python -m benchmarks.profiles [--users N] [--quick] [--json F]`.

A million users of five preferences each, on a SQLite file and on a PostgreSQL server of our own,
beside LangGraph's stores with the same users. What is not installed is told, not measured.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.machine import memory, processor, system, versions
from benchmarks.profile_stores import moving, people, reading, writing
from benchmarks.profile_stores.bench import Bench
from benchmarks.profile_stores.databases import Databases, NoDatabaseError, postgresql, sqlite
from benchmarks.profile_stores.sizes import QUICK, Sizes
from benchmarks.report import tables
from benchmarks.results import Gap, Result

TITLE = "Profile stores"
GOAL = (
    "A million users of five preferences each: an uncached read is one statement and at most "
    "100 µs of the client's CPU time on SQLite, 250 µs on PostgreSQL; a cached one 2 µs; the "
    "import takes at most 120 s and 200 MB; a preference changes at a version at least 800 times "
    "a second on SQLite, 400 on PostgreSQL; each ahead of LangGraph's stores with the same users."
)
WIDTH = 160
"""Columns of the tables where there is no terminal to ask."""
KINDS = {"SQLite": sqlite, "PostgreSQL": postgresql}
PACKAGES = (
    "persona-judge-llm",
    "sqlalchemy",
    "psycopg",
    "aiosqlite",
    "langgraph",
    "langgraph-checkpoint-sqlite",
    "langgraph-checkpoint-postgres",
)


def measure(sizes: Sizes) -> Result:
    """Measure on each kind of database that is to be had here."""
    result = Result(TITLE, GOAL, machine=_machine(sizes))
    with tempfile.TemporaryDirectory() as temporary:
        lines = Path(temporary) / "users.jsonl"
        people.write_lines(sizes.users, lines)
        for name, kind in KINDS.items():
            with ExitStack() as stack:
                try:
                    databases = stack.enter_context(kind(Path(temporary)))
                except NoDatabaseError as error:
                    result.gaps.append(Gap("everything", name, str(error)))
                    continue
                result.machine[name] = databases.version()
                _measure_on(databases, lines, sizes, result)
    return result


def _measure_on(databases: Databases, lines: Path, sizes: Sizes, result: Result) -> None:
    bench = Bench(databases, sizes, result)
    start = time.perf_counter()
    steps: dict[str, Callable[[], None]] = {
        "import and export": lambda: moving.measure(bench, lines),
        "the same users for LangGraph": bench.fill_theirs,
        "reads": lambda: reading.measure(bench),
        "writes": lambda: writing.measure(bench),
    }
    for step, run in steps.items():
        print(f"  {databases.name}: {step}, {time.perf_counter() - start:.0f} s", flush=True)
        run()


def _machine(sizes: Sizes) -> dict[str, str]:
    return {
        "users": f"{sizes.users:,}, of {people.PREFERENCES} preferences each",
        "processor": processor(),
        "memory": memory(),
        "system": system(),
        "versions": versions(*PACKAGES),
    }


def show(result: Result) -> None:
    """Print the tables."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    console.rule(f"{result.title}, {result.seconds:.0f} s")
    console.print(Text(result.goal))
    for name, value in result.machine.items():
        console.print(Text(f"  {name}: {value}"))
    for header, rows in tables(result):
        table = Table(*header)
        for row in rows:
            table.add_row(*(Text(cell.replace("**", "")) for cell in row))
        console.print(table)


def sizes_of(arguments: Sequence[str] | None = None) -> tuple[Sizes, Path | None]:
    """Read the command line: how much to measure, and where to write it."""
    parser = argparse.ArgumentParser(description="Measure profile stores; see the docstring.")
    parser.add_argument("--quick", action="store_true", help="few users: try the script out")
    parser.add_argument("--users", type=int, help="default: a million")
    parser.add_argument("--rounds", type=int, help="repetitions")
    parser.add_argument("--json", type=Path, help="where to write the result as well")
    chosen = parser.parse_args(arguments)
    sizes = QUICK if chosen.quick else Sizes()
    given = {name: getattr(chosen, name) for name in ("users", "rounds") if getattr(chosen, name)}
    return replace(sizes, **given), chosen.json


def main() -> None:
    """Measure, print the tables, and write the result if asked to."""
    sizes, path = sizes_of()
    start = time.perf_counter()
    result = measure(sizes)
    result.seconds = time.perf_counter() - start
    show(result)
    if path:
        path.write_text(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
