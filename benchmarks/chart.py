"""The chart: tokens a second by method, and what a crowd costs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.results import Figure, Result

LOOKUP = "prompt lookup"


def draw(results: Mapping[str, Result], path: Path) -> None:
    """Write the chart of those results that are there."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (speeds, crowd) = pyplot.subplots(
        1, 2, figsize=(13, 5), width_ratios=(3, 2), layout="constrained"
    )
    _speeds(speeds, results)
    _crowd(crowd, results)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _bars(results: Mapping[str, Result]) -> dict[str, dict[str, Figure]]:
    """Return figures by method and setting: one stream, and answers that copy at 0.8."""
    bars: dict[str, dict[str, Figure]] = {}
    if "single_stream" in results:
        for f in results["single_stream"].figures:
            bars.setdefault(f.method, {})[f.setting] = f
    if "proposals" in results:
        for f in results["proposals"].figures:
            prompt, _, hit = f.setting.partition(", hit ")
            if 0.7 < float(hit) < 0.9 and (LOOKUP in f.method or "proposals" in f.method):
                bars.setdefault(f"{f.method}, hit 0.8", {})[prompt] = f
    return bars


def _speeds(axes: Any, results: Mapping[str, Result]) -> None:  # noqa: ANN401
    bars = _bars(results)
    settings = list(dict.fromkeys(s for figures in bars.values() for s in figures))
    width = 0.85 / max(1, len(bars))
    for number, (method, figures) in enumerate(bars.items()):
        present = [(place, figures[s]) for place, s in enumerate(settings) if s in figures]
        axes.bar(
            [place + number * width for place, _ in present],
            [f.median for _, f in present],
            width,
            yerr=[
                [f.median - f.low for _, f in present],
                [f.high - f.median for _, f in present],
            ],
            label=method,
        )
    axes.set_xticks([place + 0.4 for place in range(len(settings))], settings)
    axes.set_ylabel("tokens a second, prompt not counted")
    axes.set_title("One user")
    if bars:
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3)


def _crowd(axes: Any, results: Mapping[str, Result]) -> None:  # noqa: ANN401
    figures = results["many_users"].figures if "many_users" in results else []
    crowds = {int(f.setting.split()[-1]): f for f in figures if f.setting.startswith("crowd")}
    if crowds:
        alone = crowds[min(crowds)].median
        users = sorted(crowds)
        axes.plot(users, users, "--", color="grey", label="one after another")
        axes.plot(users, [crowds[n].median / alone for n in users], "o-", label="at once")
        axes.set_xticks(users)
        axes.legend()
    axes.set_xlabel("users")
    axes.set_ylabel("time, relative to one user")
    axes.set_title("Many users")
