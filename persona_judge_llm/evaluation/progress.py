"""How far a long piece of work is: told to whoever shows it."""

from typing import Protocol


class Progress(Protocol):
    """Is told how far something is."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show that `done` of `total` are there, and what is being worked on."""


def silent(done: int, total: int, what: str) -> None:
    """Show nothing."""
