"""How much is measured."""

from dataclasses import dataclass

SHARED_AIM = 1_000_000
"""The number of users for which the aims of an import were set."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many users there are, and how many calls of each kind are timed."""

    users: int = SHARED_AIM
    rounds: int = 5
    reads: int = 2_000
    """In each round, of each method."""
    writes: int = 1_000
    many: int = 10_000
    """Profiles in one call that writes many."""
    erased: int = 200
    quick: bool = False

    def goal(self, value: float) -> float | None:
        """Return the aim, which is not meant for trying the script out."""
        return None if self.quick else value


QUICK = Sizes(users=2_000, rounds=2, reads=100, writes=40, many=500, erased=10, quick=True)
