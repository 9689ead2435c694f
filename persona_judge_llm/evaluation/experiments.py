"""`Experiment`: everything that decides what a run writes, and the folder that keeps it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from persona_judge_llm.errors import DataFileError, InvalidParameterError, RunMismatchError
from persona_judge_llm.evaluation.data_files import read_text
from persona_judge_llm.evaluation.pairings import Pairing
from persona_judge_llm.evaluation.prompt_sets import Question, digest
from persona_judge_llm.evaluation.protocol import MODES, NUM_DRAFT_TOKENS, SAMPLING
from persona_judge_llm.evaluation.records import read_records, write_whole
from persona_judge_llm.requests import check_num_draft_tokens
from persona_judge_llm.sampling import MAX_SEED, SamplingParams

SETTINGS: Final = "run.json"
GENERATIONS: Final = "generations.jsonl"
_WINDOWED: Final = ("fixed", "alternate")
_FORMAT: Final = 1

KEY: Final = ("method", "pairing", "lambda", "prompt_id")
Key = tuple[str, str, int | None, str]
"""Method, pairing, lambda, prompt: what makes an answer one of its kind."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Answers that one number of a table rests on."""

    method: str
    pairing: Pairing
    num_draft_tokens: int | None
    """Lambda; None where it means nothing."""

    def key(self, question: Question) -> Key:
        """Return what the answer to a question is known by."""
        return (self.method, self.pairing.name, self.num_draft_tokens, question.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Methods, pairings and questions: each with each.

    Raises:
        InvalidParameterError: something that cannot be run.
    """

    model: str
    prompt_set: str
    questions: tuple[Question, ...]
    pairings: tuple[Pairing, ...]
    methods: tuple[str, ...]
    lambdas: tuple[int, ...] = (NUM_DRAFT_TOKENS,)
    mode: str = "fixed"
    params: SamplingParams = SAMPLING
    seed: int = 0
    systems: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Specs of methods that are not the engine's, by the names that `methods` has for them."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if self.mode not in MODES:
            raise InvalidParameterError("mode", self.mode, f"one of {MODES}")
        for value in self.lambdas:
            check_num_draft_tokens(value)
        lists = {
            "methods": self.methods,
            "pairs": [pairing.name for pairing in self.pairings],
            "lambda": self.lambdas,
            "prompts": [question.id for question in self.questions],
        }
        for name, values in lists.items():
            if not values or len(set(values)) < len(values):
                raise InvalidParameterError(name, values, "one or more, none of them twice")

    def cells(self) -> Iterator[Cell]:
        """Yield the cells in the order in which they are run; methods last, as some are large."""
        for method in self.methods:
            for pairing in self.pairings:
                if method == "single_b" and not pairing.side_b:
                    continue
                windows = method in _WINDOWED and bool(pairing.side_b)
                for value in self.lambdas if windows else (None,):
                    yield Cell(method, pairing, value)

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        params = {name: value for name, value in asdict(self.params).items() if value is not None}
        return {
            "format": _FORMAT,
            "model": self.model,
            "set": self.prompt_set,
            "n": len(self.questions),
            "prompts": digest(self.questions),
            "pairings": [pairing.values() for pairing in self.pairings],
            "methods": list(self.methods),
            "systems": {name: dict(spec) for name, spec in self.systems.items()},
            "lambda": list(self.lambdas),
            "mode": self.mode,
            "params": {**params, "stop": list(self.params.stop)},
            "seed": self.seed,
        }

    def seed_of(self, pairing: Pairing, question: Question) -> int:
        """Return the seed that all methods share for a question under a pairing."""
        text = json.dumps([self.seed, pairing.name, question.id])
        found = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        return found & MAX_SEED


@dataclass(frozen=True, slots=True)
class Run:
    """What a folder holds of an experiment."""

    folder: Path
    settings: Mapping[str, Any]
    pairings: Mapping[str, Pairing]
    answers: list[dict[str, Any]]
    """One record each: "method", "pairing", "lambda", "prompt_id", "prompt", "seed", "text",
    "tokens", "seconds", "finish_reason", "acceptance_rate"."""


def begin(experiment: Experiment, folder: Path, environment: Mapping[str, Any]) -> None:
    """Claim a folder for an experiment, or see that it is this experiment's.

    Raises:
        RunMismatchError: it is another's.
        DataFileError: it cannot be written.
    """
    file = folder / SETTINGS
    # As JSON has it, so that tuples and lists do not differ.
    settings = json.loads(json.dumps(experiment.values()))
    if not file.exists():
        if read_records(folder / GENERATIONS):
            raise RunMismatchError(folder, [f"{SETTINGS} (which is missing)"])
        text = json.dumps({"settings": settings, "environment": dict(environment)}, indent=2)
        write_whole(file, text + "\n")
        return
    found = _settings(file)
    names = dict.fromkeys((*settings, *found))
    if differing := [name for name in names if settings.get(name) != found.get(name)]:
        raise RunMismatchError(folder, differing)


def load_run(folder: str | Path) -> Run:
    """Return what `eval generate` wrote to a folder.

    Raises:
        DataFileError: there is no run in it, or one without answers.
    """
    path = Path(folder)
    settings = _settings(path / SETTINGS)
    answers = read_records(path / GENERATIONS)
    if not answers:
        raise DataFileError(path / GENERATIONS, "no answers yet; run: persona-judge eval generate")
    try:
        made = [Pairing.of_values(values) for values in settings["pairings"]]
        for answer in answers:
            answer_key(answer)
    except (KeyError, TypeError) as error:
        raise DataFileError(path, f"not the folder of an evaluation ({error!r})") from None
    return Run(path, settings, {pairing.name: pairing for pairing in made}, answers)


def answer_key(record: Mapping[str, Any]) -> Key:
    """Return what an answer, or what was found out about one, is known by."""
    return (record["method"], record["pairing"], record["lambda"], record["prompt_id"])


def _settings(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(file))["settings"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise DataFileError(file, "not written by `persona-judge eval generate` of this version")
    return found
