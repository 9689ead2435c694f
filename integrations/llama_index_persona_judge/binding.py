"""Whose an LLM's calls are: bound copies, neutral copies, and LlamaIndex's own default LLM."""

from collections.abc import Collection, Mapping
from contextvars import Context, copy_context
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.indices.prompt_helper import ChatPromptHelper, PromptHelper
from llama_index.core.settings import Settings
from typing_extensions import Self

from llama_index_persona_judge.errors import LazyStreamError
from llama_index_persona_judge.parameters import PERSONAL, Caller
from llama_index_persona_judge.prompting import PromptedLLM
from llama_index_persona_judge.routing import in_neutral_step
from llama_index_persona_judge.running import RunningCalls
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.preferences import check_user_id


class BoundLLM(PromptedLLM):
    """An LLM whose copies know whose calls theirs are; copying takes microseconds."""

    personal_steps: bool = Field(
        default=False,
        description="Answer in the user's taste also where LlamaIndex rewrites questions, ranks, "
        "chooses, grades or extracts.",
    )

    _engine: PersonaJudge = PrivateAttr()
    _caller: Caller = PrivateAttr(default=Caller())
    _running: RunningCalls = PrivateAttr(default_factory=RunningCalls)
    # What one call named, out of its observers' sight, the moment it was made, and whether that
    # was in a neutral step.
    _given: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _moment: Context | None = PrivateAttr(default=None)
    _neutral_step: bool | None = PrivateAttr(default=None)
    _calls_in_words: bool = PrivateAttr(default=False)

    def with_user(self, user_id: str | None) -> Self:
        """Return a copy whose calls are this user's; shares the engine, takes microseconds."""
        return self._for(Caller(None if user_id is None else check_user_id(user_id)))

    def neutral(self) -> Self:
        """Return a copy that is the plain model, whatever user the scope around it names.

        The steps of LlamaIndex that taste does harm to (rewriting questions, ranking, choosing,
        grading, extracting) are answered by the plain model anyway, unless `personal_steps` is
        True; this is for steps of your own. A call that itself names a user or preferences is
        answered in that taste all the same.
        """
        return self._for(Caller(neutral=True))

    def cancel(self) -> None:
        """End the streams that this LLM has open, within one step each; from any thread.

        For those that LlamaIndex reads on behalf of who has left, as chat engines do. Each ends
        as if the answer were at its end. Streams of copies made by `with_user` and `neutral` are
        their own: keep the copy that an engine was given, and cancel that.
        """
        self._running.cancel()

    def use_as_default(self) -> None:
        """Make this LLM what LlamaIndex uses where it is told nothing, and count by its tokens.

        Sets `Settings.llm`, `Settings.tokenizer` and both prompt helpers, so that prompts are
        packed for this model's context. LlamaIndex would otherwise count by another model's
        tokenizer, and keep the prompt helper of the LLM that was the default before. As all of
        `Settings` it holds for the whole process; a text splitter made before keeps its tokenizer.
        """
        Settings.llm = self
        count = self._engine.count_tokens
        # Documents are read as text, also where they hold control tokens. Only the length counts.
        Settings.tokenizer = lambda text: list(range(count(text)))
        # They keep the tokenizer that is set when they are made.
        Settings.prompt_helper = PromptHelper.from_llm_metadata(self.metadata)
        Settings.chat_prompt_helper = ChatPromptHelper.from_llm_metadata(self.metadata)

    def _for(self, caller: Caller) -> Self:
        copy = self.model_copy()
        copy._caller = caller  # noqa: SLF001
        copy._running = RunningCalls()  # noqa: SLF001
        return copy

    def _for_one_call(
        self, kwargs: Mapping[str, Any], kept: Collection[str] = PERSONAL
    ) -> tuple[Self, dict[str, Any]]:
        """Return a copy that keeps what is personal among the arguments, and the rest of them.

        Whoever is shown the arguments then learns nothing, and the user is the one of this
        moment, whenever the model is asked.
        """
        given = {name: value for name, value in kwargs.items() if name in kept}
        copy = self.model_copy()
        copy._given = {**self._given, **given}  # noqa: SLF001
        copy._moment = self._moment or copy_context()  # noqa: SLF001
        copy._neutral_step = self._is_neutral_now()  # noqa: SLF001
        return copy, {name: value for name, value in kwargs.items() if name not in kept}

    def _is_neutral_now(self) -> bool:
        """Tell whether a call made now is part of a step that taste does harm to."""
        if self._neutral_step is not None:
            return self._neutral_step
        return not self.personal_steps and in_neutral_step()

    def _check_named(self) -> None:
        known = self._caller.user_id is not None or self._caller.neutral or self._neutral_step
        named = any(self._given.get(name) is not None for name in ("user_id", "preferences"))
        neutral = self._given.get("persona") is False
        if self._engine.profiles is not None and not (known or named or neutral):
            raise LazyStreamError
