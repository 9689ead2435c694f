"""What the answers of each cell come to: rewards, verdicts, times, with intervals."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from persona_judge_llm.errors import DataFileError
from persona_judge_llm.evaluation.experiments import Key, Run, answer_key, load_run
from persona_judge_llm.evaluation.judgements import VERDICTS, first_share, outcomes
from persona_judge_llm.evaluation.pairings import Pairing
from persona_judge_llm.evaluation.protocol import NUM_DRAFT_TOKENS
from persona_judge_llm.evaluation.records import read_records
from persona_judge_llm.evaluation.scoring import SCORES
from persona_judge_llm.evaluation.statistics import Estimate, Outcomes, mean

PAPER_REWARDS: Final = ("armo-helpful", "gpt2-helpful", "armo-harmless", "gpt2-harmless")
AVERAGE: Final = "average of the paper's four"
_SHOWN: Final = {
    "plain": "Base",
    "direct": "Direct prompt",
    "fixed": "Persona-judge-Base",
    "alternate": "Persona-judge",
}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A method beside its opponent, in one aspect."""

    opponent: str
    judge: str
    outcomes: Outcomes
    first_share: float | None
    """Of verdicts with a winner, how many went to the answer that stood first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One cell: a method on one pairing, of one run."""

    model: str
    prompt_set: str
    mode: str
    method: str
    pairing: Pairing
    num_draft_tokens: int | None
    headline: bool
    """Of the lambda that tables show: the paper's best one if it was run, else the first."""
    n: int
    seconds: Estimate
    seconds_per_token: float
    tokens: Estimate
    acceptance: Estimate | None
    cut: float
    """Share of the answers that reached the most tokens."""
    rewards: Mapping[str, Estimate]
    truncated: Mapping[str, int]
    """By reward model: answers that are longer than it reads."""
    verdicts: Mapping[str, Verdicts] = field(default_factory=dict)
    """By aspect."""

    @property
    def shown(self) -> str:
        """The method as in the paper's tables."""
        return _SHOWN.get(self.method, self.method)

    @property
    def label(self) -> str:
        """The method, and where its answers are from."""
        windows = "" if self.num_draft_tokens is None else f", λ={self.num_draft_tokens}"
        mode = "" if self.mode == "fixed" else f", {self.mode} mode"
        return f"{self.shown} ({self.model}, {self.prompt_set}{windows}{mode})"


def summaries(folder: str | Path) -> list[Summary]:
    """Return the summary of each cell of a run, in its order.

    Raises:
        DataFileError: no run, or files that are not those of an evaluation.
    """
    run = load_run(folder)
    try:
        return _summaries(run)
    except (KeyError, TypeError) as error:
        raise DataFileError(folder, f"records are not of this version ({error!r})") from None


def _summaries(run: Run) -> list[Summary]:
    scores, truncated = _scores(run)
    verdicts: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for record in read_records(run.folder / VERDICTS):
        verdicts[answer_key(record)[:3]].append(record)
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for answer in run.answers:
        cells[answer_key(answer)[:3]].append(answer)
    lambdas = run.settings["lambda"]
    best = NUM_DRAFT_TOKENS if NUM_DRAFT_TOKENS in lambdas else lambdas[0]
    found = []
    for (method, pairing, windows), answers in cells.items():
        keys = [answer_key(answer) for answer in answers]
        accepted = [a["acceptance_rate"] for a in answers if a["acceptance_rate"] is not None]
        tokens = sum(answer["tokens"] for answer in answers)
        found.append(
            Summary(
                model=run.settings["model"],
                prompt_set=run.settings["set"],
                mode=run.settings["mode"],
                method=method,
                pairing=run.pairings[pairing],
                num_draft_tokens=windows,
                headline=windows in (None, best),
                n=len(answers),
                seconds=mean([answer["seconds"] for answer in answers]),
                seconds_per_token=sum(a["seconds"] for a in answers) / max(tokens, 1),
                tokens=mean([answer["tokens"] for answer in answers]),
                acceptance=mean(accepted) if accepted else None,
                cut=sum(a["finish_reason"] == "length" for a in answers) / len(answers),
                rewards=_rewards([scores[key] for key in keys if key in scores]),
                truncated=_counted([truncated[key] for key in keys if key in truncated]),
                verdicts=_verdicts(verdicts[method, pairing, windows]),
            )
        )
    return found


def _scores(run: Run) -> tuple[dict[Key, dict[str, float]], dict[Key, list[str]]]:
    scores: dict[Key, dict[str, float]] = defaultdict(dict)
    truncated: dict[Key, list[str]] = defaultdict(list)
    for record in read_records(run.folder / SCORES):
        scores[answer_key(record)].update(record["scores"])
        if record["truncated"]:
            truncated[answer_key(record)].append(record["scorer"])
    return scores, truncated


def _rewards(scores: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    values: dict[str, list[float]] = defaultdict(list)
    for one in scores:
        for name, value in one.items():
            values[name].append(value)
        if all(name in one for name in PAPER_REWARDS):
            values[AVERAGE].append(sum(one[name] for name in PAPER_REWARDS) / len(PAPER_REWARDS))
    return {name: mean(found) for name, found in values.items()}


def _counted(names: Sequence[Sequence[str]]) -> dict[str, int]:
    flat = [name for some in names for name in some]
    return {name: flat.count(name) for name in dict.fromkeys(flat)}


def _verdicts(records: Sequence[dict[str, Any]]) -> dict[str, Verdicts]:
    by_aspect: dict[str, list[dict[str, Any]]] = defaultdict(list)
    # One opponent a table: the one that was asked about last.
    opponent = records[-1]["opponent"] if records else ""
    for record in records:
        if record["opponent"] == opponent:
            by_aspect[record["aspect"]].append(record)
    return {
        aspect: Verdicts(opponent, found[0]["judge"], outcomes(found), first_share(found))
        for aspect, found in by_aspect.items()
    }
