"""From LangChain's public methods for strings to prepared calls, each of its own user.

See `chat_calls`. `BaseLLM` differs in two ways: its cache key holds no arguments of the call, and
its `batch` makes one call for all prompts.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain_core.callbacks import (
    Callbacks,
)
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import (
    get_config_list,
    run_in_executor,
)

from langchain_persona_judge.settings import RUN, PersonaJudgeSettings
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import Request


class LLMCalls(PersonaJudgeSettings, BaseLLM):
    """The public methods of `PersonaJudgeLLM`."""

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> str:
        """Answer a prompt."""
        named = self.named(kwargs, config)
        return super().invoke(input, config, stop=stop, **named)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> str:
        """Answer a prompt."""
        named = self.named(kwargs, config)
        return await super().ainvoke(input, config, stop=stop, **named)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[str]:
        """Answer a prompt in pieces; user and profile are settled now, not at the first piece."""
        call = self.read_call(kwargs, config, stop)
        request = self.to_request(self._convert_input(input).to_string(), call)
        one = self.for_calls(call.settings, [self.engine.prepare(request)])
        return BaseLLM.stream(one, input, config, stop=one.stop)

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[str]:
        """Answer a prompt in pieces; the user is settled now, the profile read at the first."""
        call = self.read_call(kwargs, config, stop)
        request = self.to_request(self._convert_input(input).to_string(), call)

        async def pieces() -> AsyncIterator[str]:
            prepared = await run_in_executor(None, self.engine.prepare, request)
            one = self.for_calls(call.settings, [prepared])
            stream = BaseLLM.astream(one, input, config, stop=one.stop)
            async with aclosing(cast("AsyncGenerator[str]", stream)) as texts:
                async for text in texts:
                    yield text

        return pieces()

    def generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer several prompts for one user, in one batch."""
        if self._calls is not None:
            return super().generate(prompts, stop, callbacks, **kwargs)
        call = self.read_call(kwargs, None, stop, RUN)
        prepared = [self.engine.prepare(self.to_request(p, call)) for p in prompts]
        one = self.for_calls(call.settings, prepared)
        return BaseLLM.generate(one, prompts, one.stop, callbacks, **call.rest)

    async def agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer several prompts for one user, at once."""
        if self._calls is not None:
            return await super().agenerate(prompts, stop, callbacks, **kwargs)
        call = self.read_call(kwargs, None, stop, RUN)
        requests = [self.to_request(p, call) for p in prompts]
        one = self.for_calls(call.settings, await self._prepare_all(requests))
        return await BaseLLM.agenerate(one, prompts, one.stop, callbacks, **call.rest)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """Answer several prompts, each for the user that its own config names."""
        if self._calls is not None:
            return super().batch(inputs, config, **kwargs)
        if return_exceptions:
            # Each on its own: BaseLLM would return one prompt's error for every prompt.
            return Runnable.batch(self, inputs, config, return_exceptions=True, **kwargs)
        outputs: list[str] = []
        for part, configs in _parts(inputs, config):
            settings, requests = self._read_batch(part, configs, kwargs)
            prepared = [self.engine.prepare(request) for request in requests]
            texts = dict[int, str]()
            for group in self._groups(prepared):
                one = self.for_calls(settings, [prepared[i] for i in group])
                its_configs = [configs[i] for i in group]
                found = one.batch([part[i] for i in group], its_configs, stop=one.stop)
                texts.update(zip(group, found, strict=True))
            outputs += [texts[i] for i in range(len(part))]
        return outputs

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """Answer several prompts, each for the user that its own config names."""
        if self._calls is not None:
            return await super().abatch(inputs, config, **kwargs)
        if return_exceptions:
            return await Runnable.abatch(self, inputs, config, return_exceptions=True, **kwargs)
        outputs: list[str] = []
        for part, configs in _parts(inputs, config):
            settings, requests = self._read_batch(part, configs, kwargs)
            prepared = await self._prepare_all(requests)
            texts = dict[int, str]()
            for group in self._groups(prepared):
                one = self.for_calls(settings, [prepared[i] for i in group])
                its_configs = [configs[i] for i in group]
                found = await one.abatch([part[i] for i in group], its_configs, stop=one.stop)
                texts.update(zip(group, found, strict=True))
            outputs += [texts[i] for i in range(len(part))]
        return outputs

    def _read_batch(
        self,
        inputs: Sequence[LanguageModelInput],
        configs: Sequence[RunnableConfig],
        kwargs: Mapping[str, Any],
    ) -> tuple[dict[str, Any], list[Request]]:
        calls = [self.read_call(kwargs, config, None) for config in configs]
        prompts = [self._convert_input(given).to_string() for given in inputs]
        requests = [self.to_request(p, c) for p, c in zip(prompts, calls, strict=True)]
        return calls[0].settings, requests

    async def _prepare_all(self, requests: Sequence[Request]) -> list[PreparedCall]:
        def read() -> list[PreparedCall]:
            return [self.engine.prepare(request) for request in requests]

        return await run_in_executor(None, read)

    def _groups(self, prepared: Sequence[PreparedCall]) -> list[list[int]]:
        """Return which calls LangChain may be given together: with a cache, only one user's."""
        if self.cache is False or (self.cache is None and get_llm_cache() is None):
            return [list(range(len(prepared)))]
        groups: dict[str, list[int]] = defaultdict(list)
        for index, call in enumerate(prepared):
            groups[call.fingerprint].append(index)
        return list(groups.values())


def _parts(
    inputs: Sequence[LanguageModelInput],
    config: RunnableConfig | list[RunnableConfig] | None,
) -> Iterator[tuple[list[LanguageModelInput], list[RunnableConfig]]]:
    """Yield the inputs and their configs in turns of `max_concurrency`."""
    if not inputs:
        return
    configs = get_config_list(config, len(inputs))
    size = configs[0].get("max_concurrency") or len(inputs)
    for start in range(0, len(inputs), size):
        part = configs[start : start + size]
        yield list(inputs[start : start + size]), [{**c, "max_concurrency": None} for c in part]
