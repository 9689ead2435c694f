"""Goal 1: what does a user's taste cost, against plain sampling of one stream?

Dual decoding keeps two rows, one for each side of the split, and draws one token from them a step.
It is compared with transformers' `generate` of ONE row, on the model as `from_pretrained` gives it
and on the very weights that the engine uses. Rates are those of decoding: the prompt is not in it.
"""

from collections.abc import Callable
from functools import partial

from benchmarks.question import Setup, ask
from benchmarks.results import Comparison, Figure, Result
from benchmarks.shapes import PREFERENCES, engine, model_of, prompt, sampling, stock
from benchmarks.timing import Speed, answered, generated, in_turn
from persona_judge_llm import Request

GOAL = (
    "Dual decoding of one user: at least 2.0 times stock `generate` at prompts of 32 and 512 "
    "tokens, 2.5 at 2048; against `generate` on the same weights 1.05, 1.15 and 1.5; int8 1.1."
)
STOCK = "generate, as loaded"
AGAINST_STOCK = {32: 2.0, 512: 2.0, 2048: 2.5}
AGAINST_SAME = {32: 1.05, 512: 1.15, 2048: 1.5}
AGAINST_SAME_INT8 = 1.1


def measure(setup: Setup) -> Result:
    """Time all methods at all lengths of prompts."""
    result = Result("One user against one plain stream", GOAL)
    plain = stock(setup.folder, setup.device)
    judges = {w: engine(setup.folder, setup.device, w) for w in setup.weights}
    new = setup.shape.new_tokens
    for length in setup.shape.prompts:
        any_judge = next(iter(judges.values()))
        text = prompt(any_judge, length)
        ids = any_judge.plan(text, preferences=PREFERENCES).prompt_ids_a
        request = Request(text, preferences=PREFERENCES, params=sampling(new))
        methods: dict[str, Callable[[], Speed]] = {STOCK: partial(generated, plain, ids, new)}
        for weights, judge in judges.items():
            if weights != "plain":
                methods[f"generate, {weights}"] = partial(generated, model_of(judge), ids, new)
            methods[f"dual, {weights}"] = partial(answered, judge, request)
        if length == setup.shape.prompts[-1]:
            last = Request(text, preferences=PREFERENCES, params=sampling(new), placement="last")
            methods[f"dual, {setup.best}, preferences last"] = partial(
                answered, judges[setup.best], last
            )
        if length == setup.shape.prompts[0]:
            in_turn(methods, 1, "warming up")
        rounds = min(setup.rounds, 3) if length > 1000 else setup.rounds
        found = in_turn(methods, rounds, f"prompt of {length}")
        rates = {name: [speed.rate for speed in speeds] for name, speeds in found.items()}
        setting = f"prompt {length}"
        result.figures += [Figure.of(m, setting, "tokens/s", v) for m, v in rates.items()]
        result.comparisons += list(_comparisons(setup, rates, length))
    return result


def _comparisons(setup: Setup, rates: dict[str, list[float]], length: int) -> list[Comparison]:
    setting = f"prompt {length}"
    base = (STOCK, rates[STOCK])
    found = []
    for name, values in rates.items():
        if name == STOCK:
            continue
        judged = name == f"dual, {setup.best}"
        goal = setup.goal(AGAINST_STOCK.get(length, 0.0)) if judged else None
        found.append(Comparison.of((name, values), base, setting, goal))
    for weights in setup.weights:
        same = f"generate, {weights}"
        if same in rates:
            goal = AGAINST_SAME_INT8 if weights == "int8" else AGAINST_SAME.get(length, 0.0)
            dual = f"dual, {weights}"
            found.append(
                Comparison.of((dual, rates[dual]), (same, rates[same]), setting, setup.goal(goal))
            )
    return found


if __name__ == "__main__":
    ask(measure)
