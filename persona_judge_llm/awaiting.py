"""Waiting, in a worker thread, for something that only the caller's event loop can do.

The engine prepares async calls in threads. A profile store of theirs that is asynchronous belongs
to the loop of the caller, so that the read runs there and the thread waits for it.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import ContextVar
from typing import Any, TypeVar

from persona_judge_llm.errors import InvalidParameterError, ProfileStoreUnavailableError

T = TypeVar("T")

_LOOK_SECONDS = 0.2

_loop: ContextVar["asyncio.AbstractEventLoop | None"] = ContextVar("persona_judge_loop")


def remember(loop: asyncio.AbstractEventLoop) -> None:
    """Make `loop` the one that `result_of` asks, in the present context."""
    _loop.set(loop)


def result_of(awaitable: Awaitable[T]) -> T:
    """Return what `awaitable` gives on the caller's event loop.

    Raises:
        InvalidParameterError: the call was not made from a loop, as of `generate`.
        ProfileStoreUnavailableError: the loop ended first.
    """
    loop = _loop.get(None)
    if loop is None:
        _close(awaitable)
        raise InvalidParameterError(
            "profiles",
            "an asynchronous store",
            "a synchronous one, except in agenerate and astream",
        )
    waiting = _waiting(awaitable)
    try:
        future = asyncio.run_coroutine_threadsafe(waiting, loop)
    except RuntimeError:  # the loop is closed
        waiting.close()
        _close(awaitable)
        raise _ended() from None
    while True:
        try:
            return future.result(_LOOK_SECONDS)
        except FutureTimeoutError:
            if future.done():  # the store's own error
                raise
            if loop.is_closed():
                raise _ended() from None


async def _waiting(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _close(awaitable: "Awaitable[Any]") -> None:
    if inspect.iscoroutine(awaitable):
        coroutine: Coroutine[Any, Any, Any] = awaitable
        coroutine.close()


def _ended() -> ProfileStoreUnavailableError:
    return ProfileStoreUnavailableError("the event loop ended before the profile was read")
