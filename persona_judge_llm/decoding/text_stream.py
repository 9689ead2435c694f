"""From token ids to text that may be shown: whole characters, and never a part of a stop string."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_PIECES_PER_CHARACTER = 8


Detokenize: TypeAlias = Callable[[list[int]], str]
"""Returns the text of token ids, without special tokens and with every space as it is."""


class TextStream:
    """Turns one text's tokens into pieces, as they come."""

    def __init__(self, detokenize: Detokenize, stop: Sequence[str]) -> None:
        self.text = ""
        """All that was released so far."""
        self.stop_sequence: str | None = None
        """The stop string that ended the text, once one did."""
        self.pieces: list[str] = []
        """The characters that each token completed, stop strings included."""
        self._detokenize = detokenize
        self._stop = tuple(stop)
        self._ids: list[int] = []
        # Tokens from `_context` to `_shown` are decoded again with what is new, so that
        # tokenizers which join pieces by what stands before them give the same text as at once.
        self._context = 0
        self._shown = 0
        self._held = ""

    def push(self, token_id: int) -> str:
        """Take one more token; return what may be shown because of it."""
        self._ids.append(token_id)
        self.pieces.append(self._new_characters(final=False))
        return self._release(self.pieces[-1], final=False)

    def close(self) -> str:
        """Return what was held back, at the end of the text; half characters are dropped."""
        rest = self._new_characters(final=True)
        if rest and self.pieces:
            self.pieces[-1] += rest
        return self._release(rest, final=True)

    def _new_characters(self, *, final: bool) -> str:
        known = self._detokenize(self._ids[self._context : self._shown])
        both = self._detokenize(self._ids[self._context :])
        unfinished = both.endswith(REPLACEMENT)
        if unfinished and final:
            both = both.rstrip(REPLACEMENT)
        elif unfinished and len(self._ids) - self._shown < MAX_PIECES_PER_CHARACTER:
            return ""
        self._context, self._shown = self._shown, len(self._ids)
        return both[len(known) :]

    def _release(self, characters: str, *, final: bool) -> str:
        if self.stop_sequence is not None:
            return ""
        self._held += characters
        found = [(self._held.find(s), s) for s in self._stop if s in self._held]
        if found:
            at, self.stop_sequence = min(found)
            released, self._held = self._held[:at], ""
        else:
            keep = 0 if final else self._possible_stop_length()
            split = len(self._held) - keep
            released, self._held = self._held[:split], self._held[split:]
        self.text += released
        return released

    def _possible_stop_length(self) -> int:
        """Return the length of the longest end of the held text that may begin a stop string."""
        longest = max((len(s) for s in self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            end = self._held[-length:]
            if any(s.startswith(end) for s in self._stop):
                return length
        return 0
