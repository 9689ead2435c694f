"""Constraints compiled for a tokenizer's vocabulary; the only place that knows llguidance."""

import threading
from collections import OrderedDict
from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from persona_judge_llm.constraints import Constraint, tag_rules
from persona_judge_llm.errors import (
    DecodingError,
    InvalidParameterError,
    MissingDependencyError,
    UnsupportedModelError,
)
from persona_judge_llm.models.endings import Endings
from persona_judge_llm.tool_calls import CLOSE, OPEN

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

MOST_COMPILED = 128
LONGEST_ENDING = 2048


class Grammars:
    """Compiles constraints for one tokenizer; keeps those used last.

    Args:
        tokenizer: the model's tokenizer.
        vocab_size: width of the model's logits.
        eos_token_ids: tokens that end a text.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        vocab_size: int,
        eos_token_ids: Collection[int],
    ) -> None:
        self._source = tokenizer
        self._vocab_size = vocab_size
        self.eos_token_ids = sorted(eos_token_ids)
        self._compiled: OrderedDict[Constraint, Grammar] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, constraint: Constraint) -> "Grammar | None":
        """Return the compiled constraint; None for an optional one that cannot be.

        Raises:
            InvalidParameterError: a grammar or schema that cannot be decoded by, and why.
            UnsupportedModelError: a tokenizer whose tokens cannot be told.
            MissingDependencyError: llguidance is not installed.
        """
        with self._lock:
            found = self._compiled.get(constraint)
            if found is None:
                try:
                    found = self._new(constraint)
                except (InvalidParameterError, UnsupportedModelError, MissingDependencyError):
                    if constraint.optional:
                        return None
                    raise
                self._compiled[constraint] = found
                if len(self._compiled) > MOST_COMPILED:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(constraint)
            return found

    def _new(self, constraint: Constraint) -> "Grammar":
        matcher = self._matcher(constraint.grammar)
        if matcher.is_error():
            raise InvalidParameterError(
                "constraint", matcher.get_error().strip(), "a grammar that can be decoded by"
            )
        ending = self.endings.shortest(matcher, LONGEST_ENDING)
        if ending is None:
            raise InvalidParameterError(
                "constraint", "endless", f"a grammar of a text of at most {LONGEST_ENDING} tokens"
            )
        return Grammar(self, matcher, ending, 0 if constraint.optional else 1)

    def _matcher(self, grammar: str) -> "LLMatcher":
        """Return a matcher at the beginning of a text; in an error state for a bad grammar."""
        from llguidance import LLMatcher, LLParserLimits  # an optional extra

        tokenizer = self.tokenizer
        rules = tag_rules(set(self._special.values())) if "tag_" in grammar else ""
        return LLMatcher(
            tokenizer,
            LLMatcher.grammar_from_lark(f"{grammar}\n{rules}"),
            log_level=0,
            # Errors in the middle of a text are nobody else's business.
            limits=LLParserLimits(verbose_errors=False),
        )

    @cached_property
    def tokenizer(self) -> "LLTokenizer":
        """The vocabulary as llguidance sees it.

        Raises:
            UnsupportedModelError: a tokenizer whose tokens cannot be told.
            MissingDependencyError: llguidance is not installed.
        """
        try:
            from llguidance.hf import from_tokenizer  # an optional extra
        except ModuleNotFoundError as error:
            raise MissingDependencyError("structured", "llguidance") from error
        if not isinstance(self._source, PreTrainedTokenizerFast) or not self.eos_token_ids:
            raise UnsupportedModelError(
                "constrained answers need a fast tokenizer and an end-of-sequence token"
            )
        try:
            return from_tokenizer(self._source, self._vocab_size, self.eos_token_ids)
        except Exception as error:
            raise UnsupportedModelError(
                f"constrained answers cannot be decoded with this tokenizer: {error}"
            ) from error

    @cached_property
    def endings(self) -> Endings:
        """How texts of this vocabulary are brought to an end."""
        tags = [i for i, text in self._special.items() if text in (OPEN, CLOSE)]
        return Endings(self.tokenizer, self._vocab_size, tags)

    @cached_property
    def _special(self) -> dict[int, str]:
        """Added tokens that strings in grammars do not match, by their ids."""
        added: dict[int, Any] = self._source.added_tokens_decoder
        return {i: str(t) for i, t in added.items() if self.tokenizer.is_special_token(i)}


class Grammar:
    """One compiled constraint, which any number of texts may follow at once.

    Args:
        grammars: what compiled it.
        matcher: at the beginning of a text; never moved.
        ending: the tokens of a short valid text.
        reserve: tokens kept free behind an ending: 1 for the end-of-sequence token, 0 where the
            text is free, which may be cut off as any other.
    """

    def __init__(
        self, grammars: Grammars, matcher: "LLMatcher", ending: list[int], reserve: int
    ) -> None:
        self._grammars = grammars
        self._matcher = matcher
        self._ending = ending
        self._reserve = reserve

    @property
    def least_tokens(self) -> int:
        """Tokens of a short valid text, its end-of-sequence token included."""
        return len(self._ending) + self._reserve

    def follow(self, max_new_tokens: int) -> "_Following":
        """Begin a text that is to end within so many tokens."""
        room = max_new_tokens - self._reserve
        return _Following(self._grammars, self._matcher.deep_copy(), list(self._ending), room)


class _Following:
    """One text; holds at all times an ending for which there is room."""

    def __init__(
        self, grammars: Grammars, matcher: "LLMatcher", ending: list[int], room: int
    ) -> None:
        self._grammars = grammars
        self._matcher = matcher
        self._ending = ending
        self._room = room

    def allowed(self) -> bytes:
        """Return the tokens that may come next, one bit each, the lowest bit first."""
        return self._matcher.compute_bitmask()

    def commit(self, token: int) -> int:
        """Take a token, or the next one of the ending if no ending would fit behind it.

        Raises:
            DecodingError: the grammar takes more steps than are allowed.
        """
        self._room -= 1
        if token in self._grammars.eos_token_ids and self._matcher.is_accepting():
            return token
        if self._matcher.try_consume_tokens([token]):
            ending = self._ending_behind(token)
            if ending is not None:
                self._ending = ending
                return token
            self._matcher.rollback(1)
        if not self._ending:
            return self._grammars.eos_token_ids[0]
        token = self._ending.pop(0)
        if not self._matcher.consume_token(token):
            raise DecodingError(f"the constraint cannot be followed: {self._matcher.get_error()}")
        return token

    def _ending_behind(self, token: int) -> list[int] | None:
        """Return an ending of what has been taken, `token` last; None if there is no room."""
        known = self._ending[1:] if self._ending[:1] == [token] else self._ending
        whole = [*known, self._grammars.eos_token_ids[0]]
        if len(known) <= self._room and self._matcher.validate_tokens(whole) == len(whole):
            return known
        return self._grammars.endings.shortest(self._matcher, self._room)
