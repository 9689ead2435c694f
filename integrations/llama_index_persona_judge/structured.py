"""Structured prediction: objects of a class from any model, whatever its weights."""

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
)
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.types import PydanticProgramMode

from llama_index_persona_judge.calls import unobserved
from llama_index_persona_judge.objects import Model, Objects
from llama_index_persona_judge.prompting import settled
from llama_index_persona_judge.routing import read_lazily
from llama_index_persona_judge.structured_llm import StructuredAnswers
from llama_index_persona_judge.tools import ToolCallingLLM
from persona_judge_llm.errors import InvalidParameterError

if TYPE_CHECKING:
    from llama_index.core.prompts import PromptTemplate
    from pydantic import BaseModel

_dispatcher = get_dispatcher(__name__)
# What a forced call of one tool leaves no choice of.
_SETTLED = ("tool_required", "tool_choice", "allow_parallel_tool_calls")


class StructuredPrediction(ToolCallingLLM):
    """Holds what `structured_predict` and its siblings ask for to the schema of the class.

    It is asked for by a tool where the model knows tools, and its call is forced; else in words,
    and the answer is held to the schema. Streams are always asked for in words: a tool's call is
    whole or is none, and a stream shows an object grow.

    Answers are read here and not by LlamaIndex's programs: these know only classes with fields,
    show a stream's refused answer as if it were one, and fail with a `ValueError`, which query
    engines take for an empty response.
    """

    @unobserved
    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return an object of a class; `llm_kwargs` may name the user.

        Raises:
            StructuredAnswerError: the class refuses what its schema allows.
        """
        asked = self._asked(output_cls, prompt, llm_kwargs, prompt_args)
        if asked.by_tool:
            response = asked.llm.chat_with_tools(**asked.call_of_tool())
        else:
            response = asked.llm.chat(**asked.call_in_words())
        return asked.answered(response)

    @settled
    async def astructured_predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        output_cls: type[Model],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return an object of a class; as `structured_predict`."""
        asked = self._asked(output_cls, prompt, llm_kwargs, prompt_args)
        if asked.by_tool:
            response = await asked.llm.achat_with_tools(**asked.call_of_tool())
        else:
            response = await asked.llm.achat(**asked.call_in_words())
        return asked.answered(response)

    @unobserved
    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Model | FlexibleModel, None, None]:
        """Return an object as it grows, at last one of the class; as `structured_predict`.

        A `RootModel` has no fields to grow: it comes when it is whole.
        """
        _check_shown(output_cls, streamed_by_query_engine=read_lazily())
        asked = self._asked(output_cls, prompt, llm_kwargs, prompt_args)
        return asked.grown(asked.llm.stream_chat(**asked.call_in_words()))

    @settled
    async def astream_structured_predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        output_cls: type[Model],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Model | FlexibleModel, None]:
        """Return an object as it grows; as `stream_structured_predict`."""
        _check_shown(output_cls, streamed_by_query_engine=read_lazily())
        asked = self._asked(output_cls, prompt, llm_kwargs, prompt_args)
        return asked.agrown(await asked.llm.astream_chat(**asked.call_in_words()))

    def as_structured_llm(self, output_cls: "type[BaseModel]", **kwargs: Any) -> StructuredLLM:
        """Return an LLM whose every answer is an object of a class, as JSON and in `raw`."""
        return StructuredAnswers(llm=self, output_cls=output_cls, **kwargs)

    def _asked(
        self,
        output_cls: type[Model],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None,
        prompt_args: dict[str, Any],
    ) -> "_Asked[Model]":
        """Settle whose call this is, and announce it."""
        llm, variables = self._for_one_prompt(prompt, prompt_args)
        llm, kwargs = llm._for_one_call(llm_kwargs or {})  # noqa: SLF001
        _dispatcher.event(
            LLMStructuredPredictStartEvent(
                output_cls=output_cls, template=prompt, template_args=variables
            )
        )
        kwargs = {name: value for name, value in kwargs.items() if name not in _SETTLED}
        return _Asked(llm, Objects(output_cls), prompt, variables, kwargs)

    @property
    def _asks_by_tool(self) -> bool:
        mode = self.pydantic_program_mode
        if mode == PydanticProgramMode.DEFAULT:
            return self.metadata.is_function_calling_model
        return mode == PydanticProgramMode.FUNCTION


def _check_shown(output_cls: "type[BaseModel]", *, streamed_by_query_engine: bool) -> None:
    """Refuse what LlamaIndex would show as an empty response."""
    if streamed_by_query_engine and "answer" not in output_cls.model_fields:
        expected = "a class with a field 'answer': query engines stream no other"
        raise InvalidParameterError("output_cls", output_cls.__name__, expected)


class _Asked(NamedTuple, Generic[Model]):
    """One call: who answers, what is asked, and what reads the answer."""

    llm: StructuredPrediction
    objects: Objects[Model]
    prompt: "PromptTemplate"
    variables: dict[str, Any]
    kwargs: dict[str, Any]

    @property
    def by_tool(self) -> bool:
        return self.llm._asks_by_tool and self.objects.fits_a_tool  # noqa: SLF001

    def messages(self) -> list[ChatMessage]:
        asked = self.prompt.format_messages(llm=self.llm, **self.variables)
        return list(self.llm._extend_messages(asked))  # noqa: SLF001

    def call_of_tool(self) -> dict[str, Any]:
        tools = [get_function_tool(self.objects.cls)]
        asked = {"tools": tools, "chat_history": self.messages(), "tool_required": True}
        return {**self.kwargs, **asked}

    def call_in_words(self) -> dict[str, Any]:
        form = self.objects.response_format
        return {**self.kwargs, "messages": self.messages(), "response_format": form}

    def answered(self, response: ChatResponse) -> Model:
        """Return the object in a whole answer."""
        if self.by_tool:
            (call,) = self.llm.get_tool_calls_from_response(response)
            found = self.objects.of_arguments(call.tool_kwargs)
        else:
            found = self.objects.of_text(response.message.content)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

    def grown(self, responses: ChatResponseGen) -> Generator[Model | FlexibleModel, None, None]:
        text = None
        for response in responses:
            text = response.message.content
            if (item := self._growing(response)) is not None:
                yield item
        yield self._whole(text)

    async def agrown(
        self, responses: ChatResponseAsyncGen
    ) -> AsyncGenerator[Model | FlexibleModel, None]:
        text = None
        async for response in responses:
            text = response.message.content
            if (item := self._growing(response)) is not None:
                yield item
        yield self._whole(text)

    def _growing(self, response: ChatResponse) -> FlexibleModel | None:
        # The facts come with the whole answer.
        item = None if response.raw else self.objects.growing(response.message.content)
        if item is not None:
            _dispatcher.event(LLMStructuredPredictInProgressEvent(output=item))
        return item

    def _whole(self, text: str | None) -> Model:
        found = self.objects.of_text(text)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found
