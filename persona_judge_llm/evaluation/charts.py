"""Charts of a report as PNG files; drawn without a screen."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from persona_judge_llm.errors import DataFileError
from persona_judge_llm.evaluation import published
from persona_judge_llm.evaluation.data_files import missing
from persona_judge_llm.evaluation.report import Report
from persona_judge_llm.evaluation.statistics import Estimate
from persona_judge_llm.evaluation.summaries import AVERAGE
from persona_judge_llm.evaluation.tables import harmless_helpful
from persona_judge_llm.evaluation.tabular import Entry, Row, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAPER: Final = "#999999"
_MAX_ROWS: Final = 12
"""Of our own; more cannot be read."""


def write_charts(report: Report, folder: Path) -> list[Path]:
    """Draw what the report has numbers for, and return the files.

    - `win_rates_<set>.png`: Table 4, with the mean of the paper's nine models.
    - `lambda.png`: the average reward by lambda, beside the paper's.
    - `seconds.png`: milliseconds a token by number of objectives.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        DataFileError: the folder cannot be written.
    """
    found = {table.name: table for table in report.tables}
    drawn: dict[str, Figure] = {}
    for name in ("4-psoups", "4-helpsteer2", "4-lines"):
        if name in found and (rows := _ours(found[name])):
            drawn[f"win_rates_{name.removeprefix('4-')}.png"] = _win_rates(found[name], rows)
    if lines := _sweeps(report):
        drawn["lambda.png"] = _lambda(lines)
    if rows := _ours(found["5"]):
        drawn["seconds.png"] = _seconds(rows)
    for name, figure in drawn.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(folder / name, dpi=150)
        except OSError as error:
            raise DataFileError(folder / name, f"cannot be written ({error.strerror})") from error
    return [folder / name for name in drawn]


def _ours(table: Table) -> list[Row]:
    return [row for row in table.rows if row.source == "here"][:_MAX_ROWS]


def _canvas(height: float) -> "Figure":
    try:
        # Not pyplot, which keeps every figure and may look for a screen.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise missing(error) from error
    figure = Figure(figsize=(10, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _win_rates(table: Table, rows: Sequence[Row]) -> "Figure":
    figure = _canvas(5)
    axes = figure.subplots()
    paper = [row for row in table.rows if row.source == "paper"]
    width = 0.8 / (len(rows) + bool(paper))
    for k, row in enumerate(rows):
        places = [i + k * width for i, e in enumerate(row.entries) if _known(e)]
        entries = [e for e in row.entries if _known(e)]
        axes.bar(
            places, [_number(e) for e in entries], width, yerr=_errors(entries), capsize=2,
            label=_plain(row.label),
        )  # fmt: skip
    if paper:
        places = [i + len(rows) * width for i in range(len(table.columns))]
        means = [
            sum(_number(row.entries[i]) for row in paper) / len(paper)
            for i in range(len(table.columns))
        ]
        axes.bar(places, means, width, color=_PAPER, label="the paper, mean of nine models")
    axes.axhline(50, color="black", linewidth=0.8)
    middle = 0.4 - width / 2
    axes.set_xticks([i + middle for i in range(len(table.columns))], table.columns, rotation=30)
    axes.set(ylabel="win rate in %, half of the ties counted", ylim=(0, 100), title=table.title)
    axes.legend(fontsize="small")
    return figure


def _sweeps(report: Report) -> dict[str, list[tuple[int, Estimate]]]:
    lines: dict[str, list[tuple[int, Estimate]]] = {}
    for cell in harmless_helpful(report.cells):
        windows, average = cell.num_draft_tokens, cell.rewards.get(AVERAGE)
        if cell.method == "alternate" and windows is not None and average is not None:
            lines.setdefault(f"{cell.model}, {cell.prompt_set}", []).append((windows, average))
    return lines


def _lambda(lines: dict[str, list[tuple[int, Estimate]]]) -> "Figure":
    figure = _canvas(4)
    axes = figure.subplots()
    paper = [(int(value), row[-1]) for value, row in published.TABLE_3.items()]
    axes.plot(*zip(*paper, strict=True), "o--", color=_PAPER, label="the paper")
    for label, points in lines.items():
        ordered = sorted(points, key=lambda point: point[0])
        values = [found.value for _, found in ordered]
        errors = [[found.value - found.low for _, found in ordered],
                  [found.high - found.value for _, found in ordered]]  # fmt: skip
        axes.errorbar([at for at, _ in ordered], values, yerr=errors, fmt="o-", capsize=3,
                      label=_plain(label))  # fmt: skip
    axes.set(xlabel="λ", ylabel=AVERAGE, title="Rewards by lambda, Harmless | Helpful")
    axes.legend(fontsize="small")
    return figure


def _seconds(rows: Sequence[Row]) -> "Figure":
    figure = _canvas(4)
    axes = figure.subplots()
    for row in rows:
        each = row.entries[3:]
        places = [i for i, entry in enumerate(each, 1) if _known(entry)]
        axes.plot(places, [_number(e) for e in each if _known(e)], "o-", label=_plain(row.label))
    axes.set_xticks([1, 2, 3])
    axes.set(xlabel="objectives", ylabel="milliseconds a token", title="Time by objectives")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")
    return figure


def _known(entry: Entry) -> bool:
    return isinstance(entry.value, int | float)


def _number(entry: Entry) -> float:
    return float(entry.value or 0.0)


def _errors(entries: Sequence[Entry]) -> list[list[float]]:
    """Return how far the intervals reach down and up; NaN, which is not drawn, without one."""
    lows = [_number(e) - e.low if e.low is not None else math.nan for e in entries]
    highs = [e.high - _number(e) if e.high is not None else math.nan for e in entries]
    return [[max(low, 0.0) for low in lows], [max(high, 0.0) for high in highs]]


def _plain(label: str) -> str:
    """Return a label that starts no formula, and that legends do not leave out."""
    return label.replace("$", r"\$").lstrip("_")
