"""Which side got which preference."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from persona_judge_llm.cli.screen import plain
from persona_judge_llm.preferences import Preference

if TYPE_CHECKING:  # it loads torch
    from persona_judge_llm.splitting import Split


def labelled(preference: Preference) -> Text:
    """Return a preference in one line, with what is unusual about it."""
    notes = []
    if preference.kind == "must":
        notes.append("must")
    if preference.weight != 1:
        notes.append(f"x{preference.weight:g}")
    if not preference.active:
        notes.append("inactive")
    line = plain(preference.text)
    return line.append(f" ({', '.join(notes)})", "dim") if notes else line


def split_table(split: "Split") -> Table:
    """Return A and B side by side, with their turns, and what was left out below."""
    table = Table(expand=True, box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, turns in zip("AB", split.turns, strict=True):
        share = f"{turns} of {sum(split.turns)} turns"
        table.add_column(Text.assemble(name, (f"  {share}", "dim")), ratio=1)
    table.add_row(_side(split.a), _side(split.b))
    if split.dropped:
        table.caption = Text("not used: ").append(Text(", ").join(map(labelled, split.dropped)))
        table.caption_justify = "left"
    return table


def split_line(split: "Split") -> Text:
    """Return A | B in one line; one text where there is one side only."""
    if not split.a and not split.b:
        return Text("no preferences", "dim")
    if not split.b or not split.a or split.a == split.b:
        return _joined(split.a or split.b)
    return Text.assemble(
        ("A: ", "bold"), _joined(split.a), (" | ", "dim"), ("B: ", "bold"), _joined(split.b)
    )


def split_values(split: "Split") -> dict[str, Any]:
    """Return the split for JSON."""
    return {
        "a": [preference_values(p) for p in split.a],
        "b": [preference_values(p) for p in split.b],
        "dropped": [preference_values(p) for p in split.dropped],
        "turns": list(split.turns),
        "conflicts": [[p.id or p.text for p in pair] for pair in split.conflicts],
    }


def preference_values(preference: Preference) -> dict[str, Any]:
    """Return a preference for JSON."""
    expires = preference.expires_at
    return {
        "id": preference.id,
        "text": preference.text,
        "weight": preference.weight,
        "kind": preference.kind,
        "dimension": preference.dimension,
        "active": preference.active,
        "opposes": sorted(preference.opposes),
        "expires_at": None if expires is None else expires.isoformat(),
        "source": preference.source,
    }


def _side(preferences: Sequence[Preference]) -> Text:
    if not preferences:
        return Text("nothing", "dim")
    return Text("\n").join(labelled(p) for p in preferences)


def _joined(preferences: Sequence[Preference]) -> Text:
    return Text("; ").join(plain(p.text) for p in preferences)
