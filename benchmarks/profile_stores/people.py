"""The users: who they are and what they prefer, the same at every run and for every store."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.profile_lines import profile_from

PREFERENCES = 5
_DIMENSIONS = ("length", "tone", "language", None, "format")
_TASTES = (
    "Answer briefly and begin with the result, number {}",
    "Write as to a colleague, not as to a customer, as in chapter {}",
    "Use British spelling and metric units, with {} digits at most",
    "I keep an allotment and cook for {} people; examples from there help me",
    "Never recommend anything that costs more than {} pounds a month",
)


def user_id(number: int) -> str:
    """Return a user's id; ids sort as their numbers do."""
    return f"user-{number:08d}"


def values(number: int) -> dict[str, Any]:
    """Return what a user prefers as JSON values, the fields in the order of an export."""
    listed = []
    for place, taste in enumerate(_TASTES):
        preference: dict[str, Any] = {"text": taste.format(number % 9_973)}
        if place == 1:
            preference["weight"] = 1.0 + (number % 7 + 1) / 4
        if place == PREFERENCES - 1:
            preference["kind"] = "must"
        if _DIMENSIONS[place]:
            preference["dimension"] = _DIMENSIONS[place]
        listed.append(preference | {"id": f"p{place + 1}"})
    return {"preferences": listed}


def profile(number: int) -> Profile:
    """Return a user's profile."""
    return profile_from(user_id(number), values(number))


def addition(number: int) -> Preference:
    """Return one more preference, for whoever writes."""
    return Preference(f"Show a table where there are more than {number % 97} numbers", id="more")


def write_lines(users: int, path: Path) -> None:
    """Write all users as lines of JSON, as `export_jsonl` does; never holds more than one."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for number in range(users):
            line = json.dumps({"user_id": user_id(number), **values(number)})
            file.write(line + "\n")


def some(users: int, count: int, seed: int) -> Iterator[str]:
    """Yield the ids of users drawn at random."""
    drawn = random.Random(seed)
    return (user_id(drawn.randrange(users)) for _ in range(count))
