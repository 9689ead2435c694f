"""`Table`: rows of the paper's and of ours, each number with its interval and n."""

from dataclasses import dataclass, field
from typing import Any, Literal

from persona_judge_llm.evaluation.statistics import Estimate


@dataclass(frozen=True, slots=True)
class Entry:
    """A number in a table; ours have their interval and n."""

    value: float | str | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    digits: int = 2

    @classmethod
    def of(cls, found: Estimate | None, *, percent: bool = False, digits: int = 2) -> "Entry":
        """Return what was estimated; nothing where there is no estimate."""
        if found is None or found.n == 0:
            return cls(None)
        scale, shown = (100, 0) if percent else (1, digits)
        return cls(found.value * scale, found.low * scale, found.high * scale, found.n, shown)

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        if isinstance(self.value, str):
            return self.value
        shown = f"{self.value:.{self.digits}f}"
        if self.low is None or self.high is None:
            return shown
        return f"{shown} [{self.low:.{self.digits}f}, {self.high:.{self.digits}f}] n={self.n}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    source: Literal["paper", "here"]
    label: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with rows of the paper's and of ours."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())

    def values(self) -> dict[str, Any]:
        """Return it for JSON."""
        rows = [
            {
                "source": row.source,
                "label": row.label,
                "cells": [
                    {"value": e.value, "low": e.low, "high": e.high, "n": e.n} for e in row.entries
                ],
            }
            for row in self.rows
        ]
        return {
            "name": self.name,
            "title": self.title,
            "columns": list(self.columns),
            "rows": rows,
            "notes": list(self.notes),
        }
