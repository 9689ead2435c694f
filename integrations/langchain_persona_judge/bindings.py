"""What `bind` and `with_config` return: LangChain's binding, and nothing bound is ever lost.

LangChain's own hands only calls on with what was bound. Its other methods are the bare model's:
`bind_tools`, `with_structured_output` and `generate` would forget the user, and answer in nobody's
or the surrounding scope's taste.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import Callbacks
from langchain_core.runnables import Runnable, RunnableBinding
from typing_extensions import Self

from langchain_persona_judge.settings import WHOSE
from langchain_persona_judge.users import USER_ID, configured_user
from persona_judge_llm.answer_forms import FORM
from persona_judge_llm.preferences import check_user_id

if TYPE_CHECKING:
    # The same at run time, and typed for streams of events.
    from langchain_core.language_models.chat_models import _ChatModelBinding as _ChatBinding
else:
    _ChatBinding = RunnableBinding

_ANSWERING: Final = ("generate", "agenerate", "generate_prompt", "agenerate_prompt")


class KeepsUser(RunnableBinding[Any, Any]):
    """A binding whose every method knows what was bound."""

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialise as LangChain's own."""
        return [*cls.get_lc_namespace(), "RunnableBinding"]

    def with_user(self, user_id: str) -> Self:
        """Return a binding whose calls are this user's; see `PersonaJudgeSettings.with_user`."""
        return self.bind(user_id=check_user_id(user_id))  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        """Return what the model has; those methods of it that answer know what was bound."""
        if name in _ANSWERING:
            return partial(self._answer, name)
        return super().__getattr__(name)

    def _answer(
        self,
        method: str,
        prompts: Sequence[Any],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> Any:
        return getattr(self.bound, method)(prompts, **self._bound(stop, callbacks, kwargs))

    def _bound(
        self, stop: list[str] | None, callbacks: Callbacks, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the arguments of a call of `generate`, which takes no config."""
        found = {**self.kwargs, **kwargs}
        if stop is not None:
            found["stop"] = stop
        if callbacks is None:
            callbacks = self.config.get("callbacks")
        if all(found.get(name) is None for name in WHOSE):
            found[USER_ID] = configured_user(self.config)
        kept = ("tags", "metadata", "run_name")
        told = {name: value for name, value in self.config.items() if name in kept}
        return {**told, **found, "callbacks": callbacks}


class ChatBinding(KeepsUser, _ChatBinding):
    """The binding of a chat model, which can be given tools and forms of answer besides."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]:
        """Offer tools to the model; see `ChatPersonaJudge.bind_tools`."""
        # A choice that was bound with other tools is one of those.
        bound = self._without(FORM) if "tools" in self.kwargs else self.kwargs
        return self._configured(self._model.bind_tools(tools, **{**bound, **kwargs}))

    def with_structured_output(
        self, schema: dict[str, Any] | type | None = None, **kwargs: Any
    ) -> Runnable[Any, Any]:
        """Hold answers to a schema; see `ChatPersonaJudge.with_structured_output`."""
        merged = {**self._without(FORM), **kwargs}
        return self._configured(self._model.with_structured_output(schema, **merged))

    @property
    def _model(self) -> Any:
        return self.bound

    def _without(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: value for name, value in self.kwargs.items() if name not in names}

    def _configured(self, found: Runnable[Any, Any]) -> Runnable[Any, Any]:
        return found.with_config(self.config) if self.config else found
