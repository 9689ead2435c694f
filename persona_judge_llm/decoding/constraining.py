"""Texts that are held to a grammar while they are decoded: masks, and room for the end."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from persona_judge_llm.errors import PersonaJudgeError

_BITS = 8


class Following(Protocol):
    """One text on its way through a grammar."""

    def allowed(self) -> bytes:
        """Return the tokens that may come next, one bit each, the lowest bit first."""
        ...

    def commit(self, token: int) -> int:
        """Take the token that was drawn; return the one that takes its place, or itself.

        Raises:
            PersonaJudgeError: the grammar cannot be followed any further.
        """
        ...


class Compiled(Protocol):
    """A grammar for one vocabulary, which any number of texts may follow at once."""

    @property
    def least_tokens(self) -> int:
        """Tokens of the shortest text that ends, its end included."""
        ...

    def follow(self, max_new_tokens: int) -> Following:
        """Begin a text that is to end within so many tokens."""
        ...


class Followings:
    """The grammars that tasks decoded together follow; most tasks follow none."""

    def __init__(self, followed: Sequence[Following | None]) -> None:
        self._followed = list(followed)
        self.failed: dict[int, PersonaJudgeError] = {}
        """Why tasks cannot go on, by place."""

    def __bool__(self) -> bool:
        """Tell whether any task follows a grammar."""
        return any(self._followed)

    @property
    def places(self) -> list[int]:
        """The tasks that follow one."""
        return [place for place, following in enumerate(self._followed) if following]

    def mask(self, vocab_size: int, device: torch.device) -> Tensor:
        """Return which tokens may come next, [tasks, vocab] bool; all where there is no grammar."""
        width = -(-vocab_size // _BITS)
        bits = np.full((len(self._followed), width), 0xFF, dtype=np.uint8)
        for place in self.places:
            allowed = np.frombuffer(self._followed[place].allowed(), dtype=np.uint8)  # type: ignore[union-attr]
            bits[place] = allowed[:width]
        unpacked = np.unpackbits(bits, axis=1, count=vocab_size, bitorder="little")
        return torch.from_numpy(unpacked).to(device).bool()

    def commit(self, tokens: Sequence[int]) -> list[int]:
        """Take what each task drew; return what is to stand in its place."""
        committed = list(tokens)
        for place in self.places:
            try:
                committed[place] = self._followed[place].commit(tokens[place])  # type: ignore[union-attr]
            except PersonaJudgeError as error:
                self.failed[place] = error
        return committed

    def keep(self, places: Sequence[int]) -> None:
        """Keep only these tasks, in this order."""
        self._followed = [self._followed[place] for place in places]
        self.failed = {}

    def join(self, other: "Followings") -> None:
        """Add the tasks of another one behind the own ones."""
        self._followed += other._followed  # noqa: SLF001
