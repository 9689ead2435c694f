"""Who wants what: the paper's pairings by name, single preferences, and users' own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from persona_judge_llm.errors import DataFileError, InvalidParameterError
from persona_judge_llm.evaluation.data_files import read_json
from persona_judge_llm.evaluation.dimensions import DIMENSIONS, NAMES, Dimension

TABLE_1: Final = ("Harmless|Helpful",)
TABLE_4: Final = ("Harmless+Humor|Helpful", "Professional+Informative|Correct",
                  "Touching+Vivid|Creative")  # fmt: skip
"""The three runs that give all nine columns."""
TABLE_5: Final = ("Vivid", "Vivid|Creative", "Touching+Vivid|Creative")
"""One, two and three objectives."""
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "paper": (*TABLE_4, *TABLE_1),
    "table1": TABLE_1,
    "table4": TABLE_4,
    "table5": TABLE_5,
    "singles": NAMES,
    "all": (
        *TABLE_4, *TABLE_1, "Vivid|Creative", "Vivid|Vivid-scenes", "Harmless|Harmless-brief",
        "Helpful-expert|Helpful-plain", "Harmless|Helpful-expert",
    ),
}  # fmt: skip
"""Names for several pairings at once; "all" is every pairing that the authors used."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """What sides A and B want; without B, a single side's preferences."""

    name: str
    side_a: tuple[Dimension, ...]
    side_b: tuple[Dimension, ...] = ()

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """Of both sides."""
        return (*self.side_a, *self.side_b)

    def values(self) -> dict[str, Any]:
        """Return it for JSON, with the texts that were used."""

        def side(dimensions: Sequence[Dimension]) -> list[dict[str, str]]:
            return [
                {"name": d.name, "preference": d.preference, "aspect": d.aspect} for d in dimensions
            ]

        return {"name": self.name, "a": side(self.side_a), "b": side(self.side_b)}

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> "Pairing":
        """Return the pairing that `values` tells of."""
        a, b = (tuple(Dimension(**d) for d in values[side]) for side in ("a", "b"))
        return cls(values["name"], a, b)


def pairings(text: str, dimensions: Mapping[str, Dimension] = DIMENSIONS) -> list[Pairing]:
    """Return the pairings that a comma-separated list names.

    Args:
        text: groups ("paper", "table1", "table4", "table5", "singles", "all"), pairings such as
            "Harmless+Humor|Helpful", single dimensions, or one JSON file; see `read_pairings`.
        dimensions: what the names stand for.

    Raises:
        InvalidParameterError: a name that nothing is known by, or nothing at all.
        DataFileError: a file that cannot be used.
    """
    if text.endswith(".json"):
        return read_pairings(text, dimensions)
    found: dict[str, Pairing] = {}
    for word in (part.strip() for part in text.split(",") if part.strip()):
        for name in GROUPS.get(word.lower(), (word,)):
            pairing = _named(name, dimensions)
            found[pairing.name] = pairing
    if not found:
        raise InvalidParameterError("pairs", text, f"one of {(*GROUPS,)}, or a pair such as 'A|B'")
    return list(found.values())


def read_pairings(
    file: str | Path, dimensions: Mapping[str, Dimension] = DIMENSIONS
) -> list[Pairing]:
    """Read pairings from a JSON file.

    The file is a list of objects {"name", "a", "b"}: `a` and `b` are lists of dimensions' names
    or of texts of your own; `name` and `b` may be left out.

    Raises:
        DataFileError: not such a file.
    """
    given = read_json(file)
    if not isinstance(given, list) or not given:
        raise DataFileError(file, 'expected a list such as [{"a": ["Humor"], "b": ["Helpful"]}]')
    found = [_read(file, i, item, dimensions) for i, item in enumerate(given)]
    if len({pairing.name for pairing in found}) < len(found):
        raise DataFileError(file, "two pairings have the same name")
    return found


def _named(name: str, dimensions: Mapping[str, Dimension]) -> Pairing:
    lower = {known.lower(): dimension for known, dimension in dimensions.items()}
    sides: list[tuple[Dimension, ...]] = []
    for side in name.split("|"):
        words = [word.strip() for word in side.split("+")]
        if unknown := [word for word in words if word.lower() not in lower]:
            expected = f"one of {(*GROUPS,)}, or made of {(*dimensions,)}"
            raise InvalidParameterError("pairs", unknown[0], expected)
        sides.append(tuple(lower[word.lower()] for word in words))
    if len(sides) > 2:  # noqa: PLR2004
        raise InvalidParameterError("pairs", name, "of two sides at most, as in 'A+B|C'")
    shown = "|".join("+".join(d.name for d in side) for side in sides)
    return Pairing(shown, sides[0], sides[1] if sides[1:] else ())


def _read(file: str | Path, i: int, item: object, dimensions: Mapping[str, Dimension]) -> Pairing:
    if not isinstance(item, dict) or item.keys() - {"name", "a", "b"}:
        raise DataFileError(file, f'item {i} must be an object with "a", "b" and "name"')
    sides = []
    for key in ("a", "b"):
        texts = item.get(key, [])
        if not isinstance(texts, list) or not all(isinstance(t, str) and t.strip() for t in texts):
            raise DataFileError(file, f'"{key}" of item {i} must be a list of names or texts')
        sides.append(tuple(dimensions.get(t) or Dimension(t, t, t) for t in texts))
    if not sides[0]:
        raise DataFileError(file, f'"a" of item {i} is empty')
    shown = "|".join("+".join(d.name for d in side) for side in sides if side)
    name = item.get("name", shown)
    if not isinstance(name, str) or not name.strip():
        raise DataFileError(file, f'"name" of item {i} must be a text')
    return Pairing(name, sides[0], sides[1])
