"""The short way to a valid end, from anywhere in a text that follows a grammar."""

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

# What ends most stands first.
_CLOSING: Final = ("}", "]", '"', ",", ":", " ", *"0123456789")
_MOST_WAYS = 1024
_FEW = 16


class Endings:
    """Finds endings in one vocabulary.

    Args:
        tokenizer: the vocabulary.
        vocab_size: how many tokens it has.
        tags: tokens that open and close tool calls.
    """

    def __init__(self, tokenizer: "LLTokenizer", vocab_size: int, tags: Sequence[int]) -> None:
        found = {
            text: token
            for token in range(vocab_size - 1, -1, -1)
            if len(text := tokenizer.decode_bytes([token])) == 1
            and not tokenizer.is_special_token(token)
        }
        closing = [found.get(text.encode()) for text in _CLOSING]
        self._order = [*tags, *(token for token in closing if token is not None)]
        self._letters = np.array(sorted(found.values()), dtype=np.int64)
        self._quote, self._opening, self._brace = (found.get(c) for c in (b'"', b"{", b"}"))

    def shortest(self, matcher: "LLMatcher", limit: int) -> list[int] | None:
        """Return at most `limit` tokens that bring a text to a valid end; None if there are none.

        Few tokens, if not always the fewest. The matcher is left where it is.
        """
        order = count()  # no matcher is ever compared
        ways: list[tuple[int, int, list[int], LLMatcher]] = [(0, next(order), [], matcher)]
        for _ in range(_MOST_WAYS):
            if not ways:
                return None
            _, _, tokens, way = heappop(ways)
            if way.is_accepting():
                return tokens
            for more in self._steps(way):
                further = [*tokens, *more]
                trial = way.deep_copy()
                if len(further) <= limit and trial.consume_tokens(more):
                    heappush(ways, (len(further), next(order), further, trial))
        return None

    def _steps(self, matcher: "LLMatcher") -> list[list[int]]:
        """Return what to go on with: what is forced, or ends most, or else begins any value."""
        if forced := matcher.compute_ff_tokens():
            return [forced]
        bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")

        def may(token: int | None) -> bool:
            return token is not None and bool(allowed[token])

        # Where both braces may follow, they are letters of a string, which a quotation mark ends.
        if self._quote is not None and all(map(may, (self._quote, self._opening, self._brace))):
            return [[self._quote]]
        for token in self._order:
            if may(token):
                return [[token]]
        letters = self._letters[allowed[self._letters] > 0]
        # Few: names or values to choose from, which may be of any length. Many: any will do.
        chosen = letters if 0 < len(letters) <= _FEW else [allowed.argmax()]
        return [[int(token)] for token in chosen]
