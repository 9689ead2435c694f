"""Verdicts on the answers in a folder: each method against an opponent, in both orders."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from persona_judge_llm.errors import EvaluationError, InvalidParameterError, RunMismatchError
from persona_judge_llm.evaluation.experiments import KEY, Run, load_run
from persona_judge_llm.evaluation.judge_endpoint import Comparison, Reply
from persona_judge_llm.evaluation.progress import Progress, silent
from persona_judge_llm.evaluation.records import Records
from persona_judge_llm.evaluation.statistics import Outcomes

VERDICTS: Final = "verdicts.jsonl"
ORDERS: Final = ("method first", "opponent first")
MAX_CONCURRENCY: Final = 64
_WINNERS: Final = {
    ("method first", "first"): "method",
    ("method first", "second"): "opponent",
    ("opponent first", "first"): "opponent",
    ("opponent first", "second"): "method",
}
_VALUES: Final = {"method": 1, "tie": 0, "opponent": -1}

Compare = Callable[[Comparison], Reply]


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing to ask the judge: an answer, its opponent's, an aspect and an order."""

    record: dict[str, Any]
    comparison: Comparison

    @property
    def key(self) -> tuple[Any, ...]:
        """What its verdict is known by."""
        return verdict_key(self.record)


def verdict_key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a verdict is known by."""
    return tuple(record[name] for name in (*KEY, "opponent", "aspect", "order"))


def matters(run: Run, opponent: str, methods: Sequence[str] | None = None) -> Iterator[Matter]:
    """Yield everything to ask: each aspect of each pairing, in both orders.

    Args:
        run: answers.
        opponent: the method that all others are compared with.
        methods: which others; None for all.

    Raises:
        InvalidParameterError: a method that the run does not have.
    """
    present = dict.fromkeys(answer["method"] for answer in run.answers)
    for name in (opponent, *(methods or ())):
        if name not in present:
            raise InvalidParameterError("method", name, f"one of this run's {(*present,)}")
    # Its first lambda, where the opponent has several.
    others: dict[tuple[str, str], str] = {}
    for answer in run.answers:
        if answer["method"] == opponent:
            others.setdefault((answer["pairing"], answer["prompt_id"]), answer["text"])
    for answer in run.answers:
        method, other = answer["method"], others.get((answer["pairing"], answer["prompt_id"]))
        if method == opponent or other is None or (methods and method not in methods):
            continue
        aspects = {d.measures: d for d in run.pairings[answer["pairing"]].dimensions}
        for name, dimension in aspects.items():
            for order in ORDERS:
                pair = (answer["text"], other)
                first, second = pair if order == ORDERS[0] else pair[::-1]
                named = {"opponent": opponent, "aspect": name, "order": order}
                yield Matter(
                    {**{key: answer[key] for key in KEY}, **named},
                    Comparison(answer["prompt"], first, second, name, dimension.aspect),
                )


def judge_run(
    folder: str | Path,
    compare: Compare,
    judge: str,
    *,
    opponent: str = "direct",
    methods: Sequence[str] | None = None,
    concurrency: int = 4,
    progress: Progress = silent,
) -> int:
    """Ask the judge what it was not asked yet; return how many verdicts were written.

    Args:
        folder: what `eval generate` wrote to.
        compare: asks the judge; called from several threads.
        judge: its name, for the records.
        opponent: see `matters`.
        methods: see `matters`.
        concurrency: questions under way at once, 1 to 64.
        progress: is told of every verdict.

    Raises:
        InvalidParameterError: a method that the run does not have; no such concurrency.
        RunMismatchError: the folder holds another judge's verdicts.
        JudgeEndpointError: the judge failed; verdicts until then are kept.
    """
    if not 1 <= concurrency <= MAX_CONCURRENCY:
        raise InvalidParameterError("concurrency", concurrency, f"from 1 to {MAX_CONCURRENCY}")
    run = load_run(folder)
    wanted = list(matters(run, opponent, methods))
    if not wanted:
        raise EvaluationError(f"the run has no method to compare with {opponent!r}")
    with Records(run.folder / VERDICTS) as records:
        if any(record["judge"] != judge for record in records.found):
            raise RunMismatchError(folder, ["judge"])
        present = {verdict_key(record) for record in records.found}
        missing = [matter for matter in wanted if matter.key not in present]
        done = len(wanted) - len(missing)
        progress(done, len(wanted), "")
        for matter, reply in _asked(missing, compare, concurrency):
            choice = reply.choice
            winner = _WINNERS.get((matter.record["order"], choice), choice)
            records.append(
                {**matter.record, "judge": judge, "reply": reply.text[:200], "winner": winner}
            )
            done += 1
            progress(done, len(wanted), f"{matter.record['method']}, {matter.record['aspect']}")
    return len(missing)


def outcomes(verdicts: Sequence[Mapping[str, Any]]) -> Outcomes:
    """Return wins, ties and losses of questions, each from its verdicts in both orders.

    A question is won that is won in both orders, or in one with a tie in the other. One win
    each is a tie. Without two readable verdicts it is unreadable.

    Args:
        verdicts: of one method, opponent and aspect.
    """
    by_question: dict[tuple[Any, ...], list[str]] = {}
    for verdict in verdicts:
        key = tuple(verdict[name] for name in KEY)
        by_question.setdefault(key, []).append(verdict["winner"])
    counts = {"wins": 0, "ties": 0, "losses": 0, "unreadable": 0}
    for winners in by_question.values():
        readable = [_VALUES[winner] for winner in winners if winner in _VALUES]
        if len(readable) < len(ORDERS):
            counts["unreadable"] += 1
            continue
        total = sum(readable)
        counts["wins" if total > 0 else "losses" if total < 0 else "ties"] += 1
    return Outcomes(**counts)


def first_share(verdicts: Sequence[Mapping[str, Any]]) -> float | None:
    """Return how often the first answer won, of verdicts that name a winner: 0.5 is no bias."""
    firsts = [
        (verdict["winner"] == "method") == (verdict["order"] == ORDERS[0])
        for verdict in verdicts
        if verdict["winner"] in ("method", "opponent")
    ]
    return sum(firsts) / len(firsts) if firsts else None


def _asked(
    matters: Sequence[Matter], compare: Compare, concurrency: int
) -> Iterator[tuple[Matter, Reply]]:
    """Yield replies as they come; after a failure those under way, and then the failure."""
    waiting = iter(matters)
    failure: BaseException | None = None
    with ThreadPoolExecutor(concurrency, thread_name_prefix="judge") as pool:
        under_way: dict[Future[Reply], Matter] = {
            pool.submit(compare, matter.comparison): matter
            for matter in islice(waiting, concurrency)
        }
        while under_way:
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                matter = under_way.pop(future)
                if error := future.exception():
                    failure = failure or error
                    continue
                following = next(waiting, None) if failure is None else None
                if following is not None:
                    under_way[pool.submit(compare, following.comparison)] = following
                yield matter, future.result()
    if failure is not None:
        raise failure
