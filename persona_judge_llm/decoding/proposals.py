"""Guesses of the next tokens, which cost little and change nothing but the speed.

A guess is checked by the pass that would have been run anyway: the decoder draws its own token at
each place and goes on while that token is the one that was guessed. So a guess may come from
anywhere; here it comes from the text itself, which answers that quote their prompt repeat.
"""

from collections.abc import Sequence
from typing import Protocol

MOST_GUESSES = 8
UNTRIED = 0.5
"""The hit rate of whoever has not guessed yet."""
FORCED = 0.9
"""The hit rate of tokens that a grammar forces: a model may cut the same text differently."""
_LONGEST, _SHORTEST = 3, 2
_MEMORY = 0.85
"""Weight of the past in the hit rate, per token."""


class Proposer(Protocol):
    """Guesses how one text goes on."""

    @property
    def hit_rate(self) -> float:
        """Share of tokens that were guessed right, of late."""
        ...

    @property
    def seconds_per_guess(self) -> float:
        """What one guess takes."""
        ...

    @property
    def can_guess(self) -> bool:
        """Whether there is any guess of the next token."""
        ...

    def push(self, token: int) -> None:
        """Take the text's next token."""
        ...

    def propose(self, count: int) -> list[int]:
        """Return at most `count` guesses of the tokens that come next."""
        ...


def smoothed(hit_rate: float, *, hit: bool) -> float:
    """Return the hit rate after one more guess."""
    return _MEMORY * hit_rate + (1 - _MEMORY) * hit


class NGramProposer:
    """Guesses that what followed the last few tokens before follows them again (prompt lookup).

    Every token is compared with what would have been guessed, also while nobody asks for
    guesses, so the hit rate is known without paying for wrong ones.

    Args:
        prompt: The text so far.
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        self.hit_rate = UNTRIED
        self.seconds_per_guess = 0.0
        self._text = list(prompt)
        self._after: dict[tuple[int, ...], int] = {}
        for place in range(_SHORTEST, len(self._text)):
            self._index(place)

    @property
    def can_guess(self) -> bool:
        """Whether the text's end has been seen before."""
        return bool(self.propose(1))

    def push(self, token: int) -> None:
        """Take the text's next token."""
        guess = self.propose(1)
        self.hit_rate = smoothed(self.hit_rate, hit=guess == [token])
        self._text.append(token)
        self._index(len(self._text) - 1)

    def propose(self, count: int) -> list[int]:
        """Return what followed the longest known end of the text; a repetition goes on."""
        for length in range(_LONGEST, _SHORTEST - 1, -1):
            place = self._after.get(tuple(self._text[-length:]))
            if place is not None:
                period = len(self._text) - place
                return [self._text[place + i % period] for i in range(count)]
        return []

    def _index(self, place: int) -> None:
        for length in range(_SHORTEST, _LONGEST + 1):
            if place >= length:
                self._after[tuple(self._text[place - length : place])] = place


class PassCosts:
    """What one more guess costs, as a share of a pass without guesses; learned while decoding."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, int], float] = {}

    def note(self, rows: int, places: int, seconds: float) -> None:
        """Take in how long a pass over so many rows and places took."""
        key = (rows, places)
        known = self._seconds.get(key)
        # A slow pass may have been somebody else's work: fast ones count for more.
        weight = 0.5 if known is None or seconds < known else 0.1
        self._seconds[key] = seconds if known is None else known + weight * (seconds - known)

    def of(self, rows: int, places: int) -> float:
        """Return the cost of a pass of so many places, in passes of one place."""
        one = self._one(rows)
        wide = self._seconds.get((rows, places))
        if one and wide:
            return wide / one
        return 1 + 0.03 * rows * (places - 1)

    def passes(self, seconds: float, rows: int) -> float:
        """Return a time as a share of a pass of one place."""
        one = self._one(rows)
        return seconds / one if one else 0.0

    def _one(self, rows: int) -> float | None:
        return self._seconds.get((rows, 1))


def guesses_worth(
    hit_rates: Sequence[float], rows: int, costs: PassCosts, seconds_per_guess: float = 0.0
) -> int:
    """Return how many guesses give the most tokens for their cost.

    Args:
        hit_rates: Of each text in the pass that has any guess; those without bring one token.
        rows: Rows of the pass.
        costs: What passes of more places cost.
        seconds_per_guess: What a guess takes, of all texts together.
    """
    guess = costs.passes(seconds_per_guess, rows)

    def worth(count: int) -> float:
        tokens = sum(sum(h**i for i in range(count + 1)) for h in hit_rates)
        return tokens / (costs.of(rows, count + 1) + count * guess)

    return max(range(MOST_GUESSES + 1), key=worth)
