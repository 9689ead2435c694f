"""Grammars for the tests of decoders: plain functions of the text so far."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from persona_judge_llm.errors import DecodingError

Text: TypeAlias = tuple[int, ...]
Rule: TypeAlias = Callable[[Text], Sequence[int]]


class Held:
    """A `Compiled` that allows what a rule says behind a text, and remembers its texts.

    Args:
        rule: returns the tokens that may come next.
        vocab_size: of the model.
        replaced: returns what is to stand in the place of a token.
        fails_at: length of the text that cannot go on.
        forced: returns the tokens that are bound to come next.
    """

    least_tokens = 1

    def __init__(
        self,
        rule: Rule,
        vocab_size: int,
        *,
        replaced: Callable[[Text, int], int] = lambda _, token: token,
        fails_at: int | None = None,
        forced: Rule = lambda _: (),
    ) -> None:
        self.rule = rule
        self.vocab_size = vocab_size
        self.replaced = replaced
        self.fails_at = fails_at
        self.forced = forced
        self.rooms: list[int] = []
        self.texts: list[HeldText] = []

    def follow(self, max_new_tokens: int) -> "HeldText":
        """Begin a text."""
        self.rooms.append(max_new_tokens)
        self.texts.append(HeldText(self))
        return self.texts[-1]


class HeldText:
    """One text, which takes nothing but what is allowed."""

    def __init__(self, held: Held) -> None:
        self.tokens: Text = ()
        self.drawn: Text = ()
        self._held = held

    def allowed(self) -> bytes:
        """Return the tokens that may come next, in more bytes than the vocabulary needs."""
        bits = np.zeros(-(-self._held.vocab_size // 32) * 32, dtype=np.uint8)
        bits[list(self._held.rule(self.tokens))] = 1
        return np.packbits(bits, bitorder="little").tobytes()

    def forced(self) -> list[int]:
        """Return the tokens that are bound to come next."""
        return list(self._held.forced(self.tokens))

    def commit(self, token: int) -> int:
        """Take a token."""
        if len(self.tokens) == self._held.fails_at:
            raise DecodingError("the grammar ends here")
        self.drawn += (token,)
        token = self._held.replaced(self.tokens, token)
        self.tokens += (token,)
        return token
