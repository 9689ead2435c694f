"""What the comparison found, with intervals: as rows, a page and a chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from persona_judge_llm.evaluation.statistics import RESAMPLES, Estimate, mean
from training.attributes import words

BASELINE = "direct"


@dataclass(frozen=True)
class Cell:
    """One method on one kind of pairs."""

    checks: NDArray[np.bool_]
    """[answers, 4]: A's and B's attribute, on topic, well formed."""
    diversity: float
    """Different pairs of neighbouring words over all pairs, in all answers together."""

    @classmethod
    def of(cls, checks: NDArray[np.bool_], texts: Sequence[str]) -> Cell:
        """Make a cell of what was checked in some texts."""
        pairs = [
            pair
            for text in texts
            for tokens in [[word.lower() for word in words(text)]]
            for pair in pairwise(tokens)
        ]
        return cls(checks, len(set(pairs)) / max(1, len(pairs)))

    @property
    def both(self) -> NDArray[np.bool_]:
        """Whether both attributes are there."""
        return self.checks[:, 0] & self.checks[:, 1]

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Both there, on topic and well formed."""
        return self.both & self.checks[:, 2] & self.checks[:, 3]


@dataclass(frozen=True)
class Row:
    """A method on a kind of pairs; shares with the ends of their bootstrap intervals."""

    kind: str
    method: str
    n: int
    whole: Estimate
    """Both present, on topic and well formed."""
    lead: Estimate
    """Of `whole` over the same questions' direct prompting; intervals are paired."""
    both: Estimate
    smaller: Estimate
    """The attribute that is less often there."""
    on_topic: Estimate
    well_formed: Estimate
    diversity: float
    tokens_a_second: float
    """One user at a time."""
    cost: float
    """Seconds a token over those of direct prompting."""


def measured(cells: Mapping[tuple[str, str], Cell], seconds: Mapping[str, float]) -> list[Row]:
    """Return a row for each cell."""
    rows = []
    for (kind, name), found in cells.items():
        base = cells.get((kind, BASELINE), found)
        shares = [mean(column.tolist()) for column in found.checks.T]
        rows.append(
            Row(
                kind=kind,
                method=name,
                n=len(found.checks),
                whole=mean(found.whole.tolist()),
                lead=mean((found.whole.astype(float) - base.whole).tolist()),
                both=mean(found.both.tolist()),
                smaller=min(shares[:2], key=lambda share: share.value),
                on_topic=shares[2],
                well_formed=shares[3],
                diversity=found.diversity,
                tokens_a_second=1 / seconds[name],
                cost=seconds[name] / seconds.get(BASELINE, seconds[name]),
            )
        )
    return rows


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the tables in Markdown."""
    found = []
    for kind in dict.fromkeys(row.kind for row in rows):
        found += [
            "",
            f"## {kind.capitalize()} pairs",
            "",
            "| method | both, on topic, well formed | beside direct | both | smaller of the two "
            "| on topic | well formed | different word pairs | tokens a second | time a token |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        own = sorted((r for r in rows if r.kind == kind), key=lambda r: -r.whole.value)
        for r in own:
            lead, least, most = (100 * v for v in (r.lead.value, r.lead.low, r.lead.high))
            found.append(
                f"| {r.method} | {_share(r.whole)} | {lead:+.1f} ({least:+.1f} to {most:+.1f}) "
                f"| {_share(r.both)} | {_share(r.smaller)} | {_share(r.on_topic)} "
                f"| {_share(r.well_formed)} | {r.diversity:.3f} | {r.tokens_a_second:.0f} "
                f"| {r.cost:.2f} |"
            )
        found.append("")
        found.append(f"{own[0].n} answers a row.")
    return found


def _share(found: Estimate) -> str:
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} - {100 * found.high:.1f})"


def verdict(rows: Sequence[Row]) -> str:
    """Return one sentence on whether any rule of the engine's beats direct prompting."""
    rules = {"overlap", "geometric", "mixture", "veto", "alternate"}
    ours = [r for r in rows if r.method in rules or r.method.startswith(("compose", "balance"))]
    better = [r for r in ours if r.kind == "hard" and r.lead.low > 0]
    easy = {r.method: r for r in rows if r.kind == "easy"}
    good = [r for r in better if r.method not in easy or easy[r.method].lead.high >= 0]
    if not good:
        return (
            "No rule beats direct prompting on hard pairs by more than chance, or only at the cost "
            "of easy ones."
        )
    return "; ".join(
        f"`{r.method}` beats direct prompting on hard pairs by {100 * r.lead.value:.1f} points "
        f"({100 * r.lead.low:.1f} to {100 * r.lead.high:.1f}) at {r.cost:.2f} times its time a "
        "token"
        for r in good
    )


def written(folder: Path, rows: Sequence[Row]) -> None:
    """Write the page and the numbers."""
    content = {"resamples": RESAMPLES, "rows": [asdict(row) for row in rows]}
    (folder / "alignment.json").write_text(json.dumps(content, indent=1) + "\n")
    page = [
        "# Two preferences in one answer: what each way of decoding reaches",
        "",
        "Written by `make eval` (`training/alignment.py`) on the bundled model, which knows 14 "
        "countable tastes. Questions and wordings were never trained on; *hard* pairs never met in "
        "training, *easy* ones did. All methods answer the same questions with the same seeds "
        "(temperature 0.7, top-k 20, top-p 0.9). In brackets 95 % bootstrap intervals; *beside "
        "direct* is paired by question. *Time a token* is for one user, over direct prompting's. "
        "*On topic* and *well formed* are proxies, see `training/README.md`. The scale of "
        "`balance` (8 nats, of 2, 4, 8 and 16) was chosen on other questions of the same hard "
        "pairs, see `docs/rules.md`.",
        "",
        verdict(rows),
        *lines(rows),
        "",
        "![Both present, on topic and well formed](alignment.png)",
    ]
    (folder / "ALIGNMENT.md").write_text("\n".join(page) + "\n")


def chart(rows: Sequence[Row], path: Path) -> None:
    """Draw the headline of all methods, both kinds of pairs beside each other."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    kinds = list(dict.fromkeys(row.kind for row in rows))
    order = sorted((r for r in rows if r.kind == kinds[0]), key=lambda r: r.whole.value)
    names = [row.method for row in order]
    figure, axes = plt.subplots(figsize=(7, 0.42 * len(names) + 1.2))
    for number, kind in enumerate(kinds):
        own = {row.method: row for row in rows if row.kind == kind}
        found = [own[name].whole for name in names]
        shares = [100 * each.value for each in found]
        errors = [
            [100 * (each.value - each.low) for each in found],
            [100 * (each.high - each.value) for each in found],
        ]
        places = np.arange(len(names)) + 0.36 * (0.5 - number)
        axes.barh(places, shares, 0.34, xerr=errors, label=f"{kind} pairs", ecolor="#555555")
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_xlabel("both present, on topic and well formed, %")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
