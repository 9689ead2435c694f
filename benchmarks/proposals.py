"""Goal 2: what do proposals of n-grams gain where answers copy from the prompt?

The rate at which they copy is imposed (see `copying`); the model's passes are run in full. "Hit"
is the probability that a token proposed from the passage is the one drawn.
"""

from collections.abc import Callable
from functools import partial

from benchmarks.copying import copies, followers, imposed
from benchmarks.question import Setup, ask
from benchmarks.results import Comparison, Figure, Result
from benchmarks.shapes import PREFERENCES, engine, model_of, prompt, sampling, stock
from benchmarks.timing import Speed, answered, generated, in_turn
from persona_judge_llm import PersonaJudge, Request

GOAL = (
    "At hit rate 0.8 at least 4.0 times stock `generate` at prompts of 32 tokens, 4.4 at 512, 5 at "
    "2048, and ahead of stock `generate` with its own prompt lookup; at hit rate 0 no loss."
)
HITS = (0.0, 0.5, 0.8, 0.95)
AT_HIT = {32: 4.0, 512: 4.4, 2048: 5.0}
LOOKUPS = {0.0: (10,), 0.5: (10,), 0.8: (4, 10), 0.95: (10,)}
NO_LOSS = 0.97
"""Within the noise of a run."""
STOCK = "generate"
OFF = "dual, no proposals"
AUTO = "dual, proposals"


def measure(setup: Setup) -> Result:
    """Time stock `generate`, its prompt lookup, and the engine with and without proposals."""
    result = Result("Proposals on answers that copy", GOAL)
    plain = stock(setup.folder, setup.device)
    off = engine(setup.folder, setup.device, setup.best)
    auto = engine(setup.folder, setup.device, setup.best, proposals="auto")
    new = 2 * setup.shape.new_tokens
    for length in setup.shape.prompts:
        text = prompt(off, length)
        ids = off.plan(text, preferences=PREFERENCES).prompt_ids_a
        passage = off.tokenizer(text, add_special_tokens=False)["input_ids"]
        request = Request(text, preferences=PREFERENCES, params=sampling(new))
        hits = HITS if length < 1000 else (0.0, 0.8)
        for hit in hits:
            table = followers(passage, hit, setup.shape.vocab).to(setup.device)
            methods: dict[str, Callable[[], Speed]] = {
                STOCK: partial(generated, plain, ids, new),
                AUTO: partial(answered, auto, request),
            }
            for number in LOOKUPS[hit] if length < 1000 else LOOKUPS[hit][-1:]:
                methods[f"generate, prompt lookup of {number}"] = partial(
                    generated, plain, ids, new, prompt_lookup_num_tokens=number
                )
            if not hit:
                methods[OFF] = partial(answered, off, request)
            setting = f"prompt {length}, hit {imposed(passage, hit):.2f}"
            rounds = 2 if length > 1000 else min(setup.rounds, 3)
            used = _use(auto)
            with copies(plain, table), copies(model_of(off), table), copies(model_of(auto), table):
                found = in_turn(methods, rounds, setting)
            result.notes.append(f"{setting}: {_said(used, _use(auto))}")
            rates = {name: [speed.rate for speed in speeds] for name, speeds in found.items()}
            result.figures += [Figure.of(m, setting, "tokens/s", v) for m, v in rates.items()]
            result.comparisons += _comparisons(setup, rates, setting, length, hit)
    return result


def _comparisons(
    setup: Setup, rates: dict[str, list[float]], setting: str, length: int, hit: float
) -> list[Comparison]:
    stock_rate = (STOCK, rates[STOCK])
    ours = (AUTO, rates[AUTO])
    goal = setup.goal(AT_HIT.get(length, 0.0)) if hit == 0.8 else None
    found = [Comparison.of(ours, stock_rate, setting, goal)]
    if OFF in rates:
        no_loss = setup.goal(NO_LOSS)
        found.append(Comparison.of(ours, (OFF, rates[OFF]), setting, no_loss))
    for name, values in rates.items():
        if "lookup" in name:
            found.append(Comparison.of((name, values), stock_rate, setting))
            ahead = setup.goal(1.0) if hit == 0.8 else None
            found.append(Comparison.of(ours, (name, values), setting, ahead))
    return found


def _use(judge: PersonaJudge) -> tuple[int, int]:
    return judge.metrics.proposed_tokens, judge.metrics.proposed_tokens_used


def _said(before: tuple[int, int], after: tuple[int, int]) -> str:
    proposed, used = after[0] - before[0], after[1] - before[1]
    share = f" ({used / proposed:.0%})" if proposed else ""
    return f"{proposed} tokens were proposed, {used} used{share}"


if __name__ == "__main__":
    ask(measure)
