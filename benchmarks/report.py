"""Tables: on the terminal, and in RESULTS.md."""

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
    for header, rows in _tables(result):
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
    for name, result in results.items():
        command = f"`python -m benchmarks.{name}`, {result.seconds:.0f} s"
        parts.append(f"## {result.title}\n\n{result.goal}\n\n{command}\n")
        parts += [_table(header, rows) for header, rows in _tables(result)]
        parts += [f"```text\n{note}\n```\n" for note in result.notes]
    return "\n".join(parts)


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


def _tables(result: Result) -> Iterable[tuple[Sequence[str], list[Sequence[str]]]]:
    if result.figures:
        yield (
            ("setting", "method", "median", "spread", "unit", "n"),
            [_figure(figure) for figure in result.figures],
        )
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


def _figure(f: Figure) -> Sequence[str]:
    spread = f"{f.low:.3g} - {f.high:.3g}" if f.repetitions > 1 else ""
    return (f.setting, f.method, f"{f.median:.3g}", spread, f.unit, str(f.repetitions))


def _comparison(c: Comparison) -> Sequence[str]:
    spread = f"{c.low:.2f} - {c.high:.2f}"
    return (c.setting, c.what, c.against, f"{c.ratio:.2f}", spread, _goal(c), _reached(c.reached))


def _goal(c: Comparison) -> str:
    if not c.goal:
        return ""
    return f"{'at most' if c.at_most else 'at least'} {c.goal:g}"


def _reached(value: bool | None) -> str:  # noqa: FBT001
    return {True: "yes", False: "**no**", None: ""}[value]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
