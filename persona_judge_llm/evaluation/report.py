"""The report of one run or several: Markdown to read, JSON to compute with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.records import write_whole
from persona_judge_llm.evaluation.summaries import Summary, summaries
from persona_judge_llm.evaluation.tables import tables
from persona_judge_llm.evaluation.tabular import Table

MARKDOWN: Final = "report.md"
JSON: Final = "report.json"


@dataclass(frozen=True, slots=True)
class Report:
    """Tables, and what they were made from."""

    cells: tuple[Summary, ...]
    tables: tuple[Table, ...]

    def markdown(self) -> str:
        """Return all tables as Markdown."""
        shown = [_markdown(table) for table in self.tables if table.rows]
        return "\n".join(["# Evaluation by the protocol of arXiv 2504.12663\n", *shown])

    def values(self) -> dict[str, Any]:
        """Return all tables for JSON."""
        return {"tables": [table.values() for table in self.tables]}


def report(folders: Sequence[str | Path]) -> Report:
    """Return the report of runs; those of several models or prompt sets stand together.

    Raises:
        InvalidParameterError: no folder.
        DataFileError: a folder without a run.
    """
    if not folders:
        raise InvalidParameterError("folders", folders, "one or more")
    cells = [cell for folder in folders for cell in summaries(folder)]
    return Report(tuple(cells), tuple(tables(cells)))


def write_report(found: Report, folder: Path) -> list[Path]:
    """Write `report.md` and `report.json`, and return where they are.

    Raises:
        DataFileError: the folder cannot be written.
    """
    files = [folder / MARKDOWN, folder / JSON]
    write_whole(files[0], found.markdown())
    # No NaN: it is not JSON.
    write_whole(files[1], json.dumps(found.values(), indent=2, allow_nan=False) + "\n")
    return files


def _markdown(table: Table) -> str:
    lines = [f"## {table.title}\n"]
    lines.append(_line("", "", *table.columns))
    lines.append("|---|---|" + "---:|" * len(table.columns))
    for row in table.rows:
        label = f"**{_safe(row.label)}**" if row.source == "here" else _safe(row.label)
        lines.append(_line(row.source, label, *(_safe(str(entry)) for entry in row.entries)))
    lines += ["", *(f"- {_safe(note)}" for note in table.notes), ""]
    return "\n".join(lines)


def _line(*entries: str) -> str:
    return "| " + " | ".join(entries) + " |"


def _safe(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
