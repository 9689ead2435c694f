"""Goal 5: sixteen users at once, through threads, asyncio and `generate_batch`.

Their prompts and answers differ in length, and the calls come one shortly after the other, so
that they join and leave the running batch at different steps. Answers are greedy. In float32 each
must be the one that the call gets alone; bfloat16 rounds sums of another order to another number,
so there the share of equal tokens is told.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.question import Setup, ask
from benchmarks.results import Check, Comparison, Figure, Result
from benchmarks.shapes import PREFERENCES, QUICK, engine, prompt, sampling, save
from benchmarks.timing import in_turn, seconds
from persona_judge_llm import Generation, PersonaJudge, Request

GOAL = (
    "Sixteen users at once: at least 5 times the tokens a second of the same calls one after "
    "another, each answer identical (greedy) to its call made alone."
)
AT_LEAST = 5.0
USERS = 16
CROWDS = (1, 2, 4, 8, 16)
BETWEEN = 0.01
"""Seconds from one call to the next."""
ALONE = "one after another"


def requests(judge: PersonaJudge, longest: int, users: int = USERS) -> list[Request]:
    """Return the users' calls, all different."""
    return [
        Request(
            prompt(judge, 28 + 7 * user, first=50 * user),
            preferences=PREFERENCES if user % 2 else PREFERENCES[::-1],
            params=sampling(longest // 2 + (longest * user) // (2 * USERS) + 1, temperature=0.0),
        )
        for user in range(users)
    ]


def in_threads(judge: PersonaJudge, calls: Sequence[Request]) -> list[Generation]:
    """Make each call in a thread of its own."""

    def call(number: int) -> Generation:
        time.sleep(BETWEEN * number)
        return judge.generate(calls[number])

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, range(len(calls))))


def in_tasks(judge: PersonaJudge, calls: Sequence[Request]) -> list[Generation]:
    """Make each call in a task of one event loop."""

    async def call(number: int) -> Generation:
        await asyncio.sleep(BETWEEN * number)
        return await judge.agenerate(calls[number])

    async def everybody() -> list[Generation]:
        return await asyncio.gather(*(call(number) for number in range(len(calls))))

    return asyncio.run(everybody())


def doors(
    judge: PersonaJudge, calls: Sequence[Request]
) -> dict[str, Callable[[], list[Generation]]]:
    """Return the ways to make the calls."""
    return {
        ALONE: lambda: [judge.generate(call) for call in calls],
        "threads": partial(in_threads, judge, calls),
        "asyncio": partial(in_tasks, judge, calls),
        "generate_batch": partial(judge.generate_batch, calls),
    }


def measure(setup: Setup) -> Result:
    """Check the answers on a small float32 model; time the doors, and crowds of several sizes."""
    result = Result("Many users at once", GOAL)
    with tempfile.TemporaryDirectory() as folder:
        save(QUICK, Path(folder))
        small = engine(Path(folder), setup.device)
        answers = {d: _texts(run()) for d, run in doors(small, requests(small, 24)).items()}
    for door in list(answers)[1:]:
        equal = sum(a == b for a, b in zip(answers[ALONE], answers[door], strict=True))
        what = f"{door}: each answer is the one its call gets alone (float32)"
        result.checks.append(Check(what, equal == USERS, f"{equal} of {USERS}"))
    judge = engine(setup.folder, setup.device, setup.best)
    calls = requests(judge, setup.shape.new_tokens)
    found = in_turn(
        {d: partial(_timed, run) for d, run in doors(judge, calls).items()},
        min(setup.rounds, 2),
        f"{USERS} users",
    )
    rates = {d: [rate for rate, _ in values] for d, values in found.items()}
    setting = f"{USERS} users"
    for door, values in rates.items():
        result.figures.append(Figure.of(door, setting, "tokens/s", values))
        if door != ALONE:
            share = _share(found[ALONE][0][1], found[door][0][1])
            result.figures.append(
                Figure.of(f"{door}: tokens as alone", setting, "%", [100 * share])
            )
            goal = setup.goal(AT_LEAST)
            result.comparisons.append(
                Comparison.of((door, values), (ALONE, rates[ALONE]), setting, goal)
            )
    _crowds(setup, judge, result)
    return result


def _crowds(setup: Setup, judge: PersonaJudge, result: Result) -> None:
    """Time the same call made by more and more users at once."""
    text = prompt(judge, setup.shape.prompts[0])
    call = Request(text, preferences=PREFERENCES, params=sampling(setup.shape.new_tokens))
    runs = {n: partial(judge.generate_batch, [call] * n) for n in CROWDS}
    timed = {str(n): partial(seconds, run) for n, run in runs.items()}
    for users, values in in_turn(timed, min(setup.rounds, 3), "crowds").items():
        result.figures.append(Figure.of("generate_batch", f"crowd of {users}", "s", values))


def _timed(run: Callable[[], list[Generation]]) -> tuple[float, list[Generation]]:
    start = time.perf_counter()
    answers = run()
    tokens = sum(len(answer.token_ids) for answer in answers)
    return tokens / (time.perf_counter() - start), answers


def _texts(answers: list[Generation]) -> list[tuple[int, ...]]:
    return [answer.token_ids for answer in answers]


def _share(alone: list[Generation], together: list[Generation]) -> float:
    pairs = zip(_texts(alone), _texts(together), strict=True)
    equal = [a == b for one, other in pairs for a, b in zip(one, other, strict=True)]
    return sum(equal) / len(equal)


if __name__ == "__main__":
    ask(measure)
