"""`ChatPersonaJudge`: messages in, a message out."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, ClassVar, NoReturn

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

from langchain_persona_judge.chat_calls import ChatCalls
from langchain_persona_judge.messages import to_chat
from langchain_persona_judge.results import AnswerStream, answer
from langchain_persona_judge.settings import Call
from persona_judge_llm import __version__
from persona_judge_llm.errors import ContextOverflowError, UnsupportedModelError
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
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
        `chat.bind_tools([...])`; the model decides whether to call one. Forcing a call, and
        `with_structured_output`, are not available yet.

    Token usage:
        `usage_metadata` counts the conversation once; what the preferences add to each side's
        prompt is in `response_metadata["persona_judge"]`.

    Response metadata:
        `model_name`, `finish_reason`, `stop_sequence`, `acceptance_rate`, `profile_version`,
        `fingerprint`, `persona_judge`.

    Traces and cache keys hold a fingerprint in place of users and preferences. LangChain itself
    copies plain values of `configurable` into LangSmith's metadata; name the user by argument,
    `with_user` or `use_user()` where that is not wanted.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    call_arguments: ClassVar[tuple[str, ...]] = (
        *("tools", "tool_choice", "stream"),
        *("ls_structured_output_format", "structured_output_format"),
    )

    streaming: bool = False
    """Whether `invoke` is served by streaming, for the callbacks' sake; the answer is the same."""

    @model_validator(mode="after")
    def _set_persona_judge_version(self) -> Self:
        self._add_version("persona-judge-llm", __version__)
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
        window = self.engine.context_window
        profile = ModelProfile(tool_calling=self.engine.supports_tools, text_inputs=True)
        return profile if window is None else {**profile, "max_input_tokens": window}

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

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model.

        Args:
            tools: functions, tools, pydantic classes or schemas.
            tool_choice: None or "auto" let the model decide; "none" offers nothing.
            kwargs: bound as well.

        Raises:
            UnsupportedModelError: a forced call, which is not available yet.
        """
        _check_tool_choice(tool_choice)
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        chosen = {} if tool_choice is None else {"tool_choice": tool_choice}
        return self.bind(tools=schemas, **chosen, **kwargs)

    def with_structured_output(self, schema: dict[str, Any] | type, **kwargs: Any) -> NoReturn:
        """Not available yet: it takes decoding that is held to a schema.

        Raises:
            UnsupportedModelError: always.
        """
        raise UnsupportedModelError(
            "with_structured_output is not available yet: this version cannot hold an answer to "
            "a schema"
        )

    def read_call(
        self,
        arguments: Mapping[str, Any],
        config: RunnableConfig | None,
        stop: list[str] | None,
        also: Sequence[str] = (),
    ) -> Call:
        """Sort the arguments of a call; see `PersonaJudgeSettings`.

        Raises:
            UnsupportedModelError: a forced tool call.
        """
        call = super().read_call(arguments, config, stop, also)
        _check_tool_choice(call.rest.get("tool_choice"))
        return replace(call, tools=None) if call.rest.get("tool_choice") == "none" else call

    # --- What LangChain calls, on the copy made for the call -------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call_of(messages, stop, kwargs)
        return self._result(call, self.engine.generate(call))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call_of(messages, stop, kwargs)
        return self._result(call, await self.engine.agenerate(call))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = self._call_of(messages, stop, kwargs)
        pieces = AnswerStream(self.model_name, tools=bool(call.request.tools))
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
        call = self._call_of(messages, stop, kwargs)
        pieces = AnswerStream(self.model_name, tools=bool(call.request.tools))
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

    def _result(self, call: PreparedCall, generation: Generation) -> ChatResult:
        message = answer(generation, self.model_name, tools=bool(call.request.tools))
        return ChatResult(generations=[ChatGeneration(message=message)])


def _check_tool_choice(tool_choice: object) -> None:
    if tool_choice not in (None, "auto", "none"):
        raise UnsupportedModelError(
            f"tool_choice={tool_choice!r} is not available yet: this version cannot force a tool "
            "call; leave the choice to the model with None or 'auto', or use 'none'"
        )
