"""The paper's Tables 1 to 5, ours beside theirs, and one with all that was measured."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Final

from persona_judge_llm.evaluation import published
from persona_judge_llm.evaluation.dimensions import NAMES
from persona_judge_llm.evaluation.pairings import TABLE_4
from persona_judge_llm.evaluation.summaries import AVERAGE, PAPER_REWARDS, Summary
from persona_judge_llm.evaluation.tabular import Entry, Row, Table

_HARMLESS_HELPFUL: Final = {"Harmless", "Helpful"}
_TABLE_1_NOTES: Final = (
    "The paper: Llama-3-Base-8B on P-Soups. Avg is the mean of the four rewards.",
    "Win rates here: as in Table 4, with the opponent that the table of verdicts names.",
)
_TABLE_4_NOTES: Final = (
    "The paper: judged by GPT-4; how ties count is not said.",
    "Here: wins and half of the ties, both orders, Wilson's interval; Overall: mean of the nine.",
)
_TABLE_5_COLUMNS: Final = (
    *("1 objective", "2 objectives", "3 objectives"),
    *("1: ms a token", "2: ms a token", "3: ms a token"),
)
_TABLE_5_NOTES: Final = (
    "The paper: Vivid; Vivid | Creative; Touching + Vivid | Creative, without a cache; ± as there.",
    "Here: the run's first pairing of each size; the paper's are the group `table5`.",
)


def tables(cells: Sequence[Summary]) -> list[Table]:
    """Return every table that can be made; the paper's rows stand in it even without ours."""
    return [
        table_1(cells),
        flags(),
        table_2(cells),
        table_3(cells),
        table_4(cells, "psoups"),
        table_4(cells, "helpsteer2"),
        *_own_prompts(cells),
        table_5(cells),
        verdicts(cells),
        everything(cells),
    ]


def table_1(cells: Iterable[Summary]) -> Table:
    """Rewards and win rates for Harmless | Helpful."""
    rows = _paper(published.TABLE_1, digits=(2, 2, 0, 2, 2, 0, 2))
    for cell in harmless_helpful(cells):
        if not cell.headline or not (cell.rewards or cell.verdicts):
            continue
        helpful, harmless = (_win(cell, name) for name in ("Helpful", "Harmless"))
        armo_h, gpt2_h, armo_s, gpt2_s = (Entry.of(cell.rewards.get(n)) for n in PAPER_REWARDS)
        average = Entry.of(cell.rewards.get(AVERAGE))
        entries = (armo_h, gpt2_h, helpful, armo_s, gpt2_s, harmless, average)
        rows.append(Row("here", cell.label, entries))
    return Table(
        "1",
        "Table 1: rewards and win rates, Harmless | Helpful",
        published.TABLE_1_COLUMNS,
        tuple(rows),
        _TABLE_1_NOTES,
    )


def flags() -> Table:
    """What the paper's Table 1 ticks for each system."""
    rows = [
        Row("paper", name, tuple(Entry("yes" if bit == "1" else "no") for bit in bits))
        for name, bits in published.FLAGS.items()
    ]
    return Table(
        "1-flags",
        "Table 1: what each system is, by the paper",
        published.FLAG_COLUMNS,
        tuple(rows),
        ("ARGS is ticked as free of reward models, and needs one.",),
    )


def table_2(cells: Iterable[Summary]) -> Table:
    """Win rates in the dimensions that are the authors' own: three columns of Table 4."""
    whole = table_4(cells, "psoups")
    places = [whole.columns.index(name) for name in published.TABLE_2_COLUMNS]
    rows = [
        Row(row.source, row.label, tuple(row.entries[i] for i in places))
        for row in whole.rows
        if any(row.entries[i].value is not None for i in places)
    ]
    return Table(
        "2",
        "Table 2: win rates in % over direct prompting, P-Soups",
        published.TABLE_2_COLUMNS,
        tuple(rows),
        whole.notes,
    )


def table_3(cells: Iterable[Summary]) -> Table:
    """Rewards by lambda."""
    paper = {f"λ={value}": row for value, row in published.TABLE_3.items()}
    rows = _paper(paper, digits=(3,) * 5)
    for cell in harmless_helpful(cells):
        if cell.method == "alternate" and cell.rewards:
            found = [cell.rewards.get(name) for name in (*PAPER_REWARDS, AVERAGE)]
            rows.append(Row("here", cell.label, tuple(Entry.of(one, digits=3) for one in found)))
    return Table(
        "3",
        "Table 3: rewards by lambda, Persona-judge, Harmless | Helpful",
        published.TABLE_3_COLUMNS,
        tuple(rows),
        ("The paper's curve is not monotone, and has one seed a point.",),
    )


def table_4(cells: Iterable[Summary], prompt_set: str) -> Table:
    """Win rates in the nine dimensions, by model."""
    paper = {"psoups": published.TABLE_4_PSOUPS, "helpsteer2": published.TABLE_4_HELPSTEER2}
    rows = _paper(paper.get(prompt_set, {}), digits=(0,) * 10)
    groups: dict[str, list[Summary]] = {}
    for cell in cells:
        if cell.prompt_set == prompt_set and cell.headline and cell.verdicts:
            opponent = next(iter(cell.verdicts.values())).opponent
            against = "" if opponent == "direct" else f", against {opponent}"
            groups.setdefault(_label_without_lambda(cell) + against, []).append(cell)
    for label, group in groups.items():
        # The pairings of the paper's table first, so that no other one stands in their place.
        ordered = sorted(group, key=lambda cell: cell.pairing.name not in TABLE_4)
        entries = [
            next((_win(cell, name) for cell in ordered if name in cell.verdicts), Entry(None))
            for name in NAMES
        ]
        known = [entry.value for entry in entries if isinstance(entry.value, float)]
        overall = Entry(fmean(known), digits=0) if len(known) == len(NAMES) else Entry(None)
        rows.append(Row("here", label, (*entries, overall)))
    shown = {"psoups": "P-Soups", "helpsteer2": "HelpSteer2"}.get(prompt_set, "own prompts")
    return Table(
        f"4-{prompt_set}",
        f"Table 4: win rates in % over direct prompting, {shown}",
        published.TABLE_4_COLUMNS,
        tuple(rows),
        _TABLE_4_NOTES,
    )


def table_5(cells: Iterable[Summary]) -> Table:
    """Seconds an answer by number of objectives."""
    rows = []
    for label, values in published.TABLE_5.items():
        seconds = [Entry(f"{values[i]:.2f} ± {values[i + 1]:.2f}") for i in (0, 2, 4)]
        rows.append(Row("paper", label, (*seconds, *(Entry(None) for _ in range(3)))))
    groups: dict[str, dict[int, list[Summary]]] = {}
    for cell in cells:
        objectives = len(cell.pairing.dimensions)
        if cell.headline and objectives <= 3:  # noqa: PLR2004
            groups.setdefault(_label_without_lambda(cell), {}).setdefault(objectives, []).append(
                cell
            )
    for label, group in groups.items():
        chosen: list[Summary | None] = [next(iter(group.get(k, ())), None) for k in (1, 2, 3)]
        times = [Entry.of(cell.seconds if cell is not None else None) for cell in chosen]
        each = [
            Entry(None) if cell is None else Entry(1000 * cell.seconds_per_token, digits=1)
            for cell in chosen
        ]
        rows.append(Row("here", label, (*times, *each)))
    return Table(
        "5",
        "Table 5: seconds an answer, by number of objectives",
        _TABLE_5_COLUMNS,
        tuple(rows),
        _TABLE_5_NOTES,
    )


def verdicts(cells: Iterable[Summary]) -> Table:
    """Each verdict's counts, with ties counted in three ways."""
    rows = []
    for cell in cells:
        for aspect, found in cell.verdicts.items():
            counted = found.outcomes
            counts = (counted.wins, counted.ties, counted.losses, counted.unreadable)
            entries = (
                *(Entry(count, digits=0) for count in counts),
                Entry.of(counted.half_ties(), percent=True),
                Entry.of(counted.wins_only(), percent=True),
                Entry.of(counted.wins_and_ties(), percent=True),
                Entry(counted.p_value(), digits=3),
                Entry(found.first_share, digits=2),
            )
            label = f"{cell.label}, {cell.pairing.name}: {aspect}, against {found.opponent}"
            rows.append(Row("here", f"{label}, judged by {found.judge}", entries))
    return Table(
        "verdicts",
        "Verdicts, with ties counted in three ways",
        (
            "win", "tie", "lose", "unreadable", "win + half ties %", "win %", "win + tie %",
            "sign test p", "first answer won",
        ),
        tuple(rows),
        ("A question counts as won if it is won over both orders together.",),
    )  # fmt: skip


def everything(cells: Sequence[Summary]) -> Table:
    """All that was measured of each cell."""
    names = list(dict.fromkeys(name for cell in cells for name in cell.rewards))
    rows, notes = [], []
    for cell in cells:
        entries = (
            Entry(cell.n, digits=0),
            Entry.of(cell.tokens, digits=1),
            Entry.of(cell.seconds),
            Entry(1 / cell.seconds_per_token if cell.seconds_per_token else None, digits=1),
            Entry.of(cell.acceptance),
            Entry(100 * cell.cut, digits=0),
            *(Entry.of(cell.rewards.get(name)) for name in names),
        )
        label = f"{cell.label}, {cell.pairing.name}"
        rows.append(Row("here", label, entries))
        notes += [
            f"{label}: {scorer} read {count} answers in part only"
            for scorer, count in cell.truncated.items()
        ]
    columns = ("answers", "tokens", "seconds", "tokens/s", "acceptance", "reached the limit %")
    return Table("cells", "Every cell", (*columns, *names), tuple(rows), tuple(notes))


def harmless_helpful(cells: Iterable[Summary]) -> list[Summary]:
    """Return the cells of the pairing that Tables 1 and 3 are about."""
    return [c for c in cells if {d.measures for d in c.pairing.dimensions} == _HARMLESS_HELPFUL]


def _own_prompts(cells: Sequence[Summary]) -> list[Table]:
    return [table_4(cells, "lines")] if any(cell.prompt_set == "lines" for cell in cells) else []


def _paper(rows: Mapping[str, published.Row], digits: Sequence[int]) -> list[Row]:
    return [
        Row(
            "paper",
            label,
            tuple(
                Entry(None if value is None else float(value), digits=shown)
                for value, shown in zip(values, digits, strict=True)
            ),
        )
        for label, values in rows.items()
    ]


def _win(cell: Summary, aspect: str) -> Entry:
    found = cell.verdicts.get(aspect)
    return Entry.of(found.outcomes.half_ties() if found else None, percent=True)


def _label_without_lambda(cell: Summary) -> str:
    """Return the label that cells of a run have in common, whether lambda counts in them or not."""
    mode = "" if cell.mode == "fixed" else f", {cell.mode} mode"
    return f"{cell.shown} ({cell.model}, {cell.prompt_set}{mode})"
