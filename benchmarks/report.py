"""Tables: on the terminal, and in RESULTS.md."""

import re
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.results import Comparison, Figure, Result

INTRODUCTION = """\
# What decoding costs

Written by `python -m benchmarks.run` (`make bench`), in one run on one machine. Machines differ:
the ratios are the point. Methods run in turn, round by round; a ratio is the median of the ratios
of each round, and the spread is the smallest and the largest of them.
"""


def as_text(result: Result) -> str:
    """Return a result for the terminal."""
    parts = [f"\n== {result.title} ({result.seconds:.0f} s)\n{result.goal}\n"]
    for header, rows in tables(result):
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        parts += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [header, *rows]
        ]
        parts.append("")
    return "\n".join([*parts, *result.notes])


def as_markdown(
    results: Mapping[str, Result], shape: str, machine: Mapping[str, str], chart: str | None
) -> str:
    """Return all results as one document."""
    parts = [INTRODUCTION, f"Model: {shape}.\n", _table(("", "measured on"), machine.items())]
    if chart:
        parts.append(f"![Tokens a second, and cost against the number of users]({chart})\n")
    parts += [
        "## Goals\n",
        _table(("question", "against", "setting", "goal", "found", "reached"), _goals(results)),
    ]
    return "\n".join(parts + [section(name, result) for name, result in results.items()])


def section(name: str, result: Result) -> str:
    """Return one result as a part of a document."""
    command = f"`python -m benchmarks.{name}`, {result.seconds:.0f} s"
    parts = [f"## {result.title}\n\n{result.goal}\n\n{command}\n"]
    if result.machine:
        parts.append(_table(("", "measured on"), result.machine.items()))
    parts += [_table(header, rows) for header, rows in tables(result)]
    parts += [f"```text\n{note}\n```\n" for note in result.notes]
    return "\n".join(parts)


def with_section(document: str, name: str, result: Result) -> str:
    """Return the document with this result in the place of an earlier one, or at its end."""
    parts = re.split(r"^(?=## )", document, flags=re.MULTILINE)
    kept = [part.rstrip("\n") for part in parts if part.strip()]
    places = [n for n, part in enumerate(kept) if part.splitlines()[0] == f"## {result.title}"]
    place = places[0] if places else len(kept)
    kept[place : place + 1] = [section(name, result).rstrip("\n")]
    return "\n\n".join(kept) + "\n"


def tables(result: Result) -> Iterable[tuple[Sequence[str], list[Sequence[str]]]]:
    """Yield the header and the rows of each table."""
    if result.figures:
        header: Sequence[str] = ("setting", "method", "median", "spread", "unit", "n")
        rows = [_figure(figure) for figure in result.figures]
        if any(figure.goal is not None for figure in result.figures):
            header = (*header, "goal", "reached")
            rows = [
                (*row, _goal(f), _reached(f.reached))
                for row, f in zip(rows, result.figures, strict=True)
            ]
        yield header, rows
    if result.comparisons:
        yield (
            ("setting", "method", "against", "ratio", "spread", "goal", "reached"),
            [_comparison(comparison) for comparison in result.comparisons],
        )
    if result.checks:
        yield (
            ("check", "found", "held"),
            [(c.what, c.found, _reached(c.held)) for c in result.checks],
        )
    if result.gaps:
        yield (
            ("not measured", "setting", "why"),
            [(gap.what, gap.setting, gap.why) for gap in result.gaps],
        )


def _goals(results: Mapping[str, Result]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for result in results.values():
        rows += [
            (c.what, c.against, c.setting, _goal(c), f"{c.ratio:.2f}", _reached(c.reached))
            for c in result.comparisons
            if c.goal
        ]
        rows += [(c.what, "", "", "must hold", c.found, _reached(c.held)) for c in result.checks]
    return rows


def _figure(f: Figure) -> Sequence[str]:
    spread = f"{_number(f.low)} - {_number(f.high)}" if f.repetitions > 1 else ""
    return (f.setting, f.method, _number(f.median), spread, f.unit, str(f.repetitions))


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:.0f}"


def _comparison(c: Comparison) -> Sequence[str]:
    spread = f"{c.low:.2f} - {c.high:.2f}"
    return (c.setting, c.what, c.against, f"{c.ratio:.2f}", spread, _goal(c), _reached(c.reached))


def _goal(found: Comparison | Figure) -> str:
    if not found.goal:
        return ""
    return f"{'at most' if found.at_most else 'at least'} {found.goal:g}"


def _reached(value: bool | None) -> str:  # noqa: FBT001
    return {True: "yes", False: "**no**", None: ""}[value]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
