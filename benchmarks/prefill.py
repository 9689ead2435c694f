"""Goal 4: what do two sides cost before the first token, where they share a long context?

With `placement="last"` both sides' prompts begin alike and differ in their last tokens only. The
second part is a chat: its second turn begins with the first, which the prefix cache still knows.
"""

from collections.abc import Callable
from functools import partial
from itertools import takewhile

from benchmarks.question import Setup, ask
from benchmarks.results import Check, Comparison, Figure, Result
from benchmarks.shapes import PREFERENCES, engine, prompt, sampling, stock, words
from benchmarks.timing import answered, generated, in_turn
from persona_judge_llm import PersonaJudge, Request

GOAL = (
    "A shared context of 2048 tokens: at most 1.08 times one stream's prefill. The second turn of "
    "a chat computes its new tokens only."
)
AT_MOST = 1.08
PLAIN = "generate, as loaded, one prompt"
ONE = "engine, one side"
SHARED = "engine, two sides, preferences last"
SEPARATE = "engine, two sides, preferences first"
CACHE_BYTES = 1 << 30
SLACK = 4
"""Tokens that may be computed again: the last one of each side's answer was never fed."""


def measure(setup: Setup) -> Result:
    """Time the first tokens, then a chat's second turn."""
    result = Result("Prefill of a shared context, and the second turn of a chat", GOAL)
    plain = stock(setup.folder, setup.device)
    judge = engine(setup.folder, setup.device)
    length = setup.shape.prompts[-1]
    text = prompt(judge, length)
    params = sampling(1)
    ids = judge.plan(text, preferences=PREFERENCES).prompt_ids_a
    both = Request(text, preferences=PREFERENCES, params=params, placement="last")
    single = Request(text, preferences=PREFERENCES[:1], params=params, placement="last")
    separate = Request(text, preferences=PREFERENCES, params=params, placement="system")
    methods: dict[str, Callable[[], float]] = {
        PLAIN: lambda: generated(plain, ids, 1).first,
        ONE: partial(_first, judge, single),
        SHARED: partial(_first, judge, both),
        SEPARATE: partial(_first, judge, separate),
    }
    setting = f"prompt {length}"
    found = in_turn(methods, min(setup.rounds, 3), setting)
    result.figures += [Figure.of(m, setting, "s", v) for m, v in found.items()]
    one = (ONE, found[ONE])
    result.comparisons += [
        Comparison.of((SHARED, found[SHARED]), one, setting, setup.goal(AT_MOST), at_most=True),
        Comparison.of((SEPARATE, found[SEPARATE]), one, setting),
        Comparison.of((SHARED, found[SHARED]), (PLAIN, found[PLAIN]), setting),
    ]
    _second_turn(setup, result)
    return result


def _first(judge: PersonaJudge, request: Request) -> float:
    return answered(judge, request).first


def _second_turn(setup: Setup, result: Result) -> None:
    length = setup.shape.prompts[1]
    new = setup.shape.new_tokens
    took: dict[str, list[float]] = {"no cache": [], "prefix cache": []}
    for name, size in (("no cache", 0), ("prefix cache", CACHE_BYTES)):
        judge = engine(setup.folder, setup.device, prefix_cache_bytes=size)
        for chat in range(2):
            opening = {"role": "user", "content": prompt(judge, length, first=200 * chat)}
            first = judge.generate([opening], preferences=PREFERENCES, params=sampling(new))
            turn = [
                opening,
                {"role": "assistant", "content": first.text},
                {"role": "user", "content": words(20, first=100)},
            ]
            request = Request(turn, preferences=PREFERENCES, params=sampling(1))
            before = judge.metrics.prompt_tokens_computed
            took[name].append(answered(judge, request).first)
            computed = judge.metrics.prompt_tokens_computed - before
        if size:
            fresh = _fresh(judge, opening, first.token_ids, request)
            result.checks.append(
                Check(
                    "a chat's second turn computes its new tokens only",
                    0 < computed <= fresh + SLACK,
                    f"{computed} computed, {fresh} new on both sides together",
                )
            )
    setting = f"second turn after {length}"
    result.figures += [Figure.of(m, setting, "s", v) for m, v in took.items()]


def _fresh(
    judge: PersonaJudge, opening: dict[str, str], answer: tuple[int, ...], request: Request
) -> int:
    """Count what of both sides' prompts the first turn did not hold."""
    before = judge.plan([opening], preferences=PREFERENCES)
    after = judge.plan(request)
    fresh = 0
    for old, ids in (
        (before.prompt_ids_a, after.prompt_ids_a),
        (before.prompt_ids_b or (), after.prompt_ids_b or ()),
    ):
        pairs = zip((*old, *answer), ids, strict=False)
        fresh += len(ids) - sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return fresh


if __name__ == "__main__":
    ask(measure)
