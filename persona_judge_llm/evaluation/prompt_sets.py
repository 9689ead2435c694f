"""The questions that are asked: the paper's two sets, filtered exactly as there, and your own.

Nothing is downloaded unless its name begins with `hub:`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from persona_judge_llm.errors import DataFileError, InvalidParameterError
from persona_judge_llm.evaluation.data_files import json_lines, missing, read_json, read_text

PromptSet = Literal["psoups", "helpsteer2", "lines"]
SETS: Final[tuple[str, ...]] = get_args(PromptSet)
HUB: Final = "hub:"
MAX_HELPSTEER2_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt of a set."""

    id: str
    text: str


def read_prompts(kind: str, source: str, limit: int | None = None) -> list[Question]:
    """Return the questions of a set.

    Args:
        kind: "psoups" (a JSON array of {"id", "prompt"}), "helpsteer2" (rows with "prompt"; the
            paper's filter is applied), or "lines" (plain text, one question a line, or JSON Lines
            with "prompt").
        source: a file (`.gz` is unpacked), a folder that `datasets` reads, or "hub:" and the id
            of a data set, of which the split "validation" is fetched ("hub:ID:SPLIT": another).
        limit: only the first so many.

    Raises:
        InvalidParameterError: an unknown kind, or a limit below 1.
        DataFileError: what is there cannot be used.
        MissingDependencyError: `datasets` is needed and not installed.
    """
    if kind not in SETS:
        raise InvalidParameterError("set", kind, f"one of {SETS}")
    if limit is not None and limit < 1:
        raise InvalidParameterError("n", limit, "1 or above")
    if kind == "psoups" and not _is_data_set(source):
        found = _psoups(source)
    elif kind == "lines" and not _is_data_set(source) and not _is_json_lines(source):
        lines = read_text(source).split("\n")
        found = [Question(str(i), t.strip()) for i, t in enumerate(lines, 1) if t.strip()]
    else:
        rows = _rows(source)
        found = helpsteer2(rows) if kind == "helpsteer2" else [_question(r, i) for i, r in rows]
    if not found:
        raise DataFileError(source, f"no prompt is left of the set {kind!r}")
    if len({question.id for question in found}) < len(found):
        raise DataFileError(source, "two prompts have the same id")
    return found[:limit]


def helpsteer2(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Question]:
    """Return prompts of at most 100 characters, every second of them, beginning with the second.

    HelpSteer2 has two rows a prompt, side by side, so that this leaves one of each.
    """
    short = [
        question
        for i, row in rows
        if len((question := _question(row, i)).text) <= MAX_HELPSTEER2_CHARACTERS
    ]
    return short[1::2]


def digest(questions: Iterable[Question]) -> str:
    """Return what tells one list of questions from another."""
    values = json.dumps([[q.id, q.text] for q in questions])
    return hashlib.sha256(values.encode()).hexdigest()[:16]


def _psoups(file: str) -> list[Question]:
    values = read_json(file)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise DataFileError(file, 'expected a JSON array of {"id", "prompt"}')
    return [_question(value, i) for i, value in enumerate(values)]


def _question(row: Mapping[str, Any], number: int) -> Question:
    text = row.get("prompt")
    if not isinstance(text, str) or not text.strip():
        raise DataFileError(f"prompt {number}", 'its "prompt" is missing, empty or no text')
    return Question(str(row.get("id", number)), text)


def _is_data_set(source: str) -> bool:
    return source.startswith(HUB) or Path(source).is_dir()


def _is_json_lines(source: str) -> bool:
    return source.removesuffix(".gz").endswith(".jsonl")


def _rows(source: str) -> list[tuple[int, dict[str, Any]]]:
    if not _is_data_set(source):
        return list(json_lines(source))
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise missing(error) from error
    name, split = source.removeprefix(HUB), "validation"
    if source.startswith(HUB) and ":" in name:
        name, split = name.split(":", 1)
    try:
        found = datasets.load_dataset(name, split=split)
    except Exception as error:  # of many libraries, the network's among them
        reason = " ".join(str(error).split())[:300]
        raise DataFileError(source, f"cannot be loaded as a data set ({reason})") from error
    return [(i, dict(row)) for i, row in enumerate(found)]
