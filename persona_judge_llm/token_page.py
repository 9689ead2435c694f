"""A page for browsers that shows a text token by token; everything in it is escaped."""

from collections.abc import Iterable, Mapping
from html import escape

STYLE = """
body { font: 16px/1.7 system-ui, sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em;
  color: #222; background: #fff }
.text { white-space: pre-wrap; overflow-wrap: anywhere }
.text span { border-radius: 3px; border-bottom: 2px solid transparent }
.text span:hover { border-bottom-color: #888 }
table { border-collapse: collapse; margin: 1em 0 } td { padding: 0 1.5em 0 0 }
.accepted { background: #d9f2d9 } .recovered { background: #ffd9b3 } .bonus { background: #d6e6ff }
.legend span { padding: 0 .4em; margin-right: 1em; border-radius: 3px }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #1b1b1b }
  .accepted { background: #1f4d1f } .recovered { background: #6b3d0c }
  .bonus { background: #1c3a66 } }
"""


def page(
    title: str,
    figures: Mapping[str, str],
    tokens: Iterable[tuple[str, str, str, str]],
    legend: Iterable[tuple[str, str]] = (),
) -> str:
    """Return an HTML document that needs nothing else.

    Args:
        title: its heading.
        figures: names and values shown above the text.
        tokens: text, class, style and note of each piece; the note shows under the pointer.
        legend: classes with their meanings.
    """
    rows = "".join(f"<tr><td>{escape(k)}<td>{escape(v)}" for k, v in figures.items())
    spans = "".join(
        f'<span class="{escape(kind)}" style="{escape(style)}" title="{escape(note)}">'
        f"{escape(text)}</span>"
        for text, kind, style, note in tokens
        if text
    )
    meanings = "".join(
        f'<span class="{escape(kind)}">{escape(meaning)}</span>' for kind, meaning in legend
    )
    return (
        f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n<table>{rows}</table>\n"
        f'<p class="legend">{meanings}</p>\n<p class="text">{spans}</p></body></html>\n'
    )
