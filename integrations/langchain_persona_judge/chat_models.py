"""`ChatPersonaJudge`: messages in, a message out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, ClassVar, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, model_validator
from typing_extensions import Self

from langchain_persona_judge.bindings import ChatBinding
from langchain_persona_judge.chat_calls import ChatCalls
from langchain_persona_judge.messages import to_chat
from langchain_persona_judge.results import AnswerStream, answer, summed, token_usage
from langchain_persona_judge.settings import Call
from langchain_persona_judge.structured import Method, compile_now, structured
from persona_judge_llm import __version__
from persona_judge_llm.answer_forms import FORM, constraint_of, instruction, tool_choice_of
from persona_judge_llm.errors import (
    ContextOverflowError,
    InvalidParameterError,
    InvalidPromptError,
)
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import Prompt, Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.splitting import reserved_tokens
from persona_judge_llm.trace import Generation


class ChatPersonaJudge(ChatCalls):
    """Answers conversations, each in its user's taste.

    Setup:
        `pip install 'persona-judge-llm[langchain]'`

    Instantiate:
        ```python
        chat = ChatPersonaJudge.from_pretrained("Qwen/Qwen2.5-0.5B-Instruct", profiles=store)
        chat = ChatPersonaJudge(engine=engine, temperature=0.7, max_tokens=128)
        ```

    Invoke:
        ```python
        chat.invoke("Plan a birthday.", user_id="alice")
        chat.with_user("alice").invoke("Plan a birthday.")
        (prompt | chat).invoke(inputs, config={"configurable": {"user_id": "alice"}})
        chat.invoke("Plan a birthday.", preferences=["Be concise", "Use vivid images"])
        ```

    Tool calling:
        `chat.bind_tools([...], tool_choice="any")`; calls fit their tools' schemas, whatever the
        model: what the syntax leaves open is decided by the user's taste, the syntax never is.

    Structured output:
        `chat.with_structured_output(Recipe)`: always fits the schema, on any model.

    Token usage:
        `usage_metadata` counts the conversation once; what the preferences add to each side's
        prompt, and how many tokens were accepted, recovered and bonus, is in
        `response_metadata["persona_judge"]`.

    Response metadata:
        `model_name`, `finish_reason`, `stop_sequence`, `acceptance_rate`, `profile_version`,
        `fingerprint`, `persona_judge`.

    Traces and cache keys hold a fingerprint in place of users and preferences. LangChain itself
    copies plain values of `configurable` into LangSmith's metadata; name the user by argument,
    `with_user` or `use_user()` where that is not wanted.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    call_arguments: ClassVar[tuple[str, ...]] = (
        *(*FORM, "model", "stream"),
        *("ls_structured_output_format", "structured_output_format"),
    )

    streaming: bool = False
    """Whether `invoke` is served by streaming, for the callbacks' sake; the answer is the same."""

    @model_validator(mode="after")
    def _set_persona_judge_version(self) -> Self:
        self._add_version("persona-judge-llm", __version__)
        self.engine.grammars.warm_up()  # here, rather than on some event loop later
        return self

    @property
    def _llm_type(self) -> str:
        return "persona_judge_chat"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "persona_judge"
        params["ls_model_name"] = kwargs.get("model", self.model_name)
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        """Describe the model; its input is what preferences and answer leave of the context."""
        held = self.engine.grammars.available
        profile = ModelProfile(
            tool_calling=self.engine.supports_tools,
            tool_choice=self.engine.supports_tools and held,
            structured_output=held,
            text_inputs=True,
            text_outputs=True,
        )
        if (window := self.engine.context_window) is not None:
            room = window - reserved_tokens(window) - (self.max_tokens or 0)
            profile["max_input_tokens"] = max(room, 1)
        if self.max_tokens is not None:
            profile["max_output_tokens"] = self.max_tokens
        return profile

    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids of `text` by the model's own tokenizer."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        ids: list[int] = self.engine.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """Return how many tokens the messages take in the model's chat template.

        Without any preference, as in `usage_metadata`. Messages that hold no question, which
        cannot be answered, are counted as what they add to one.
        """
        schemas = [convert_to_openai_tool(tool) for tool in tools or ()] or None
        chat = to_chat(messages)
        if any(m["role"] in ("user", "tool") and m["content"].strip() for m in chat):
            return self._count(chat, schemas)
        probe = {"role": "user", "content": "x"}
        return self._count([*chat, probe], schemas) - self._count([probe], None)

    def _count(self, chat: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> int:
        params = SamplingParams(max_new_tokens=1)
        try:
            return self.engine.prepare(
                Request(chat, params=params, persona=False, tools=tools)
            ).prompt_tokens
        except ContextOverflowError as error:  # counting is how callers find out and trim
            return error.prompt_tokens

    def bind(self, **kwargs: Any) -> ChatBinding:
        """Return a binding that hands these arguments to every call, whichever way it is made."""
        return ChatBinding(bound=self, kwargs=kwargs, config={})

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> ChatBinding:
        """Return a binding that hands this config to every call, whichever way it is made."""
        merged = cast("RunnableConfig", {**(config or {}), **kwargs})
        return ChatBinding(bound=self, kwargs={}, config=merged)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model.

        Args:
            tools: functions, tools, pydantic classes or schemas.
            tool_choice: None or "auto" let the model decide, "none" offers nothing, "any",
                "required" or True make it call one, the name of a tool that one.
            strict: whether schemas are written as OpenAI's strict ones; calls always fit them.
            kwargs: bound as well, such as `parallel_tool_calls=False`.

        Raises:
            InvalidParameterError: a choice that cannot be met.
            UnsupportedModelError: a forced call on a tokenizer that cannot be constrained.
        """
        try:
            schemas = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        except Exception as error:
            raise InvalidPromptError(
                "tools", tools, "functions, tools, classes or schemas"
            ) from error
        chosen = {} if tool_choice is None else {"tool_choice": tool_choice}
        compile_now(self.engine, constraint_of({**kwargs, **chosen}, schemas))
        return self.bind(tools=schemas, **chosen, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Hold answers to a schema and return them parsed; on any model, whatever its weights.

        Args:
            schema: a pydantic class, a TypedDict, a JSON Schema or an OpenAI function.
            method: "json_schema" answers in JSON, "function_calling" by a call of a tool that has
                the schema; "json_mode" is as the first, and any object where no schema is given.
            include_raw: return {"raw", "parsed", "parsing_error"}; an answer that cannot be
                parsed, such as one that a `stop` string cut off, is then no exception.
            strict: taken for other providers' sake; answers always fit.
            kwargs: bound as well.

        Raises:
            InvalidParameterError: an unknown method or a schema that cannot be decoded by.
        """
        return structured(self, schema, method, kwargs, include_raw=include_raw, strict=strict)

    def read_call(
        self,
        arguments: Mapping[str, Any],
        config: RunnableConfig | None,
        stop: list[str] | None,
        also: Sequence[str] = (),
    ) -> Call:
        """Sort the arguments of a call; see `PersonaJudgeSettings`.

        Raises:
            InvalidParameterError: a form of answer that cannot be met, or another model's name.
        """
        call = super().read_call(arguments, config, stop, also)
        if call.rest.get("model", self.model_name) != self.model_name:
            raise InvalidParameterError(
                "model", call.rest["model"], f"{self.model_name!r}: this engine has one model"
            )
        offered = tool_choice_of(call.rest.get("tool_choice")) != "none"
        tools = call.tools if offered else None
        return replace(call, tools=tools, constraint=constraint_of(call.rest, tools))

    def to_request(self, prompt: Prompt, call: Call) -> Request:
        """Return the request for one prompt of a call; see `PersonaJudgeSettings`."""
        if told := instruction(call.rest):
            said = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            prompt = [{"role": "system", "content": told}, *said]
        return super().to_request(prompt, call)

    # --- What LangChain calls, on the copy made for the call -------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        calls = self.answers_to(self._call_of(messages, stop, kwargs))
        if len(calls) == 1:
            return self._result(calls, [self.engine.generate(calls[0])])
        return self._result(calls, self.engine.generate_batch(calls))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        calls = self.answers_to(self._call_of(messages, stop, kwargs))
        tasks = [asyncio.ensure_future(self.engine.agenerate(call)) for call in calls]
        try:
            return self._result(calls, await asyncio.gather(*tasks))
        finally:
            for task in tasks:  # one failed, or this call was cancelled: nobody reads the rest
                task.cancel()

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = self.single(self._call_of(messages, stop, kwargs))
        pieces = AnswerStream(self.reading(tools=bool(call.request.tools)))
        with closing(self.engine.stream(call)) as chunks:
            for chunk in chunks:
                for piece in pieces.feed(chunk):
                    if run_manager:
                        run_manager.on_llm_new_token(piece.text, chunk=piece)
                    yield piece

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = self.single(self._call_of(messages, stop, kwargs))
        pieces = AnswerStream(self.reading(tools=bool(call.request.tools)))
        async with aclosing(self.engine.astream(call)) as chunks:
            async for chunk in chunks:
                for piece in pieces.feed(chunk):
                    if run_manager:
                        await run_manager.on_llm_new_token(piece.text, chunk=piece)
                    yield piece

    def _call_of(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> PreparedCall:
        if self._calls is not None:
            (prepared,) = self._calls
            return prepared
        # Somebody called a private method on the model itself.
        call = self.read_call(kwargs, None, stop)
        return self.engine.prepare(self.to_request(to_chat(messages), call))

    def _result(
        self, calls: Sequence[PreparedCall], generations: Sequence[Generation]
    ) -> ChatResult:
        reading = self.reading(tools=bool(calls[0].request.tools))
        messages = [answer(generation, reading) for generation in generations]
        for message in messages[1:]:  # the prompt of them all is counted once
            if message.usage_metadata is not None:
                message.usage_metadata["input_tokens"] = 0
                message.usage_metadata["total_tokens"] = message.usage_metadata["output_tokens"]
        # LangChain adds a single answer's output to its message, which says all of it already.
        several = {"model_name": self.model_name, "token_usage": token_usage(generations)}
        return ChatResult(
            generations=[ChatGeneration(message=m) for m in messages],
            llm_output=several if len(messages) > 1 else None,
        )

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        return summed(llm_outputs)
