"""Texts that follow a compiled grammar, and always have room for a valid end."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from persona_judge_llm.errors import DecodingError
from persona_judge_llm.models.endings import Endings

if TYPE_CHECKING:
    from llguidance import LLMatcher


class Grammar:
    """One compiled constraint, which any number of texts may follow at once.

    Args:
        matcher: at the beginning of a text; never moved.
        ending: the tokens of a short valid text.
        endings: what finds others.
        eos_token_ids: tokens that end a text.
        reserve: tokens kept free behind an ending: 1 for the end-of-sequence token, 0 where the
            text is free, which may be cut off as any other.
    """

    def __init__(
        self,
        matcher: "LLMatcher",
        ending: list[int],
        endings: Endings,
        eos_token_ids: Sequence[int],
        reserve: int,
    ) -> None:
        self.endings = endings
        self.eos_token_ids = eos_token_ids
        self._matcher = matcher
        self._ending = ending
        self._reserve = reserve

    @property
    def least_tokens(self) -> int:
        """Tokens of a short valid text, its end-of-sequence token included."""
        return len(self._ending) + self._reserve

    def follow(self, max_new_tokens: int) -> "GrammarFollowing":
        """Begin a text that is to end within so many tokens."""
        room = max_new_tokens - self._reserve
        return GrammarFollowing(self, self._matcher.deep_copy(), list(self._ending), room)


class GrammarFollowing:
    """One text; holds at all times an ending for which there is room."""

    def __init__(
        self, grammar: Grammar, matcher: "LLMatcher", ending: list[int], room: int
    ) -> None:
        self._grammar = grammar
        self._matcher = matcher
        self._ending = ending
        self._room = room

    def allowed(self) -> bytes:
        """Return the tokens that may come next, one bit each, the lowest bit first."""
        return self._matcher.compute_bitmask()

    def forced(self) -> list[int]:
        """Return the tokens that come next whatever is drawn, as they are commonly cut."""
        return self._matcher.compute_ff_tokens()

    def commit(self, token: int) -> int:
        """Take a token, or the next one of the ending if no ending would fit behind it.

        Raises:
            DecodingError: the grammar takes more steps than are allowed.
        """
        self._room -= 1
        if token in self._grammar.eos_token_ids and self._matcher.is_accepting():
            return token
        if self._matcher.try_consume_tokens([token]):
            ending = self._ending_behind(token)
            if ending is not None:
                self._ending = ending
                return token
            self._matcher.rollback(1)
        if not self._ending:
            return self._grammar.eos_token_ids[0]
        token = self._ending.pop(0)
        if not self._matcher.consume_token(token):
            raise DecodingError(f"the constraint cannot be followed: {self._matcher.get_error()}")
        return token

    def _ending_behind(self, token: int) -> list[int] | None:
        """Return an ending of what has been taken, `token` last; None if there is no room."""
        if self._room < 0:
            return None
        known = self._ending[1:] if self._ending[:1] == [token] else self._ending
        whole = [*known, self._grammar.eos_token_ids[0]]
        if len(known) <= self._room and self._matcher.validate_tokens(whole) == len(whole):
            return known
        endings = self._grammar.endings
        # The end of the sequence is not counted: what is reserved for it is not in the room.
        bridged = endings.bridge(self._matcher, whole, self._room + 1)
        return bridged[:-1] if bridged else endings.shortest(self._matcher, self._room)
