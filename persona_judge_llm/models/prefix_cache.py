"""What earlier calls left in memory, for prompts that begin in the same way.

Entries are found by token ids alone: a prompt reuses what was computed for exactly its own
beginning, so nothing personal can be reached by a prompt that does not hold it already.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from persona_judge_llm.forking import renew_after_fork


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of one line of slots: each row's tokens, and where they are."""

    texts: tuple[Tensor, ...]  # [tokens] per row, on the host
    slots: tuple[Tensor, ...]  # [tokens] per row
    states: tuple[tuple[Tensor, Tensor], ...]  # per layer [heads, slots, dim]

    @property
    def nbytes(self) -> int:
        """Memory that keys and values take."""
        return sum(k.nbytes + v.nbytes for k, v in self.states)

    @property
    def is_finite(self) -> bool:
        """Whether keys and values are all numbers."""
        # A sum is infinite or NaN where any part is.
        return all(bool((_sum(k) + _sum(v)).isfinite()) for k, v in self.states)


@dataclass(frozen=True, slots=True)
class Found:
    """A beginning that was computed before."""

    snapshot: Snapshot
    row: int
    length: int
    """Tokens that a prompt and the row have in common."""

    def slots(self, start: int, end: int) -> Tensor:
        """Return the slots of the row's tokens from `start` to `end`."""
        return self.snapshot.slots[self.row][start:end]


class PrefixCache:
    """Snapshots within a bound of bytes; the one that was not used for the longest time goes first.

    Args:
        max_bytes: Keys and values of all entries together; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.nbytes = 0
        self.hits = 0
        """Prompts of which a beginning was found."""
        self.misses = 0
        self.tokens_reused = 0
        self._entries: list[Snapshot] = []  # the last one was used last
        self._lock = threading.RLock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Free the lock, which a thread of the parent may have held; every entry is whole."""
        self._lock = threading.RLock()

    def find(self, prompt: Sequence[int]) -> Found | None:
        """Return the longest known beginning of a prompt, at most all but its last token."""
        if not self.max_bytes or len(prompt) < 2:  # noqa: PLR2004
            return None
        wanted = torch.tensor(prompt[:-1])
        with self._lock:
            best: Found | None = None
            for snapshot in self._entries:
                for row, text in enumerate(snapshot.texts):
                    length = common_length(wanted, text)
                    if length > (best.length if best else 0):
                        best = Found(snapshot, row, length)
            if best is None:
                self.misses += 1
                return None
            self.hits += 1
            self._entries = [s for s in self._entries if s is not best.snapshot] + [best.snapshot]
            return best

    def add(self, snapshot: Snapshot) -> None:
        """Take an entry in; entries that it continues go, then the oldest until all fit.

        One with infinite numbers or NaN is not taken: they would reach whoever begins alike.
        """
        if snapshot.nbytes > self.max_bytes or not snapshot.is_finite:
            return
        with self._lock:
            self._entries = [old for old in self._entries if not _continues(snapshot, old)]
            self._entries.append(snapshot)
            self.nbytes = sum(s.nbytes for s in self._entries)
            while self.nbytes > self.max_bytes:
                self.nbytes -= self._entries.pop(0).nbytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self.nbytes = 0

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)


def _sum(states: Tensor) -> Tensor:
    return states.sum(dtype=torch.float32)


def common_length(a: Tensor, b: Tensor) -> int:
    """Return how many first tokens two texts have in common."""
    shortest = min(len(a), len(b))
    differing = (a[:shortest] != b[:shortest]).nonzero()
    return int(differing[0]) if len(differing) else shortest


def _continues(new: Snapshot, old: Snapshot) -> bool:
    """Say whether every text of an old entry is the beginning of one of a new entry."""
    return all(
        any(common_length(text, longer) == len(text) for longer in new.texts) for text in old.texts
    )
