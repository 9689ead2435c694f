"""Profiles, their history and their ratings, as tables, lines and JSON values."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from persona_judge_llm.changes import ProfileEvent
from persona_judge_llm.cli.screen import line, minute, plain, write_json
from persona_judge_llm.cli.splits import notes, preference_values, state
from persona_judge_llm.feedback import FeedbackSummary
from persona_judge_llm.preferences import Preference, Profile


def tell_written(profile: Profile, what: str, *, json: bool) -> None:
    """Tell what was written: in one line, or by the profile as it is now."""
    if json:
        write_json(profile_values(profile))
    else:
        typer.echo(line(f"{profile.user_id}: {what}, version {profile.version}"))


def profile_values(profile: Profile) -> dict[str, Any]:
    """Return a profile for JSON."""
    return {
        "user_id": profile.user_id,
        "version": profile.version,
        "preferences": [preference_values(p) for p in profile.preferences],
        "settings": dict(profile.settings),
    }


def history_values(history: Iterable[ProfileEvent]) -> list[dict[str, Any]]:
    """Return a history for JSON."""
    return [{**dataclasses.asdict(e), "at": e.at.isoformat()} for e in history]


def summary_values(user: str, summary: FeedbackSummary) -> dict[str, Any]:
    """Return a user's ratings for JSON."""
    return {"user_id": user, **dataclasses.asdict(summary)}


def preference_line(preference: Preference) -> str:
    """Return a preference in one line, with what is unusual about it."""
    unusual = notes(preference)
    return line(f"{preference.id}  {preference.text}{f' ({unusual})' if unusual else ''}")


def event_line(event: ProfileEvent) -> str:
    """Return one write in one line."""
    parts = [f"version {event.version}", minute(event.at), event.action]
    if event.preference_id is not None:
        parts[-1] += f" {event.preference_id}"
    if event.undoes is not None:
        parts[-1] += f" of version {event.undoes}"
    if event.actor is not None:
        parts.append(f"by {event.actor}")
    return line("  ".join(parts))


def preference_table(preferences: Iterable[Preference]) -> Table:
    """Return the preferences as a table for 80 columns."""
    rows = [(p, _details(p)) for p in preferences]
    table = Table("id", box=SIMPLE_HEAD, expand=True)
    table.add_column("preference", ratio=1)
    for name in ("weight", "kind", "state"):
        table.add_column(name, no_wrap=True)
    detailed = any(details for _, details in rows)
    if detailed:
        table.add_column("details", ratio=1)
    for p, details in rows:
        cells = [p.id or "", p.text, f"{p.weight:g}", p.kind, state(p)]
        table.add_row(*map(plain, [*cells, details] if detailed else cells))
    return table


def _details(preference: Preference) -> str:
    found = []
    if preference.dimension is not None:
        found.append(f"dimension {preference.dimension}")
    if preference.scope is not None:
        found.append(f"scope {preference.scope}")
    if preference.expires_at is not None:
        found.append(f"until {minute(preference.expires_at)}")
    return ", ".join(found)


def rating_line(user: str, summary: FeedbackSummary) -> str:
    """Return in one line how a user rated answers."""
    parts = [f"{summary.count} rated {'answer' if summary.count == 1 else 'answers'}"]
    if summary.mean_rating is not None:
        parts.append(f"mean {summary.mean_rating:+.2f}")
    if summary.mean_acceptance_rate is not None:
        parts.append(f"{summary.mean_acceptance_rate:.0%} accepted")
    return line(f"{user}: {', '.join(parts)}")


def rating_table(profile: Profile, summary: FeedbackSummary) -> Table:
    """Return how answers were rated that each preference took part in."""
    texts = {p.id: p.text for p in profile.preferences}
    table = Table("id", box=SIMPLE_HEAD, expand=True)
    table.add_column("preference", ratio=1)
    for name in ("rated", "mean", "side A", "side B", "left out"):
        table.add_column(name, justify="right")
    for preference_id, found in summary.by_preference.items():
        mean = f"{found.mean_rating:+.2f}" if found.count else "-"
        text = texts.get(preference_id)
        table.add_row(
            plain(preference_id),
            plain("removed since", "dim") if text is None else plain(text),
            *map(str, (found.count, mean, found.side_a, found.side_b, found.dropped)),
        )
    return table
