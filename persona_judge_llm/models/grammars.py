"""Constraints compiled for a tokenizer's vocabulary; the only place that knows llguidance."""

import re
import threading
from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from persona_judge_llm.constraints import Constraint, tag_rules
from persona_judge_llm.errors import (
    InvalidParameterError,
    MissingDependencyError,
    UnsupportedModelError,
)
from persona_judge_llm.forking import renew_after_fork
from persona_judge_llm.models.endings import Endings
from persona_judge_llm.models.following import Grammar
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
        in_use: False refuses every constraint: the loop as printed knows none.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        vocab_size: int,
        eos_token_ids: Collection[int],
        *,
        in_use: bool = True,
    ) -> None:
        self._source = tokenizer
        self.in_use = in_use
        self.vocab_size = vocab_size
        self.eos_token_ids = sorted(eos_token_ids)
        self._compiled: OrderedDict[Constraint, Grammar] = OrderedDict()
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Make the lock anew: who held it is not in this process."""
        self._lock = threading.Lock()

    @property
    def available(self) -> bool:
        """Whether anything can be compiled, as far as can be told without trying."""
        fast = isinstance(self._source, PreTrainedTokenizerFast) and bool(self.eos_token_ids)
        return self.in_use and fast and find_spec("llguidance") is not None

    def warm_up(self) -> None:
        """Read the vocabulary now and not at the first call that needs it, if any can.

        One of 150,000 tokens takes a second, in which no other thread and no event loop moves.
        """
        if self.available:
            with self._lock, suppress(UnsupportedModelError):
                self.endings  # noqa: B018  # made, and kept

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
        matcher = self._matcher(constraint)
        if matcher.is_error():
            # The first line tells what; where, in a grammar of ours, is of no use.
            reason = matcher.get_error().strip().partition("\n")[0]
            reason = re.sub(r"^at \d+\(\d+\): ", "", reason)
            raise InvalidParameterError("constraint", reason, "a grammar that can be decoded by")
        ending = self.endings.shortest(matcher, LONGEST_ENDING)
        if ending is None:
            raise InvalidParameterError(
                "constraint",
                "one that needs more, or so intricate that no ending was found",
                f"a grammar of a text of at most {LONGEST_ENDING} tokens",
            )
        reserve = 0 if constraint.optional else 1
        return Grammar(matcher, ending, self.endings, self.eos_token_ids, reserve)

    def _matcher(self, constraint: Constraint) -> "LLMatcher":
        """Return a matcher at the beginning of a text; in an error state for a bad grammar."""
        tokenizer = self.tokenizer
        from llguidance import LLMatcher, LLParserLimits  # an optional extra

        rules = tag_rules(set(self._special.values())) if constraint.tags else ""
        return LLMatcher(
            tokenizer,
            LLMatcher.grammar_from_lark(f"{constraint.grammar}\n{rules}"),
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
        if not self.in_use:
            raise InvalidParameterError("constraint", "...", "left out with loop='reference'")
        try:
            from llguidance.hf import from_tokenizer  # an optional extra
        except ModuleNotFoundError as error:
            raise MissingDependencyError("structured", "llguidance") from error
        if not isinstance(self._source, PreTrainedTokenizerFast) or not self.eos_token_ids:
            raise UnsupportedModelError(
                "constrained answers need a fast tokenizer and an end-of-sequence token"
            )
        try:
            return from_tokenizer(self._source, self.vocab_size, self.eos_token_ids)
        except Exception as error:
            raise UnsupportedModelError(
                f"constrained answers cannot be decoded with this tokenizer: {error}"
            ) from error

    @cached_property
    def endings(self) -> Endings:
        """How texts of this vocabulary are brought to an end."""
        tags = [i for i, text in self._special.items() if text in (OPEN, CLOSE)]
        return Endings(self.tokenizer, self.vocab_size, tags)

    @cached_property
    def _special(self) -> dict[int, str]:
        """Added tokens that strings in grammars do not match, by their ids."""
        added: dict[int, Any] = self._source.added_tokens_decoder
        return {i: str(t) for i, t in added.items() if self.tokenizer.is_special_token(i)}
