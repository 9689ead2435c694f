"""How the loops compare on the bundled model: tokens a second, as ratios within this run.

Prints medians over interleaved rounds, all relative to transformers' own `generate` of one
stream with sampling. The bundled model is tiny, so that what is measured here is mostly the cost
of everything around the matrix products; a large model hides it.
"""

import statistics
import time
from collections.abc import Callable

import torch

from persona_judge_llm import PersonaJudge, Request, SamplingParams

TOKENS = 96
ROUNDS = 7
QUESTION = "How do I keep a small garden alive in a dry summer?"
PREFERENCES = ["Use vivid images", "Please be careful and precise"]


def methods() -> dict[str, Callable[[], int]]:
    """Return what is timed; each returns the number of tokens it made."""
    engine = PersonaJudge.bundled()
    reference = PersonaJudge(engine.model, engine.tokenizer, loop="reference")
    eos = engine.tokenizer.eos_token_id
    # No end of sequence, so that everybody makes the same number of tokens.
    params = SamplingParams(max_new_tokens=TOKENS, logit_bias={eos: -100.0}, temperature=0.7)
    plain_ids = torch.tensor([engine.plan(QUESTION).prompt_ids_a])

    def generate() -> int:
        out = engine.model.generate(
            plain_ids, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=True, temperature=0.7
        )
        return int(out.shape[1] - plain_ids.shape[1])

    def one(judge: PersonaJudge, **arguments: object) -> Callable[[], int]:
        request = Request(QUESTION, params=params, **arguments)  # type: ignore[arg-type]
        return lambda: len(judge.generate(request).token_ids)

    batch = [Request(QUESTION, params=params, preferences=PREFERENCES)] * 16
    return {
        "generate (transformers), one stream": generate,
        "plain (no user)": one(engine, persona=False),
        "dual loop, A and B": one(engine, preferences=PREFERENCES),
        "reference loop (Algorithm 1 as printed)": one(reference, preferences=PREFERENCES),
        "dual loop, batch of 16 users": lambda: sum(
            len(g.token_ids) for g in engine.generate_batch(batch)
        ),
    }


def main() -> None:
    """Time all methods in turn, several rounds; print medians and ratios."""
    torch.set_num_threads(1)
    timed = methods()
    for run in timed.values():
        run()
    speeds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(ROUNDS):
        for name, run in timed.items():
            start = time.perf_counter()
            tokens = run()
            speeds[name].append(tokens / (time.perf_counter() - start))
    base = statistics.median(speeds["generate (transformers), one stream"])
    print(f"{TOKENS} tokens, {ROUNDS} rounds, one thread, torch {torch.__version__}")
    print(f"{'':42}{'tokens/s':>10}{'ratio':>8}{'spread':>16}")
    for name, values in speeds.items():
        median = statistics.median(values)
        spread = f"{min(values) / base:.2f} - {max(values) / base:.2f}"
        print(f"{name:42}{median:10.0f}{median / base:8.2f}{spread:>16}")


if __name__ == "__main__":
    main()
