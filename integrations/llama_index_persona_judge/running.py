"""Calls on their way: a prepared call, its open stream, and how others end it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.trace import Chunk

T = TypeVar("T")


class RunningCalls:
    """The calls of an LLM whose streams are open; keeps none of them alive."""

    def __init__(self) -> None:
        self._calls: WeakValueDictionary[int, RunningCall] = WeakValueDictionary()

    def add(self, call: "RunningCall") -> None:
        """Have a call ended by `cancel`."""
        self._calls[id(call)] = call

    def cancel(self) -> None:
        """End the streams that are open now; from any thread."""
        for reference in self._calls.valuerefs():
            if (call := reference()) is not None:
                call.cancel()


class RunningCall:
    """A prepared call, and the stream of its answer once that is open."""

    def __init__(self, prepared: PreparedCall, others: RunningCalls) -> None:
        self.prepared = prepared
        held = prepared.request.constraint
        self.reads_tool_calls = bool(prepared.request.tools) or (held is not None and held.tags)
        self._others = others
        self._stream: Generator[Any, None, None] | AsyncGenerator[Any, None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Task[None] | None = None
        self._cancelled = False

    def stream(
        self, chunks: Generator[Chunk, None, None], translate: Callable[[Chunk], T | None]
    ) -> Generator[T, None, None]:
        """Translate chunks as they come, leaving out those that translate to None."""
        self._stream = chunks
        self._others.add(self)
        return self._translated(chunks, translate)

    def astream(
        self, chunks: AsyncGenerator[Chunk, None], translate: Callable[[Chunk], T | None]
    ) -> AsyncGenerator[T, None]:
        """Translate chunks as they come, leaving out those that translate to None."""
        self._stream = chunks
        self._loop = asyncio.get_running_loop()
        self._others.add(self)
        return self._atranslated(chunks, translate)

    def _translated(
        self, chunks: Generator[Chunk, None, None], translate: Callable[[Chunk], T | None]
    ) -> Generator[T, None, None]:
        for chunk in chunks:
            if self._cancelled:
                return
            if (item := translate(chunk)) is not None:
                yield item

    async def _atranslated(
        self, chunks: AsyncGenerator[Chunk, None], translate: Callable[[Chunk], T | None]
    ) -> AsyncGenerator[T, None]:
        async for chunk in chunks:
            if self._cancelled:
                return
            if (item := translate(chunk)) is not None:
                yield item

    def cancel(self) -> None:
        """End the stream within a step, from any thread, whether it is being read or not.

        A stream that is being read ends itself at its next chunk: nobody else can close it.
        """
        self._cancelled = True
        if isinstance(self._stream, Generator):
            with suppress(ValueError):  # it is being read
                self._stream.close()
        elif self._loop is not None:
            with suppress(RuntimeError):  # its loop is gone, and it with that
                self._loop.call_soon_threadsafe(self._close_soon)

    def _close_soon(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._aclose_unless_read())

    async def _aclose_unless_read(self) -> None:
        with suppress(RuntimeError):  # it is being read
            await self.aclose()

    def close(self) -> None:
        """Stop the decoder of a stream."""
        if isinstance(self._stream, Generator):
            self._stream.close()

    async def aclose(self) -> None:
        """Stop the decoder of an asynchronous stream."""
        if isinstance(self._stream, AsyncGenerator):
            await self._stream.aclose()
