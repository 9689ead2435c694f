"""What the decoders work on and what they emit: token ids only, no text and no preferences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from persona_judge_llm.decoding.constraining import Compiled
from persona_judge_llm.errors import PersonaJudgeError
from persona_judge_llm.rules import Blend
from persona_judge_llm.sampling import RowParams, SamplingParams
from persona_judge_llm.trace import Outcome, Side

NOT_SAMPLEABLE = (
    "the model returned a distribution that cannot be sampled from (NaN); load it in another dtype"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeTask:
    """One text to be decoded."""

    prompt_a: tuple[int, ...]
    prompt_b: tuple[int, ...] | None
    """None: plain sampling from side A's prompt, one row."""
    params: SamplingParams
    """Resolved: no None but in `seed` and `logit_bias`."""
    seed: int
    num_draft_tokens: int
    turns: tuple[int, int]
    """Windows judged by A and by B in each round; (0, 1) for `rule="fixed"`."""
    prompts_more: tuple[tuple[int, ...], ...] = ()
    """Of further preferences, for the rule that has a row for each."""
    prompt_plain: tuple[int, ...] | None = None
    """Without any preference, for rules that compare with it."""
    blend: Blend | None = None
    """How the rows' distributions become one; None: one side drafts, the other judges."""
    constraint: Compiled | None = None
    """What the text is held to."""

    @property
    def prompts(self) -> tuple[tuple[int, ...], ...]:
        """Side A's prompt, side B's, further ones and the plain one, those that there are."""
        prompts = (self.prompt_a, self.prompt_b, *self.prompts_more, self.prompt_plain)
        return tuple(prompt for prompt in prompts if prompt is not None)


@dataclass(frozen=True, slots=True)
class DecodedToken:
    """One token as the decoder drew it."""

    token_id: int
    outcome: Outcome
    judged_by: Side | None
    draft_prob: float | None
    judge_prob: float
    top_probs: tuple[tuple[int, float], ...] = ()


class Decoding(Protocol):
    """Tasks being decoded together; they come and go between steps."""

    def join(self, task: DecodeTask) -> int:
        """Take one more task in; return its index, which is never used again for another."""
        ...

    def step(self) -> list[tuple[int, list[DecodedToken] | PersonaJudgeError]]:
        """Run one step; return the new tokens of each task that has any, or why it cannot go on.

        A step is at most one forward pass for all tasks that are under way, and a bounded piece
        of one newcomer's prompt. A task that failed is taken out by `finish` like any other.
        """
        ...

    def finish(self, index: int) -> None:
        """Take a task out; its rows are freed before the next forward pass."""
        ...

    def settle(self) -> None:
        """Free the rows of the tasks that were taken out; the next step would do so as well."""
        ...

    def passes(self, index: int) -> int:
        """Return how many forward passes a task took part in, until it is taken out."""
        ...


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Return the token ids as [rows, longest], zeros behind the shorter ones."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)


def tokens_seen(
    prompts: Sequence[Sequence[int]], vocab_size: int, params: RowParams, device: torch.device
) -> torch.Tensor | None:
    """Mark each row's prompt tokens, [rows, vocab]; None where no row has a penalty."""
    if params.repetition_penalty is None:
        return None
    seen = torch.zeros(len(prompts), vocab_size, dtype=torch.bool, device=device)
    mark_seen(seen, prompts)
    return seen


def mark_seen(seen: torch.Tensor, texts: Sequence[Sequence[int]]) -> None:
    """Mark the tokens of each row's text in `seen`, [rows, vocab], in place."""
    rows = [row for row, text in enumerate(texts) for _ in text]
    tokens = [token for text in texts for token in text]
    seen[torch.tensor(rows, dtype=torch.long), torch.tensor(tokens, dtype=torch.long)] = True
