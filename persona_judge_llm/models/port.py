"""What a decoder needs of a language model: small protocols, no framework.

A context is a batch of token sequences, one per row, with whatever the model keeps of them.
Rows may differ in length, join at any time and leave at any time. Counts are plain numbers on the
host, so that a loop which feeds one token to every row never waits for the device.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Joining(Protocol):
    """Prompts on their way into a context: computed piece by piece, between other rows' steps."""

    def advance(self, max_tokens: int) -> Tensor | None:
        """Compute at most `max_tokens` more tokens.

        Returns:
            None while tokens remain; then, once, the logits behind each prompt, [prompts, vocab].
            From then on the prompts are the last rows of the context, in their order.
        """
        ...


class Context(Protocol):
    """Token sequences and the model's memory of them."""

    def join(self, groups: Sequence[Sequence[Sequence[int]]]) -> Joining:
        """Begin to add one row for every prompt of every group; nothing is computed yet.

        The rows of a group may share what the model keeps of their common beginning; they are
        extended and rewound alike, and kept or dropped together. To give up, drop the result.
        """
        ...

    def extend(self, tokens: Tensor, counts: Sequence[int] | None = None, last: int = 1) -> Tensor:
        """Append tokens to every row and return the logits behind the last ones.

        Args:
            tokens: [rows, width]; row r's own tokens are its first `counts[r]`.
            counts: tokens that each row really gets, at least `last`; None: all of `width`.
            last: how many positions of each row to return logits for.

        Returns:
            [rows, last, vocab]
        """
        ...

    def rewind(self, counts: Sequence[int]) -> None:
        """Forget the last `counts[r]` tokens of each row, of those that `extend` appended.

        Raises:
            UnsupportedModelError: the model's memory cannot be taken back.
        """
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows, in this order, and free the others."""
        ...

    def remember(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Let later prompts that begin like these texts reuse what rows hold; may do nothing.

        Args:
            rows: the rows of one group.
            texts: the token ids that each of them holds.
        """
        ...


class LanguageModel(Protocol):
    """A causal language model."""

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        ...

    @property
    def context_window(self) -> int | None:
        """Tokens that a row may hold; None for no limit."""
        ...

    @property
    def device(self) -> torch.device:
        """Where token ids go and logits come from."""
        ...

    @property
    def can_rewind(self) -> bool:
        """Whether contexts can forget tokens."""
        ...

    def open(self, num_rows: int = 0) -> Context:
        """Return a new context of empty rows."""
        ...
