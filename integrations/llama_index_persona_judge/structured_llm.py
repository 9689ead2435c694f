"""What `as_structured_llm` returns: an LLM whose every answer is an object of a class."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_to_completion_decorator,
    chat_to_completion_decorator,
    stream_chat_to_completion_decorator,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    MessageRole,
)
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts.base import ChatPromptTemplate
from pydantic import BaseModel
from typing_extensions import Self

from llama_index_persona_judge.calls import unobserved
from llama_index_persona_judge.parameters import PERSONAL
from llama_index_persona_judge.prompting import PromptedLLM, settled


class StructuredAnswers(PromptedLLM, StructuredLLM):
    """As its base, but each call is announced once, by the LLM within, and tells nothing personal.

    Completions are streamed too, and the user is the one of the moment of the call.
    """

    def _for_one_call(
        self, kwargs: Mapping[str, Any], kept: Collection[str] = PERSONAL
    ) -> tuple[Self, dict[str, Any]]:
        llm, rest = cast("PromptedLLM", self.llm)._for_one_call(kwargs, kept)  # noqa: SLF001
        return self.model_copy(update={"llm": llm}), rest

    def _check_named(self) -> None:
        cast("PromptedLLM", self.llm)._check_named()  # noqa: SLF001

    @unobserved
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation with an object."""
        asked = self.llm.structured_predict
        return _response(asked(self.output_cls, _prompt(messages), llm_kwargs=kwargs))

    @settled
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation with an object."""
        asked = self.llm.astructured_predict
        return _response(await asked(self.output_cls, _prompt(messages), llm_kwargs=kwargs))

    @unobserved
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation with an object as it grows."""
        asked = self.llm.stream_structured_predict
        objects = asked(self.output_cls, _prompt(messages), llm_kwargs=kwargs)
        return (_response(item) for item in objects)

    @settled
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Answer a conversation with an object as it grows."""
        asked = self.llm.astream_structured_predict
        objects = await asked(self.output_cls, _prompt(messages), llm_kwargs=kwargs)
        return (_response(item) async for item in objects)

    @unobserved
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a text with an object."""
        return chat_to_completion_decorator(self.chat)(prompt, **kwargs)

    @settled
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Answer a text with an object."""
        return await achat_to_completion_decorator(self.achat)(prompt, **kwargs)

    @unobserved
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Answer a text with an object as it grows."""
        return stream_chat_to_completion_decorator(self.stream_chat)(prompt, **kwargs)

    @settled
    async def astream_complete(  # pyright: ignore[reportIncompatibleMethodOverride]  # a slip there
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Answer a text with an object as it grows."""
        return await astream_chat_to_completion_decorator(self.astream_chat)(prompt, **kwargs)


def _prompt(messages: Sequence[ChatMessage]) -> Any:
    return ChatPromptTemplate(message_templates=list(messages))


def _response(found: BaseModel) -> ChatResponse:
    text = found.model_dump_json()
    return ChatResponse(message=ChatMessage(text, role=MessageRole.ASSISTANT), raw=found)
