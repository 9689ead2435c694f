"""What reads structured answers: LangChain's parsers, which take no cut answer for a whole one."""

import json
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import (
    JsonOutputKeyToolsParser,
    JsonOutputParser,
    PydanticOutputParser,
    PydanticToolsParser,
)
from langchain_core.outputs import Generation


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


class WholeJson(JsonOutputParser):
    """Reads JSON."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Read an answer; one that is still growing may be partial."""
        if not partial:
            _check_whole(result)
        return super().parse_result(result, partial=partial)


class WholePydantic(PydanticOutputParser[Any]):
    """Reads JSON into an object of a class."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Read an answer; one that is still growing may be partial."""
        if not partial:
            _check_whole(result)
        return super().parse_result(result, partial=partial)


class WholeCall(JsonOutputKeyToolsParser):
    """Reads the arguments of a tool call."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Read an answer; one that is still growing may be partial."""
        found = super().parse_result(result, partial=partial)
        if not partial:
            _check_called(found, result)
        return found


class WholePydanticCall(PydanticToolsParser):
    """Reads the arguments of a tool call into an object of a class."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Read an answer; one that is still growing may be partial."""
        found = super().parse_result(result, partial=partial)
        if not partial:
            _check_called(found, result)
        return found
