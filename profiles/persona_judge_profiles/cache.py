"""Profiles that were read lately, and never an older one than was served before.

An entry is served without a question for `ttl` seconds; after that the stored stamp is asked for,
and the profile is read anew only if it differs. A fill that a write, an erase, a miss or another
fill of the same user overtook is not kept, so that it cannot bring back what is gone.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.forking import renew_after_fork
from persona_judge_llm.preferences import Profile
from persona_judge_profiles.rows import Stamped

_MARKS = 1024


class Mark(NamedTuple):
    """When a read began, in the count of what changed and in time."""

    changes: int
    at: float


class ProfileCache:
    """A bounded cache of one store's profiles; safe to use from many threads.

    Args:
        ttl: seconds for which an entry is served unasked; 0 for no cache.
        size: most entries; the one that was used least lately goes first.

    Raises:
        InvalidParameterError: a negative or endless number.
    """

    def __init__(self, ttl: float, size: int) -> None:
        number = isinstance(ttl, int | float) and not isinstance(ttl, bool)
        if not number or not 0 <= ttl <= threading.TIMEOUT_MAX:
            raise InvalidParameterError("cache_ttl", ttl, "a number of seconds, 0 or more")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise InvalidParameterError("cache_size", size, "a whole number, 0 or more")
        self._ttl = ttl
        self._size = size if ttl else 0
        self._clock: Callable[[], float] = time.monotonic
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[Stamped, float]] = OrderedDict()
        self._marks = [0] * _MARKS
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Begin untaken and empty: who held the lock may have been in the middle of something."""
        self._lock = threading.Lock()
        self._entries = OrderedDict()

    @property
    def keeps(self) -> bool:
        """Whether there is anything to keep a profile in."""
        return self._size > 0

    def fresh(self, user_id: str) -> Profile | None:
        """Return the profile if it may be served without asking the database."""
        if not self._size or not isinstance(user_id, str):
            return None
        with self._lock:
            entry = self._entries.get(user_id)
            if entry is None or self._clock() - entry[1] > self._ttl:
                return None
            self._entries.move_to_end(user_id)
            return entry[0].profile

    def kept(self, user_id: str) -> Stamped | None:
        """Return what is known of the user, however old."""
        with self._lock:
            entry = self._entries.get(user_id)
            return entry[0] if entry else None

    def mark(self, user_id: str) -> Mark:
        """Return what to give to `fill`; to be taken before the database is read."""
        with self._lock:
            return Mark(self._marks[self._slot(user_id)], self._clock())

    def fill(self, user_id: str, found: Stamped, mark: Mark) -> Profile | None:
        """Keep what was read and return what is to be served; None: overtaken, read once more."""
        with self._lock:
            if self._marks[self._slot(user_id)] != mark.changes:
                return None
            return self._keep(user_id, found, mark.at).profile

    def forget(self, user_id: str) -> None:
        """Drop a user who was written or erased, or is unknown; the next read asks.

        A write is not kept itself: another one may have come between its commit and this.
        """
        if not self._size:
            return
        with self._lock:
            self._marks[self._slot(user_id)] += 1
            self._entries.pop(user_id, None)

    def _keep(self, user_id: str, found: Stamped, at: float) -> Stamped:
        entry = self._entries.get(user_id)
        if entry is not None:
            kept = entry[0].stamp
            if kept.incarnation == found.stamp.incarnation and kept.version > found.stamp.version:
                return entry[0]
        if entry is None or entry[0].stamp != found.stamp:
            # Whoever read before this, and comes later, may have read another life of the user.
            self._marks[self._slot(user_id)] += 1
        self._entries[user_id] = (found, at)  # as old as the read's beginning
        self._entries.move_to_end(user_id)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return found

    @staticmethod
    def _slot(user_id: str) -> int:
        return hash(user_id) % _MARKS
