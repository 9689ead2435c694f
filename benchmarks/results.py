"""What a benchmark found: figures, comparisons with a goal, and checks that must hold."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One method in one setting: the median of its repetitions and their spread."""

    method: str
    setting: str
    unit: str
    median: float
    low: float
    high: float
    repetitions: int
    goal: float | None = None
    at_most: bool = False

    @classmethod
    def of(
        cls,
        method: str,
        setting: str,
        unit: str,
        values: Sequence[float],
        goal: float | None = None,
        *,
        at_most: bool = False,
    ) -> "Figure":
        """Make one of the values of all repetitions."""
        median, low, high = statistics.median(values), min(values), max(values)
        return cls(method, setting, unit, median, low, high, len(values), goal, at_most)

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the goal; None where there is no goal."""
        return _reached(self.median, self.goal, at_most=self.at_most)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a method stands to another, as the median of the ratios of each round."""

    what: str
    against: str
    setting: str
    ratio: float
    low: float
    high: float
    goal: float | None = None
    at_most: bool = False

    @classmethod
    def of(
        cls,
        what: tuple[str, Sequence[float]],
        against: tuple[str, Sequence[float]],
        setting: str,
        goal: float | None = None,
        *,
        at_most: bool = False,
    ) -> "Comparison":
        """Compare the values of two methods, taken in the same rounds."""
        ratios = [a / b for a, b in zip(what[1], against[1], strict=True)]
        ratio = statistics.median(ratios)
        return cls(what[0], against[0], setting, ratio, min(ratios), max(ratios), goal, at_most)

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the goal; None where there is no goal."""
        return _reached(self.ratio, self.goal, at_most=self.at_most)


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must be so, whatever the machine."""

    what: str
    held: bool
    found: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not measured."""

    what: str
    setting: str
    why: str


@dataclass(slots=True)
class Result:
    """The answer to one question."""

    title: str
    goal: str
    figures: list[Figure] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)
    """What it was measured on, where that is not the same for all questions."""
    notes: list[str] = field(default_factory=list)
    """Shown as they are, below the tables."""
    seconds: float = 0.0


def _reached(value: float, goal: float | None, *, at_most: bool) -> bool | None:
    if goal is None:
        return None
    return value <= goal if at_most else value >= goal
