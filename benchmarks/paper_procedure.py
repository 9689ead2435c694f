"""Goal 3: dual decoding against the procedure that the paper publishes, taken literally.

No key-value cache: side A drafts four tokens, each with a forward pass over its whole text; side B
judges them with one pass over its own; the first token refused is drawn anew from what the judge
has more of; then the sides swap (Algorithm 1 of arXiv 2504.12663). Every pass computes the
distribution of every position and filters all of them, one position after the other. The second
variant filters the positions that are read only.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.question import Setup, ask
from benchmarks.results import Comparison, Figure, Result
from benchmarks.shapes import PREFERENCES, SAMPLING, engine, prompt, sampling, stock
from benchmarks.timing import answered, in_turn, seconds
from persona_judge_llm import PersonaJudge, Request

GOAL = (
    "At least 20 times the paper's published procedure at prompts of 32 tokens, 140 times at 512."
)
AT_LEAST = {32: 20.0, 512: 140.0}
NUM_DRAFT_TOKENS = 4
LITERAL = "paper's procedure"
SPARING = "paper's procedure, only the positions read are filtered"
DUAL = "dual"


def filtered(logits: Tensor) -> Tensor:
    """Return the distribution of one position, [vocab]: temperature, top-k, top-p, softmax."""
    scores = logits.float() / SAMPLING["temperature"]
    scores[scores < scores.topk(SAMPLING["top_k"]).values[-1]] = -torch.inf
    ranked, order = scores.sort(descending=True)
    mass = ranked.softmax(-1).cumsum(-1)
    too_much = mass.roll(1) > SAMPLING["top_p"]
    too_much[0] = False
    scores[order[too_much]] = -torch.inf
    probs: Tensor = scores.softmax(-1)
    return probs


def distributions(model: PreTrainedModel, text: Tensor, read: int, *, every: bool) -> Tensor:
    """Return the distributions behind the last `read` positions, from a pass over all of them."""
    logits: Tensor = model(text[None], use_cache=False).logits[0]
    first = 0 if every else len(text) - read
    return torch.stack([filtered(logits[i]) for i in range(first, len(text))])[-read:]


@torch.inference_mode()
def window(model: PreTrainedModel, draft: Tensor, judge: Tensor, *, every: bool) -> Tensor:
    """Return the tokens of one window: those drafted and accepted, and the judge's own."""
    drafted, draft_probs = draft, []
    for _ in range(NUM_DRAFT_TOKENS):
        probs = distributions(model, drafted, 1, every=every)[0]
        draft_probs.append(probs)
        drafted = torch.cat([drafted, probs.multinomial(1)])
    tokens = drafted[len(draft) :]
    judge_probs = distributions(
        model, torch.cat([judge, tokens]), NUM_DRAFT_TOKENS + 1, every=every
    )
    for place, (token, probs) in enumerate(zip(tokens, draft_probs, strict=True)):
        if torch.rand(()) * probs[token] >= judge_probs[place, token]:
            more = (judge_probs[place] - probs).clamp(min=0)
            return torch.cat([tokens[:place], more.multinomial(1)])
    return torch.cat([tokens, judge_probs[-1].multinomial(1)])


def procedure(
    model: PreTrainedModel, sides: tuple[Tensor, Tensor], windows: int, *, every: bool
) -> float:
    """Decode some windows in turns; return the tokens a second."""
    draft, judge = sides
    made = 0

    def decode() -> None:
        nonlocal draft, judge, made
        for _ in range(windows):
            tokens = window(model, draft, judge, every=every)
            made += len(tokens)
            draft, judge = torch.cat([judge, tokens]), torch.cat([draft, tokens])

    took = seconds(decode)
    return made / took


def measure(setup: Setup) -> Result:
    """Time both variants and the engine at the two shorter prompts."""
    result = Result("Against the paper's published procedure", GOAL)
    plain = stock(setup.folder, setup.device)
    judge = engine(setup.folder, setup.device, setup.best)
    for length in setup.shape.prompts[:2]:
        text = prompt(judge, length)
        plan = judge.plan(text, preferences=PREFERENCES)
        a = torch.tensor(plan.prompt_ids_a, device=setup.device)
        b = torch.tensor(plan.prompt_ids_b, device=setup.device)
        params = sampling(setup.shape.new_tokens)
        request = Request(text, preferences=PREFERENCES, params=params)
        windows = 4 if length < 100 else 1
        methods: dict[str, Callable[[], float]] = {
            LITERAL: partial(procedure, plain, (a, b), windows, every=True),
            SPARING: partial(procedure, plain, (a, b), windows, every=False),
            DUAL: partial(_dual, judge, request),
        }
        setting = f"prompt {length}"
        found = in_turn(methods, 2, setting)
        result.figures += [Figure.of(m, setting, "tokens/s", v) for m, v in found.items()]
        dual = (DUAL, found[DUAL])
        goal = setup.goal(AT_LEAST.get(length, 0.0))
        result.comparisons += [
            Comparison.of(dual, (LITERAL, found[LITERAL]), setting, goal),
            Comparison.of(dual, (SPARING, found[SPARING]), setting),
        ]
    return result


def _dual(judge: PersonaJudge, request: Request) -> float:
    return answered(judge, request).rate


if __name__ == "__main__":
    ask(measure)
