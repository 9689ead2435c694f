"""The terminal: consoles, what may be written to them, and JSON instead of them."""

import json
import unicodedata
from datetime import datetime, timezone

import typer
from rich.console import Console
from rich.text import Text

_LINE_BREAKS = "\n\t"


def stdout() -> Console:
    """Return a console on standard output as it is now; no markup, no guessing at colours."""
    return Console(highlight=False, markup=False, emoji=False)


def stderr() -> Console:
    """Return a console on standard error as it is now."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def coloured(console: Console) -> bool:
    """Tell whether colours can be seen: a terminal, and no NO_COLOR."""
    return console.is_terminal and not console.no_color and console.color_system is not None


def visible(text: str) -> str:
    """Return `text` with control characters shown as U+FFFD.

    Models and stored texts can hold escape sequences, which would take hold of the terminal.
    """
    return "".join(
        c if c in _LINE_BREAKS or unicodedata.category(c) != "Cc" else "\ufffd" for c in text
    )


def line(text: str) -> str:
    """Return `text` as one line, safe to show: no break in it can pass for another entry."""
    return " ".join(visible(text).splitlines())


def minute(moment: datetime) -> str:
    """Return a moment to the minute, in UTC."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def plain(text: str, style: str = "") -> Text:
    """Return `text` for a console, safe to show."""
    return Text(visible(text), style=style)


def write_json(value: object) -> None:
    """Write one JSON document to standard output; ASCII, for terminals of every encoding."""
    typer.echo(json.dumps(value, indent=2))
