"""Running decoders beside an event loop: in worker threads, cancelled within one step.

Threads and events only: an asyncio lock in an object that several event loops share can wait for
ever.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor
from contextvars import Context, copy_context
from typing import Final, TypeVar

from persona_judge_llm.errors import EngineClosedError
from persona_judge_llm.requests import StopCheck

T = TypeVar("T")


class _End:
    """Marks the end of a stream in the queue."""


_END: Final = _End()


async def run(pool: Executor, work: Callable[[StopCheck], T]) -> T:
    """Run `work` in a thread with the caller's context variables; tell it when cancelled."""
    cancelled = threading.Event()
    context = copy_context()
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(pool, lambda: context.run(work, cancelled.is_set))
    except RuntimeError as error:
        if (closed := _closed(error)) is error:
            raise
        raise closed from None
    finally:
        cancelled.set()


def _submit(pool: Executor, work: Callable[[], None]) -> None:
    try:
        pool.submit(work)
    except RuntimeError as error:
        raise _closed(error) from None


def _closed(error: RuntimeError) -> Exception:
    """Tell a pool that was shut down, whose error has no type of its own, from other errors."""
    return EngineClosedError() if "after shutdown" in str(error) else error


def stream(pool: Executor, work: Callable[[StopCheck], Iterator[T]]) -> AsyncGenerator[T, None]:
    """Return what `work` yields in a thread, as an async iterator.

    The context variables are those of this call, not of the one that reads. The thread starts
    with the first read.
    """
    return _stream(pool, work, copy_context())


async def _stream(
    pool: Executor,
    work: Callable[[StopCheck], Iterator[T]],
    context: Context,
) -> AsyncGenerator[T, None]:
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()
    queue: asyncio.Queue[T | _End | BaseException] = asyncio.Queue()

    def put(item: T | _End | BaseException) -> None:
        try:
            loop.call_soon_threadsafe(queue.put_nowait, item)
        except RuntimeError:  # the reader's loop is gone
            cancelled.set()

    def produce() -> None:
        try:
            for item in context.run(work, cancelled.is_set):
                if cancelled.is_set():
                    return
                put(item)
        except BaseException as error:  # noqa: BLE001  # handed to the reader, who raises it
            put(error)
        else:
            put(_END)

    _submit(pool, produce)
    try:
        while not isinstance(item := await queue.get(), _End):
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        cancelled.set()
