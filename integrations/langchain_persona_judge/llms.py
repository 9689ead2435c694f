"""`PersonaJudgeLLM`: strings in, strings out."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import BaseMessage, get_buffer_string
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from pydantic import ConfigDict, model_validator
from typing_extensions import Self

from langchain_persona_judge.bindings import KeepsUser
from langchain_persona_judge.llm_calls import LLMCalls
from langchain_persona_judge.results import completion_chunk, completion_info, token_usage
from persona_judge_llm import __version__
from persona_judge_llm.errors import ContextOverflowError, InvalidParameterError
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.trace import Generation as Answer


class PersonaJudgeLLM(LLMCalls):
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

    def bind(self, **kwargs: Any) -> KeepsUser:
        """Return a binding that hands these arguments to every call, whichever way it is made."""
        return KeepsUser(bound=self, kwargs=kwargs, config={})

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> KeepsUser:
        """Return a binding that hands this config to every call, whichever way it is made."""
        merged = cast("RunnableConfig", {**(config or {}), **kwargs})
        return KeepsUser(bound=self, kwargs={}, config=merged)

    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids of `text` by the model's own tokenizer."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        ids: list[int] = self.engine.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Return how many tokens the messages take as the one string that `invoke` makes of them.

        In the model's chat template, without any preference, as in `token_usage`.

        Raises:
            InvalidParameterError: tools, which a string has no place for.
        """
        if tools:
            raise InvalidParameterError("tools", "...", "left out: only the chat model takes any")
        request = Request(
            get_buffer_string(messages), params=SamplingParams(max_new_tokens=1), persona=False
        )
        try:
            return self.engine.prepare(request).prompt_tokens
        except ContextOverflowError as error:  # counting is how callers find out and trim
            return error.prompt_tokens

    # --- What LangChain calls, on the copy made for the call -------------------------------------

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        calls = [c for call in self._calls_of(prompts, stop, kwargs) for c in self.answers_to(call)]
        return self._result(self.engine.generate_batch(calls), len(prompts))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        calls = [c for call in self._calls_of(prompts, stop, kwargs) for c in self.answers_to(call)]
        tasks = [asyncio.ensure_future(self.engine.agenerate(call)) for call in calls]
        try:
            return self._result(await asyncio.gather(*tasks), len(prompts))
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
        with closing(self.engine.stream(self.single(call))) as chunks:
            for chunk in chunks:
                piece = completion_chunk(chunk, self.reading())
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
        async with aclosing(self.engine.astream(self.single(call))) as chunks:
            async for chunk in chunks:
                piece = completion_chunk(chunk, self.reading())
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

    def _result(self, answers: Sequence[Answer], prompts: int) -> LLMResult:
        reading = self.reading()
        each = len(answers) // (prompts or 1)
        return LLMResult(
            generations=[
                [
                    Generation(text=a.text, generation_info=completion_info(a, reading))
                    for a in answers[first : first + each]
                ]
                for first in range(0, len(answers), each or 1)
            ],
            llm_output={
                "model_name": self.model_name,
                "token_usage": token_usage(answers, each or 1),
            },
        )
