"""From LangChain's public chat methods to one prepared call of one user.

LangChain hands `config` to these methods only, computes its cache key behind them, and starts
traces there. So user and profile are settled here, and what follows runs on a copy of the model
that knows this call, and that key and traces know by its fingerprint.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast

from langchain_core.callbacks import (
    Callbacks,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import run_in_executor

from langchain_persona_judge.messages import to_chat
from langchain_persona_judge.settings import RUN, Call, PersonaJudgeSettings
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import Request


class ChatCalls(PersonaJudgeSettings, BaseChatModel):
    """The public methods of `ChatPersonaJudge`.

    On the copy made for a call (`_calls` is set) they are LangChain's own.
    """

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a conversation."""
        if self._calls is None:
            kwargs = self.named(kwargs, config)
        return super().invoke(input, config, stop=stop, **kwargs)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a conversation."""
        if self._calls is None:
            kwargs = self.named(kwargs, config)
        return await super().ainvoke(input, config, stop=stop, **kwargs)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Answer in pieces; user and profile are settled now, not at the first piece."""
        call, request = self._read(input, config, stop, kwargs)
        one = self.for_calls(call.settings, [self.engine.prepare(request)])
        return BaseChatModel.stream(one, input, config, stop=one.stop, **call.rest)

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Answer in pieces; the user is settled now, the profile read at the first piece."""
        call, request = self._read(input, config, stop, kwargs)

        async def pieces() -> AsyncIterator[AIMessageChunk]:
            one = self.for_calls(call.settings, [await self._prepare(request)])
            stream = BaseChatModel.astream(one, input, config, stop=one.stop, **call.rest)
            async with aclosing(cast("AsyncGenerator[AIMessageChunk]", stream)) as chunks:
                async for chunk in chunks:
                    yield chunk

        return pieces()

    def stream_events(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v1", "v2", "v3"] = "v2",
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answer as events; user and profile are settled now."""
        if version != "v3":
            return super().stream_events(input, config, version=version, stop=stop, **kwargs)
        call, request = self._read(input, config, stop, kwargs)
        one = self.for_calls(call.settings, [self.engine.prepare(request)])
        return BaseChatModel.stream_events(
            one, input, config, version="v3", stop=one.stop, **call.rest
        )

    def astream_events(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v1", "v2", "v3"] = "v2",
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answer as events; v1 and v2 go through `astream`."""
        if version != "v3":
            return super().astream_events(input, config, version=version, stop=stop, **kwargs)
        call, request = self._read(input, config, stop, kwargs)

        async def open_stream() -> Any:
            one = self.for_calls(call.settings, [await self._prepare(request)])
            return await BaseChatModel.astream_events(
                one, input, config, version="v3", stop=one.stop, **call.rest
            )

        return open_stream()

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer several conversations of one user, each as a call of its own."""
        if self._calls is not None:
            return super().generate(messages, stop, callbacks, **kwargs)
        call = self.read_call(kwargs, None, stop, RUN)
        results = []
        for conversation, rest in _single_calls(messages, call.rest):
            prepared = self.engine.prepare(self.to_request(to_chat(conversation), call))
            one = self.for_calls(call.settings, [prepared])
            results.append(one.generate([conversation], one.stop, callbacks, **rest))
        return self._joined(results)

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer several conversations of one user at once, each as a call of its own."""
        if self._calls is not None:
            return await super().agenerate(messages, stop, callbacks, **kwargs)
        call = self.read_call(kwargs, None, stop, RUN)

        async def answer_one(conversation: list[BaseMessage], rest: dict[str, Any]) -> LLMResult:
            request = self.to_request(to_chat(conversation), call)
            one = self.for_calls(call.settings, [await self._prepare(request)])
            return await one.agenerate([conversation], one.stop, callbacks, **rest)

        singles = _single_calls(messages, call.rest)
        answering = [answer_one(conversation, rest) for conversation, rest in singles]
        results = []
        for found in await asyncio.gather(*answering, return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
            results.append(found)
        return self._joined(results)

    def _read(
        self,
        given: LanguageModelInput,
        config: RunnableConfig | None,
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
    ) -> tuple[Call, Request]:
        call = self.read_call(kwargs, config, stop)
        return call, self.to_request(to_chat(self._convert_input(given).to_messages()), call)

    async def _prepare(self, request: Request) -> PreparedCall:
        return await run_in_executor(None, self.engine.prepare, request)

    def _joined(self, results: Sequence[LLMResult]) -> LLMResult:
        return LLMResult(
            generations=[conversation for r in results for conversation in r.generations],
            llm_output=self._combine_llm_outputs([r.llm_output for r in results]),
            run=[info for r in results for info in r.run or ()] or None,
        )


def _single_calls(
    messages: Sequence[list[BaseMessage]], rest: Mapping[str, Any]
) -> Iterator[tuple[list[BaseMessage], dict[str, Any]]]:
    """Yield each conversation with the arguments of its call; a run id names the first run only."""
    for index, conversation in enumerate(messages):
        yield conversation, {k: v for k, v in rest.items() if index == 0 or k != "run_id"}
