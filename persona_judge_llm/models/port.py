"""What a decoder needs of a language model: two small protocols, no framework.

A context is a batch of token sequences, one per row, with whatever the model keeps of them.
Rows may differ in length. Counts are plain numbers on the host, so that a loop which feeds one
token to every row never waits for the device.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Context(Protocol):
    """Token sequences and the model's memory of them."""

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
        """Forget the last `counts[r]` tokens of each row.

        Raises:
            UnsupportedModelError: the model's memory cannot be taken back.
        """
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows, in this order, and free the others."""
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

    def open(self, num_rows: int) -> Context:
        """Return a new, empty context."""
        ...
