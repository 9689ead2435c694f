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

    @classmethod
    def of(cls, method: str, setting: str, unit: str, values: Sequence[float]) -> "Figure":
        """Make one of the values of all repetitions."""
        median = statistics.median(values)
        return cls(method, setting, unit, median, min(values), max(values), len(values))


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
        if self.goal is None:
            return None
        return self.ratio <= self.goal if self.at_most else self.ratio >= self.goal


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must be so, whatever the machine."""

    what: str
    held: bool
    found: str = ""


@dataclass(slots=True)
class Result:
    """The answer to one question."""

    title: str
    goal: str
    figures: list[Figure] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Shown as they are, below the tables."""
    seconds: float = 0.0
