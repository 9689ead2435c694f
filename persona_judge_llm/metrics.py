"""What an engine has done so far, as plain numbers."""

from dataclasses import dataclass

from persona_judge_llm.trace import Outcome


@dataclass(slots=True)
class Metrics:
    """Counters of an engine since it was made; cheap to read, never personal.

    Whole calls are counted, whether their text was read to its end or not.
    """

    forward_passes: int = 0
    tokens_accepted: int = 0
    tokens_recovered: int = 0
    tokens_bonus: int = 0
    tokens_sampled: int = 0
    windows: int = 0
    """Windows that ended, by a recovered or a bonus token."""
    proposed_tokens: int = 0
    proposed_tokens_used: int = 0
    """Proposed tokens that were the ones drawn."""
    prompt_tokens_computed: int = 0
    prefix_cache_hits: int = 0
    prefix_cache_misses: int = 0
    prefix_cache_tokens_reused: int = 0
    prefix_cache_bytes: int = 0
    queue_depth: int = 0
    """Calls that wait for a place, now."""
    batch_size: int = 0
    """Calls that are being decoded, now."""

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted tokens over judged draft tokens; None before any."""
        judged = self.tokens_accepted + self.tokens_recovered
        return self.tokens_accepted / judged if judged else None

    def count(self, outcome: Outcome) -> None:
        """Count one token."""
        if outcome == "accepted":
            self.tokens_accepted += 1
        elif outcome == "sampled":
            self.tokens_sampled += 1
        else:
            self.windows += 1
            if outcome == "bonus":
                self.tokens_bonus += 1
            else:
                self.tokens_recovered += 1
