"""`PersonaJudgeLLM`: strings in, strings out."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import (
    get_config_list,
    run_in_executor,
)
from pydantic import ConfigDict, model_validator
from typing_extensions import Self

from langchain_persona_judge.results import completion_chunk, completion_info
from langchain_persona_judge.settings import PersonaJudgeSettings
from persona_judge_llm import __version__
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import Request
from persona_judge_llm.trace import Generation as Answer


class PersonaJudgeLLM(PersonaJudgeSettings, BaseLLM):
    """Completes strings, each in its user's taste.

    Setup:
        `pip install 'persona-judge-llm[langchain]'`

    Instantiate:
        ```python
        llm = PersonaJudgeLLM.from_pretrained("Qwen/Qwen2.5-0.5B-Instruct", profiles=store)
        llm = PersonaJudgeLLM(engine=engine, temperature=0.7, max_tokens=128)
        ```

    Invoke:
        ```python
        llm.invoke("Plan a birthday.", user_id="alice")
        llm.with_user("alice").invoke("Plan a birthday.")
        chain.batch(inputs, config=[{"configurable": {"user_id": u}} for u in users])
        llm.invoke("Plan a birthday.", preferences=["Be concise", "Use vivid images"])
        ```

    Traces and cache keys hold a fingerprint in place of users and preferences. LangChain itself
    copies plain values of `configurable` into LangSmith's metadata; name the user by argument,
    `with_user` or `use_user()` where that is not wanted.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @model_validator(mode="after")
    def _set_persona_judge_version(self) -> Self:
        self._add_version("persona-judge-llm", __version__)
        return self

    @property
    def _llm_type(self) -> str:
        return "persona_judge"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "persona_judge"
        params["ls_model_name"] = kwargs.get("model", self.model_name)
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids of `text` by the model's own tokenizer."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        ids: list[int] = self.engine.tokenizer.encode(text, add_special_tokens=False)
        return ids

    # --- Public methods: the user is settled here, where LangChain still has the config ----------

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
            async with aclosing(BaseLLM.astream(one, input, config, stop=one.stop)) as texts:
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
        call = self.read_call(kwargs, None, stop)
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
        call = self.read_call(kwargs, None, stop)
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

    # --- What LangChain calls, on the copy made for the call -------------------------------------

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        return self._result(self.engine.generate_batch(self._calls_of(prompts, stop, kwargs)))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        calls = self._calls_of(prompts, stop, kwargs)
        tasks = [asyncio.ensure_future(self.engine.agenerate(call)) for call in calls]
        try:
            return self._result(await asyncio.gather(*tasks))
        finally:
            for task in tasks:  # one failed, or this call was cancelled: nobody reads the rest
                task.cancel()

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        (call,) = self._calls_of([prompt], stop, kwargs)
        with closing(self.engine.stream(call)) as chunks:
            for chunk in chunks:
                piece = completion_chunk(chunk, self.model_name)
                if run_manager:
                    run_manager.on_llm_new_token(piece.text, chunk=piece)
                yield piece

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        (call,) = self._calls_of([prompt], stop, kwargs)
        async with aclosing(self.engine.astream(call)) as chunks:
            async for chunk in chunks:
                piece = completion_chunk(chunk, self.model_name)
                if run_manager:
                    await run_manager.on_llm_new_token(piece.text, chunk=piece)
                yield piece

    def _calls_of(
        self, prompts: Sequence[str], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> list[PreparedCall]:
        """Return the prepared calls of these prompts; after a cache look-up they may be fewer."""
        if self._calls is None:  # somebody called a private method on the model itself
            call = self.read_call(kwargs, None, stop)
            return [self.engine.prepare(self.to_request(p, call)) for p in prompts]
        waiting: dict[Any, deque[PreparedCall]] = defaultdict(deque)
        for prepared in self._calls:
            waiting[prepared.request.prompt].append(prepared)
        return [waiting[prompt].popleft() for prompt in prompts]

    def _result(self, answers: Sequence[Answer]) -> LLMResult:
        prompt_tokens = sum(a.usage.prompt_tokens for a in answers)
        completion_tokens = sum(a.usage.completion_tokens for a in answers)
        return LLMResult(
            generations=[
                [Generation(text=a.text, generation_info=completion_info(a, self.model_name))]
                for a in answers
            ],
            llm_output={
                "model_name": self.model_name,
                "token_usage": {
                    "prompt_tokens": prompt_tokens,
                    "completion_tokens": completion_tokens,
                    "total_tokens": prompt_tokens + completion_tokens,
                },
            },
        )


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
