"""Starting afresh in a forked child, where other threads are gone and their locks still taken."""

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Holds locks or threads."""

    def after_fork(self) -> None:
        """Make them anew; called in a child process before anything else runs there."""
        ...


_forkables: "WeakSet[Forkable]" = WeakSet()


def renew_after_fork(forkable: Forkable) -> None:
    """Have `after_fork` called in child processes, as long as the object lives."""
    _forkables.add(forkable)


def _after_fork() -> None:
    for forkable in list(_forkables):
        forkable.after_fork()


if hasattr(os, "register_at_fork"):  # POSIX only
    os.register_at_fork(after_in_child=_after_fork)
