"""Running decoders beside an event loop: in worker threads, cancelled within one step.

Threads and events only: an asyncio lock in an object that several event loops share can wait for
ever.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Final, TypeVar

from persona_judge_llm.awaiting import remember
from persona_judge_llm.errors import EngineClosedError, EngineOverloadedError
from persona_judge_llm.forking import renew_after_fork
from persona_judge_llm.requests import StopCheck

T = TypeVar("T")


class Crew:
    """Threads that async calls run in: so many at once, and a bounded number that wait for one."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._threads = threads
        self._max_waiting = max_waiting
        self._closed = False
        self._start_afresh()
        renew_after_fork(self)

    def _start_afresh(self) -> None:
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="persona-judge")
        self._room = threading.Semaphore(self._threads + self._max_waiting)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` in a thread.

        Raises:
            EngineOverloadedError: too many wait already.
            EngineClosedError: after `close`.
        """
        if not self._room.acquire(blocking=False):
            raise EngineOverloadedError(self._max_waiting)
        try:
            future = self._pool.submit(work)
        except RuntimeError as error:
            self._room.release()
            if "after shutdown" in str(error):  # which has no type of its own
                raise EngineClosedError from None
            raise
        future.add_done_callback(lambda _: self._room.release())
        return future

    def close(self) -> None:
        """Take no more work. What waits for a thread still gets one; nobody is waited for."""
        self._closed = True
        self._pool.shutdown(wait=False)

    def after_fork(self) -> None:
        """Take new threads, as those of the parent do not exist here."""
        self._start_afresh()
        if self._closed:
            self.close()


class _End:
    """Marks the end of a stream in the queue."""


_END: Final = _End()
_NAP: Final = 1.0


async def run(crew: Crew, work: Callable[[StopCheck], T]) -> T:
    """Run `work` in a thread with the caller's context variables; tell it when cancelled."""
    cancelled = threading.Event()
    context = copy_context()
    context.run(remember, asyncio.get_running_loop())
    try:
        future = crew.submit(lambda: context.run(work, cancelled.is_set))
        return await asyncio.wrap_future(future)
    finally:
        cancelled.set()


def stream(crew: Crew, work: Callable[[StopCheck], Iterator[T]]) -> AsyncGenerator[T, None]:
    """Return what `work` yields in a thread, as an async iterator.

    The context variables are those of this call, not of the one that reads. The thread starts
    with the first read, and is never more than one item ahead of the reader.
    """
    return _stream(crew, work, copy_context())


def _wait_for_reader(ahead: threading.Semaphore, loop: asyncio.AbstractEventLoop) -> bool:
    """Wait until one more item may be made; return False if nobody will ever read it."""
    # The reader's loop may end without a word: nobody would ever wake this thread.
    while not ahead.acquire(timeout=_NAP):
        if loop.is_closed():
            return False
    return True


async def _stream(
    crew: Crew,
    work: Callable[[StopCheck], Iterator[T]],
    context: Context,
) -> AsyncGenerator[T, None]:
    loop = asyncio.get_running_loop()
    context.run(remember, loop)
    cancelled = threading.Event()
    queue: asyncio.Queue[T | _End | BaseException] = asyncio.Queue()
    ahead = threading.Semaphore(1)

    def put(item: T | _End | BaseException) -> None:
        try:
            loop.call_soon_threadsafe(queue.put_nowait, item)
        except RuntimeError:  # the reader's loop is gone
            cancelled.set()

    def produce() -> None:
        try:
            for item in context.run(work, cancelled.is_set):
                put(item)
                if not _wait_for_reader(ahead, loop) or cancelled.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  # handed to the reader, who raises it
            put(error)
        else:
            put(_END)

    future = crew.submit(produce)
    try:
        while not isinstance(item := await queue.get(), _End):
            if isinstance(item, BaseException):
                raise item
            yield item
            ahead.release()
    finally:
        cancelled.set()
        ahead.release()
        future.cancel()  # where it still waits for a thread
