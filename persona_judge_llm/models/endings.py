"""The short way to a valid end, from anywhere in a text that follows a grammar."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from numpy.typing import NDArray

# What ends most stands first.
_CLOSING: Final = ("}", "]", '"', ",", ":", " ", *"0123456789")
_JOINING: Final = "@.-/_+"
_MOST_WAYS = 1024
_BEAM = 6
_MOST_THOROUGH = 1024
_BRIDGE = 3
_FEW = 12


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
        self._joining = [found[c.encode()] for c in _JOINING if c.encode() in found]
        self._letters = np.array(sorted(found.values()), dtype=np.int64)
        kinds: dict[str, list[int]] = defaultdict(list)
        for text in sorted(found):
            kinds[_kind(text)].append(found[text])
        self._kinds = [np.array(tokens, dtype=np.int64) for tokens in kinds.values()]
        self._quote, self._opening, self._brace = (found.get(c) for c in (b'"', b"{", b"}"))

    def shortest(self, matcher: "LLMatcher", limit: int) -> list[int] | None:
        """Return at most `limit` tokens that bring a text to a valid end; None if there are none.

        Few tokens, if not always the fewest. The matcher is left where it is. First the way that
        seems shortest is followed; only if it leads nowhere, many are.
        """
        found = self._search(matcher, limit, self._likely, _MOST_WAYS, beam=0)
        if found is not None:
            return found
        return self._search(matcher, limit, self._all, _MOST_THOROUGH, beam=_BEAM)

    def bridge(self, matcher: "LLMatcher", ending: Sequence[int], limit: int) -> list[int] | None:
        """Return a few tokens behind which a known ending fits again, and that ending.

        As in the middle of a character, which has to be whole first.
        """
        trial, tokens = matcher.deep_copy(), list[int]()
        for _ in range(_BRIDGE):
            more = self._likely(trial)[0]
            if len(tokens) + len(more) + len(ending) > limit or not trial.consume_tokens(more):
                return None
            tokens += more
            if trial.validate_tokens(list(ending)) == len(ending):
                return [*tokens, *ending]
        return None

    def _search(
        self,
        matcher: "LLMatcher",
        limit: int,
        steps: "Callable[[LLMatcher], list[list[int]]]",
        most_ways: int,
        *,
        beam: int,
    ) -> list[int] | None:
        """Follow ways by their length, at most `beam` of each if not 0, until one ends."""
        order = count()  # no matcher is ever compared
        # Of each way: its length, and how many pieces were forced and tokens chosen behind them.
        ways: list[tuple[int, int, list[int], LLMatcher, tuple[int, int]]] = [
            (0, next(order), [], matcher, (0, 0))
        ]
        tried: Counter[int] = Counter()
        # With a beam, ways that may go on alike, from as far in a text, are taken for one.
        seen: set[tuple[tuple[int, int], bytes, bool]] = set()
        while ways and tried.total() < most_ways:
            length, _, tokens, way, (pieces, chosen) = heappop(ways)
            if way.is_accepting():
                return tokens
            if beam and tried[length] == beam:
                continue
            tried[length] += 1
            forced = bool(way.compute_ff_tokens())
            place = (pieces + 1, 0) if forced else (pieces, chosen + 1)
            for more in steps(way):
                further = [*tokens, *more]
                trial = way.deep_copy()
                if len(further) > limit or not trial.consume_tokens(more):
                    continue
                state = (place, trial.compute_bitmask(), trial.is_accepting())
                if not beam or state not in seen:
                    seen.add(state)
                    heappush(ways, (len(further), next(order), further, trial, place))
        return None

    def _likely(self, matcher: "LLMatcher") -> list[list[int]]:
        """Return what to go on with: what is forced, or ends most, or else begins any value."""
        if forced := matcher.compute_ff_tokens():
            return [forced]
        allowed = _allowed(matcher)
        if ending := self._ending_a_string(allowed):
            return ending
        for token in self._order:
            if allowed[token]:
                return [[token]]
        letters = self._letters[allowed[self._letters] > 0]
        # Few: names or values to choose from, which may be of any length. Many: any will do.
        some = letters if len(letters) <= _FEW else letters[[0, -1]]
        chosen = some if len(some) else [allowed.argmax()]
        return [[int(token)] for token in chosen]

    def _all(self, matcher: "LLMatcher") -> list[list[int]]:
        """Return all that may lead on: every closing token, and letters of each kind."""
        if forced := matcher.compute_ff_tokens():
            return [forced]
        allowed = _allowed(matcher)
        if ending := self._ending_a_string(allowed):
            return ending
        chosen = [token for token in (*self._order, *self._joining) if allowed[token]]
        for letters in self._kinds:
            some = letters[allowed[letters] > 0]
            chosen += list(some) if len(some) <= _FEW else [some[0], some[1], some[-1]]
        chosen = list(dict.fromkeys(int(token) for token in chosen)) or [int(allowed.argmax())]
        return [[token] for token in chosen]

    def _ending_a_string(self, allowed: "NDArray[np.uint8]") -> list[list[int]]:
        # Where both braces may follow, they are letters of a string, which a quotation mark ends.
        marks = (self._quote, self._opening, self._brace)
        if self._quote is not None and all(m is not None and allowed[m] for m in marks):
            return [[self._quote]]
        return []


def _allowed(matcher: "LLMatcher") -> "NDArray[np.uint8]":
    bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
    return np.unpackbits(bits, bitorder="little")


def _kind(letter: bytes) -> str:
    text = letter.decode("latin-1")
    if not text.isascii():
        return "other"
    kinds = ("digit", text.isdigit()), ("lower", text.islower()), ("upper", text.isupper())
    return next((kind for kind, is_it in kinds if is_it), "mark")
