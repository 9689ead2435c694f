"""`PersonaJudgeLLM`: the engine as an LLM for LlamaIndex's query engines, chats and agents."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

from llama_index.core.base.llms.generic_utils import (
    messages_to_prompt as generic_messages_to_prompt,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, ValidationError
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.llm import default_completion_to_prompt
from typing_extensions import Self

from llama_index_persona_judge.calls import chat_call, completion_call
from llama_index_persona_judge.metadata import metadata_of
from llama_index_persona_judge.parameters import SETTINGS, check_settings, to_request
from llama_index_persona_judge.responses import (
    GrowingChat,
    GrowingCompletion,
    chat_response,
    completion_response,
)
from llama_index_persona_judge.running import RunningCall
from llama_index_persona_judge.structured import StructuredPrediction
from persona_judge_llm.bundled import NAME as BUNDLED_NAME
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError, UnsupportedModelError
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.preferences import AnyProfileStore
from persona_judge_llm.requests import Placement, Prompt, Rule

# Fields of LlamaIndex's LLM that turn prompts into text, which the chat template does here.
_WITHOUT_EFFECT: Final = ("messages_to_prompt", "completion_to_prompt", "query_wrapper_prompt")
_DEFAULTS: Final = (None, default_completion_to_prompt, generic_messages_to_prompt)
_TEMPLATED: Final = "left out: prompts are rendered by the model's own chat template"


class PersonaJudgeLLM(StructuredPrediction, CustomLLM):  # pyright: ignore[reportIncompatibleMethodOverride]
    """A LlamaIndex LLM that answers each user in that user's own taste.

    The user of a call is, in this order: its `user_id=`, the user of the copy that `with_user()`
    made, the tag of `instrument_tags({"user_id": ...})`, which all of LlamaIndex's events show, the
    `use_user()` scope at the moment of the call. Give engines and agents a bound copy:
    their streams call the LLM only when they are read, when a scope may long be over.

        llm = PersonaJudgeLLM(engine=engine)
        index.as_query_engine(llm=llm.with_user("alice"), streaming=True).query("...")

    Every call also takes `preferences`, `persona`, `logit_bias`, and the fields below.
    `complete` reads its prompt as the text of one user message, also with `formatted=True`: the
    chat template is applied here, and a text that brings its own control tokens is read as text.

    Args:
        engine: the `PersonaJudge` that answers; shared by all copies and never serialised.

    Raises:
        InvalidParameterError: a field that is unknown or cannot be used, named.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    model: str | None = Field(default=None, description="Name of the engine's model.")
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = Field(
        default=None, description="Seconds after which a call fails with DeadlineExceededError."
    )
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    rule: Rule | None = None
    num_draft_tokens: int | None = None
    turns: tuple[int, int] | None = None
    strength: float | None = None
    placement: Placement | None = None
    prefix_reserve: int | None = Field(
        default=None, ge=0, description="Tokens kept free for preferences; see `metadata`."
    )
    _call: RunningCall = PrivateAttr()

    def __init__(self, engine: PersonaJudge | None = None, **fields: Any) -> None:
        if engine is None and fields.get("model") == BUNDLED_NAME:
            engine = PersonaJudge.bundled()
        if not isinstance(engine, PersonaJudge):
            raise InvalidParameterError(
                "engine",
                engine,
                "a PersonaJudge; it is never serialised: give it again, as in "
                "PersonaJudgeLLM.from_dict(data, engine=engine)",
            )
        for name in _WITHOUT_EFFECT:
            if fields.get(name) not in _DEFAULTS:
                raise InvalidParameterError(name, fields[name], _TEMPLATED)
        try:
            super().__init__(**{**fields, "model": engine.model_name})
        except ValidationError as error:
            # Pydantic's error is a ValueError, which LlamaIndex takes for an empty response.
            found = error.errors()[0]
            name = ".".join(str(part) for part in found["loc"])
            raise InvalidParameterError(name, found["input"], found["msg"]) from None
        check_settings(self._settings())
        engine.grammars.warm_up()  # here, rather than on some event loop later
        self._engine = engine

    @classmethod
    def from_pretrained(
        cls, model_id: str | Path, *, profiles: AnyProfileStore | None = None, **fields: Any
    ) -> Self:
        """Load a model from a folder or the hub.

        Args:
            model_id: see `PersonaJudge.from_pretrained`.
            profiles: where users' preferences are read.
            fields: of this class, or settings of `PersonaJudge.from_pretrained`.
        """
        own, settings = cls._sorted_fields(fields)
        engine = PersonaJudge.from_pretrained(model_id, profiles=profiles, **settings)
        return cls(engine=engine, **own)

    @classmethod
    def bundled(cls, *, profiles: AnyProfileStore | None = None, **fields: Any) -> Self:
        """Load the small model that ships with the package; offline, for trying things out."""
        own, settings = cls._sorted_fields(fields)
        return cls(engine=PersonaJudge.bundled(profiles=profiles, **settings), **own)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex serialises it."""
        return "PersonaJudgeLLM"

    @property
    def engine(self) -> PersonaJudge:
        """The engine, shared by all copies."""
        return self._engine

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex packs prompts by.

        The context window is the model's less what the preferences may need: `prefix_reserve`,
        or else the default budget of a side and the template's own tokens, at most a quarter of
        the model's window.
        """
        return metadata_of(
            self._engine, self.max_tokens, self.prefix_reserve, calls_tools=self._calls_in_words
        )

    @completion_call
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a text."""
        return completion_response(self._engine.generate(self._call.prepared))

    @completion_call
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Answer a text in pieces."""
        return self._call.stream(self._engine.stream(self._call.prepared), GrowingCompletion())

    @chat_call
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        generation = self._engine.generate(self._call.prepared)
        return chat_response(generation, reads_tool_calls=self._call.reads_tool_calls)

    @chat_call
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation in pieces."""
        growing = GrowingChat(reads_tool_calls=self._call.reads_tool_calls)
        return self._call.stream(self._engine.stream(self._call.prepared), growing)

    @completion_call
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Answer a text without blocking the event loop."""
        return completion_response(await self._engine.agenerate(self._call.prepared))

    @completion_call
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Answer a text in pieces without blocking the event loop."""
        return self._call.astream(self._engine.astream(self._call.prepared), GrowingCompletion())

    @chat_call
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation without blocking the event loop."""
        generation = await self._engine.agenerate(self._call.prepared)
        return chat_response(generation, reads_tool_calls=self._call.reads_tool_calls)

    @chat_call
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Answer a conversation in pieces without blocking the event loop."""
        growing = GrowingChat(reads_tool_calls=self._call.reads_tool_calls)
        return self._call.astream(self._engine.astream(self._call.prepared), growing)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse what the constructor refuses, by an error that LlamaIndex does not swallow."""
        if not name.startswith("_") and name not in type(self).model_fields:
            raise InvalidParameterError("field", name, f"one of {sorted(type(self).model_fields)}")
        if name in _WITHOUT_EFFECT and value not in _DEFAULTS:
            raise InvalidParameterError(name, value, _TEMPLATED)
        super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return a copy that shares the engine: weights exist once."""
        return self.model_copy()

    def __getstate__(self) -> NoReturn:
        """Refuse to be pickled; pydantic would leave out the engine and say nothing."""
        raise UnsupportedModelError(
            "a PersonaJudgeLLM holds a model and cannot be pickled; make one in each process, "
            "with to_dict() and from_dict(data, engine=...) if its settings shall travel"
        )

    def _carrying(self, prompt: Prompt, arguments: Mapping[str, Any], *, neutral: bool) -> Self:
        """Return a copy that carries a call: user, profile and prompts settled now."""
        caller = replace(self._caller, neutral=True) if neutral else self._caller
        given = {**self._given, **arguments}
        tells_tools = not self._engine.supports_tools

        def prepared() -> PreparedCall:
            request = to_request(prompt, given, self._settings(), caller, tells_tools=tells_tools)
            return self._engine.prepare(request)

        copy = self.model_copy()
        copy._call = RunningCall(  # noqa: SLF001
            prepared() if self._moment is None else self._moment.copy().run(prepared), self._running
        )
        return copy

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SETTINGS}

    @classmethod
    def _sorted_fields(cls, fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        own = {name: value for name, value in fields.items() if name in cls.model_fields}
        return own, {name: value for name, value in fields.items() if name not in own}
