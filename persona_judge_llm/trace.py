"""What a call returns: the text, and what happened to each token of it.

accepted token: drafted by one side and kept by the judge.
recovered token: drawn by the judge where it refused the draft's token; ends the window.
bonus token: drawn by the judge after all of a window's drafted tokens were accepted.
sampled token: drawn without a judge (no user, or one prefix only).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from persona_judge_llm.token_page import page

if TYPE_CHECKING:
    from persona_judge_llm.splitting import Split

Outcome = Literal["accepted", "recovered", "bonus", "sampled"]
Side = Literal["A", "B"]
FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class TokenTrace:
    """What happened to one token."""

    token_id: int
    text: str
    """The text that this token completed; may be empty within a multi-byte character."""
    outcome: Outcome
    drafted_by: Side | None
    """The side that drafts in this token's window; None in a sampled token."""
    judged_by: Side | None
    draft_prob: float | None
    """Probability of the token under the draft's distribution, where there was one."""
    judge_prob: float
    """Probability of the token under the judge's distribution, from which it was drawn; 1 where a
    constraint put it in the place of one that left no room for the end."""
    top_probs: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens of that distribution, as many as were asked for."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call cost, in tokens and forward passes."""

    prompt_tokens: int
    """Tokens of the conversation alone, without any preference."""
    completion_tokens: int
    prompt_tokens_a: int
    """Tokens of side A's whole prompt; equal to `prompt_tokens` in a plain call."""
    prompt_tokens_b: int
    forward_passes: int

    @property
    def total_tokens(self) -> int:
        """Conversation and completion, each counted once."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to one request."""

    text: str = field(repr=False)
    token_ids: tuple[int, ...] = field(repr=False)
    """What was generated, without the end-of-sequence token."""
    finish_reason: FinishReason
    stop_sequence: str | None
    """The stop string that ended the text, if one did."""
    usage: Usage
    trace: tuple[TokenTrace, ...] = field(repr=False)
    split: "Split" = field(repr=False)
    profile_version: int | None
    """Version of the profile that was used; None where no profile was read."""
    seed: int
    """Repeats this text when passed as `SamplingParams(seed=...)` with the same request."""
    fingerprint: str
    """Identifies user and preferences without telling them; "neutral" in a plain call."""
    user_id: str | None = field(default=None, repr=False)
    """Whose stored profile was read; None where none was."""

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted tokens over judged draft tokens; None where nothing was judged."""
        judged = sum(t.outcome in ("accepted", "recovered") for t in self.trace)
        if not judged:
            return None
        return sum(t.outcome == "accepted" for t in self.trace) / judged

    def to_html(self) -> str:
        """Return a page that shows the text, each token in its outcome's colour.

        It holds the answer and no preference, user or prompt.
        """
        rate = self.acceptance_rate
        usage = self.usage
        figures = {
            "acceptance rate": "nothing was judged" if rate is None else f"{rate:.0%}",
            "tokens": f"{usage.completion_tokens} in {usage.forward_passes} forward passes",
            "seed": str(self.seed),
            "ended by": self.finish_reason,
        }
        tokens = [(t.text, t.outcome, "", _note(t)) for t in self.trace]
        return page("Answer, token by token", figures, tokens, [(o, o) for o in get_args(Outcome)])


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer; the texts of all chunks join to the answer's text."""

    text: str
    token_ids: tuple[int, ...]
    generation: Generation | None = None
    """The whole answer; on the last chunk only."""


def _note(token: TokenTrace) -> str:
    if token.judged_by is None or token.draft_prob is None:
        return f"{token.outcome}: {token.judge_prob:.3f}"
    return (
        f"{token.outcome}; judge {token.judged_by}: {token.judge_prob:.3f}, "
        f"draft {token.drafted_by}: {token.draft_prob:.3f}"
    )


def outcomes(trace: tuple[TokenTrace, ...]) -> Iterator[tuple[str, Outcome]]:
    """Yield the visible pieces of a trace with their outcome, for colouring."""
    for token in trace:
        if token.text:
            yield token.text, token.outcome
