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

    def forced(self) -> list[int]:
        """Return the tokens that come next whatever is drawn, as they are commonly cut."""
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

    def places(self, alive: Sequence[bool]) -> list[int]:
        """Return the tasks that follow one, of those that are `alive`."""
        return [
            place for place, following in enumerate(self._followed) if following and alive[place]
        ]

    def forced(self) -> list[list[int]]:
        """Return tokens that each task can but go on with; none where there are several ways."""
        return [following.forced() if following else [] for following in self._followed]

    def mask(self, places: Sequence[int], vocab_size: int, device: torch.device) -> Tensor:
        """Return which tokens may come next in some tasks, [places, vocab] bool."""
        width = -(-vocab_size // _BITS)
        rows = [self._at(place).allowed() for place in places]
        bits = np.stack([np.frombuffer(row, dtype=np.uint8)[:width] for row in rows])
        unpacked = np.unpackbits(bits, axis=1, count=vocab_size, bitorder="little")
        return torch.from_numpy(unpacked).to(device).bool()

    def commit(self, places: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """Take what all tasks drew, in some of them; return what is to stand in its place."""
        committed = list(tokens)
        for place in places:
            try:
                committed[place] = self._at(place).commit(tokens[place])
            except PersonaJudgeError as error:
                self.failed[place] = error
        return committed

    def _at(self, place: int) -> Following:
        following = self._followed[place]
        if following is None:
            raise AssertionError("only tasks that follow a grammar are asked for")
        return following

    def keep(self, places: Sequence[int]) -> None:
        """Keep only these tasks, in this order."""
        self._followed = [self._followed[place] for place in places]
        self.failed = {}

    def join(self, other: "Followings") -> None:
        """Add the tasks of another one behind the own ones."""
        self._followed += other._followed  # noqa: SLF001
