"""Which side got which preference."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from persona_judge_llm.cli.screen import minute, plain
from persona_judge_llm.preferences import Preference

if TYPE_CHECKING:  # it loads torch
    from persona_judge_llm.splitting import Split


def labelled(preference: Preference) -> Text:
    """Return a preference in one line, with what is unusual about it."""
    unusual = notes(preference)
    shown = plain(preference.text)
    return shown.append_text(plain(f" ({unusual})", "dim")) if unusual else shown


def notes(preference: Preference) -> str:
    """Return what is unusual about a preference; may hold what a user wrote."""
    found = []
    if preference.kind == "must":
        found.append("must")
    if preference.weight != 1:
        found.append(f"x{preference.weight:g}")
    if preference.scope is not None:
        found.append(f"only for {preference.scope}")
    if preference.expires_at is not None and state(preference) != "expired":
        found.append(f"until {minute(preference.expires_at)}")
    if state(preference) != "active":
        found.append(state(preference))
    return ", ".join(found)


def state(preference: Preference) -> str:
    """Return in one word or three whether a preference counts, and why not."""
    if preference.pending:
        return "to be confirmed"
    if not preference.active:
        return "inactive"
    return "active" if preference.in_force() else "expired"


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
        "scope": preference.scope,
        "confirmed": preference.confirmed,
    }


def _side(preferences: Sequence[Preference]) -> Text:
    if not preferences:
        return Text("nothing", "dim")
    return Text("\n").join(labelled(p) for p in preferences)


def _joined(preferences: Sequence[Preference]) -> Text:
    return Text("; ").join(plain(p.text) for p in preferences)
