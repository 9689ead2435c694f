"""Waiting in a way that suits the caller: a thread sleeps, a task lets other tasks run.

The asynchronous store runs the same code as the other one, in greenlets on its event loop. A lock
that blocked the thread there would block the task that holds it too.
"""

import asyncio
import threading
import time
from types import TracebackType

from sqlalchemy.util import await_only

from persona_judge_llm.forking import renew_after_fork

_STEP = 0.005


def pause(seconds: float, *, on_loop: bool) -> None:
    """Wait for so many seconds."""
    if on_loop:
        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)


class Turns:
    """A lock for threads, and for tasks of any event loop; not to be taken twice by one holder."""

    def __init__(self, *, on_loop: bool, lock: "threading.Lock | None" = None) -> None:
        self._on_loop = on_loop
        self._lock = lock or threading.Lock()
        if lock is None:
            renew_after_fork(self)

    def after_fork(self) -> None:
        """Begin untaken: who held it does not exist in this process."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._on_loop:
            self._lock.acquire()
            return
        while not self._lock.acquire(blocking=False):
            pause(_STEP, on_loop=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()
