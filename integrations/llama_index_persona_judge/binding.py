"""Whose an LLM's calls are: bound copies, neutral copies, and LlamaIndex's own default LLM."""

import functools
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from typing import Any, TypeVar, cast

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.indices.prompt_helper import ChatPromptHelper, PromptHelper
from llama_index.core.llms.llm import LLM
from llama_index.core.settings import Settings
from typing_extensions import Self

from llama_index_persona_judge.calls import unobserved
from llama_index_persona_judge.parameters import PERSONAL, Caller
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.preferences import check_user_id

Method = TypeVar("Method", bound=Callable[..., Any])


def settled(method: Method) -> Method:
    """Make the user of an asynchronous method the one of its call, wherever it is awaited.

    No observer is told of the method itself: what it calls is observed.
    """

    @functools.wraps(method)
    def call(llm: "BoundLLM", *args: Any, **kwargs: Any) -> Any:
        bound, _ = llm._for_one_call(None)  # noqa: SLF001
        return method(bound, *args, **kwargs)

    return cast("Method", unobserved(call))


class BoundLLM(LLM):
    """An LLM whose copies know whose calls theirs are; copying takes microseconds."""

    _engine: PersonaJudge = PrivateAttr()
    _caller: Caller = PrivateAttr(default=Caller())
    # What one call named, out of its observers' sight, and the moment it was made.
    _personal: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _moment: Context | None = PrivateAttr(default=None)
    _calls_in_words: bool = PrivateAttr(default=False)

    def with_user(self, user_id: str | None) -> Self:
        """Return a copy whose calls are this user's; shares the engine, takes microseconds."""
        copy = self.model_copy()
        copy._caller = Caller(None if user_id is None else check_user_id(user_id))  # noqa: SLF001
        return copy

    def neutral(self) -> Self:
        """Return a copy that is the plain model, whatever user the scope around it names.

        For what LlamaIndex asks an LLM in the middle of its work, where taste does harm: rewriting
        questions, ranking, choosing, grading, extracting. A call that itself names a user or
        preferences is answered in that taste all the same.

            LLMRerank(llm=llm.neutral())
            HyDEQueryTransform(llm=llm.neutral())
            FaithfulnessEvaluator(llm=llm.neutral())
            LLMSingleSelector.from_defaults(llm=llm.neutral())
            CondenseQuestionChatEngine.from_defaults(
                query_engine=index.as_query_engine(llm=llm.with_user("ana")), llm=llm.neutral()
            )

        `CondensePlusContextChatEngine` has one LLM for both of its steps: give it one whose field
        `neutral_completions` is True.
        """
        copy = self.model_copy()
        copy._caller = Caller(neutral=True)  # noqa: SLF001
        return copy

    def use_as_default(self) -> None:
        """Make this LLM what LlamaIndex uses where it is told nothing, and count by its tokens.

        Sets `Settings.llm`, `Settings.tokenizer` and both prompt helpers, so that prompts are
        packed for this model's context. LlamaIndex would otherwise count by another model's
        tokenizer, and keep the prompt helper of the LLM that was the default before. As all of
        `Settings` it holds for the whole process; a text splitter made before keeps its tokenizer.
        """
        Settings.llm = self
        encode = self._engine.tokenizer.encode
        Settings.tokenizer = functools.partial(encode, add_special_tokens=False)
        # They keep the tokenizer that is set when they are made.
        Settings.prompt_helper = PromptHelper.from_llm_metadata(self.metadata)
        Settings.chat_prompt_helper = ChatPromptHelper.from_llm_metadata(self.metadata)

    def _for_one_call(self, kwargs: Mapping[str, Any] | None) -> tuple[Self, dict[str, Any]]:
        """Return a copy that keeps what is personal among the arguments, and the rest of them.

        Whoever is shown the arguments then learns nothing, and the user is the one of this
        moment, whenever the model is asked.
        """
        given = dict(kwargs or {})
        personal = {name: given.pop(name) for name in PERSONAL & given.keys()}
        copy = self.model_copy()
        copy._personal = {**self._personal, **personal}  # noqa: SLF001
        copy._moment = self._moment or copy_context()  # noqa: SLF001
        return copy, given
