"""What reads structured answers: LangChain's parsers, which take no cut answer for a whole one."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import (
    BaseCumulativeTransformOutputParser,
    JsonOutputKeyToolsParser,
    JsonOutputParser,
    PydanticOutputParser,
    PydanticToolsParser,
)
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import AddableDict, Runnable, RunnableGenerator


def _check_whole(result: list[Generation]) -> None:
    # LangChain completes JSON that was cut off, which is right only while it grows.
    try:
        json.loads(result[0].text)
    except ValueError as error:
        raise OutputParserException(
            f"the answer was cut off: {error}", llm_output=result[0].text
        ) from error


def _check_called(found: object, result: list[Generation]) -> None:
    if found is None:
        raise OutputParserException("the answer holds no whole call", llm_output=result[0].text)


class ReadToTheEnd(BaseCumulativeTransformOutputParser[Any]):
    """Reads a stream's last state as a whole answer: LangChain's parsers take any state for one."""

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        pieces: list[str | BaseMessage] = []

        def kept() -> Iterator[str | BaseMessage]:
            for piece in input:
                pieces.append(piece)
                yield piece

        yield from super()._transform(kept())
        self._check_end(pieces)

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        pieces: list[str | BaseMessage] = []

        async def kept() -> AsyncIterator[str | BaseMessage]:
            async for piece in input:
                pieces.append(piece)
                yield piece

        async for found in super()._atransform(kept()):
            yield found
        self._check_end(pieces)

    def _check_end(self, pieces: Sequence[Any]) -> None:
        if not pieces:
            return
        whole = reduce(add, pieces)
        found = Generation(text=whole) if isinstance(whole, str) else ChatGeneration(message=whole)
        self.parse_result([found])


class WholeJson(ReadToTheEnd, JsonOutputParser):
    """Reads JSON."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Read an answer; one that is still growing may be partial."""
        if not partial:
            _check_whole(result)
        return super().parse_result(result, partial=partial)


class WholePydantic(ReadToTheEnd, PydanticOutputParser[Any]):
    """Reads JSON into an object of a class."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Read an answer; one that is still growing may be partial."""
        if not partial:
            _check_whole(result)
        return super().parse_result(result, partial=partial)


class WholeCall(ReadToTheEnd, JsonOutputKeyToolsParser):
    """Reads the arguments of a tool call."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Read an answer; one that is still growing may be partial."""
        found = super().parse_result(result, partial=partial)
        if not partial:
            _check_called(found, result)
        return found


class WholePydanticCall(ReadToTheEnd, PydanticToolsParser):
    """Reads the arguments of a tool call into an object of a class."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Read an answer; one that is still growing may be partial."""
        found = super().parse_result(result, partial=partial)
        if not partial:
            _check_called(found, result)
        return found


def with_raw(parser: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Return what gives a message beside what was read from it, or why it cannot be read.

    In a stream the message comes in pieces, and what was read from it once it is whole.
    """

    def read(pieces: Sequence[Any]) -> AddableDict:
        whole = reduce(add, pieces)
        try:
            return AddableDict(parsed=parser.invoke(whole), parsing_error=None)
        except Exception as error:  # noqa: BLE001  # a class may refuse its values in any way
            return AddableDict(parsed=None, parsing_error=error)

    def reading(pieces: Iterator[Any]) -> Iterator[AddableDict]:
        seen = []
        for piece in pieces:
            seen.append(piece)
            yield AddableDict(raw=piece)
        yield read(seen)

    async def areading(pieces: AsyncIterator[Any]) -> AsyncIterator[AddableDict]:
        seen = []
        async for piece in pieces:
            seen.append(piece)
            yield AddableDict(raw=piece)
        yield read(seen)

    return RunnableGenerator(reading, areading, name="read_answer")
