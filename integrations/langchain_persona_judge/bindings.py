"""What `bind` and `with_config` return: LangChain's binding, and nothing bound is ever lost.

LangChain's own hands only calls on with what was bound. Its other methods are the bare model's:
`bind_tools`, `with_structured_output` and `generate` would forget the user, and answer in nobody's
or the surrounding scope's taste.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import Callbacks
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableBinding
from typing_extensions import Self

from langchain_persona_judge.users import USER_ID, configured_user

if TYPE_CHECKING:
    # The same at run time, and typed for streams of events.
    from langchain_core.language_models.chat_models import _ChatModelBinding as _ChatBinding
else:
    _ChatBinding = RunnableBinding


class KeepsUser(RunnableBinding[Any, Any]):
    """A binding whose every method knows what was bound."""

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialise as LangChain's own."""
        return [*cls.get_lc_namespace(), "RunnableBinding"]

    def with_user(self, user_id: str) -> Self:
        """Return a binding whose calls are this user's; see `PersonaJudgeSettings.with_user`."""
        return self.bind(user_id=self._model.with_user(user_id).bound_user)  # type: ignore[return-value]

    def generate(
        self,
        prompts: Sequence[Any],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer several prompts, each as a call of its own."""
        found: LLMResult = self._model.generate(prompts, **self._bound(stop, callbacks, kwargs))
        return found

    async def agenerate(
        self,
        prompts: Sequence[Any],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer several prompts at once, each as a call of its own."""
        bound = self._bound(stop, callbacks, kwargs)
        found: LLMResult = await self._model.agenerate(prompts, **bound)
        return found

    def generate_prompt(
        self,
        prompts: Sequence[Any],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer several prompt values, each as a call of its own."""
        bound = self._bound(stop, callbacks, kwargs)
        found: LLMResult = self._model.generate_prompt(prompts, **bound)
        return found

    async def agenerate_prompt(
        self,
        prompts: Sequence[Any],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer several prompt values at once, each as a call of its own."""
        bound = self._bound(stop, callbacks, kwargs)
        found: LLMResult = await self._model.agenerate_prompt(prompts, **bound)
        return found

    @property
    def _model(self) -> Any:
        return self.bound

    def _bound(
        self, stop: list[str] | None, callbacks: Callbacks, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the arguments of a call of `generate`, which takes no config."""
        found = {**self.kwargs, **kwargs}
        if stop is not None:
            found["stop"] = stop
        if callbacks is None:
            callbacks = self.config.get("callbacks")
        if not found.keys() & {USER_ID, "preferences", "persona"}:
            found[USER_ID] = configured_user(self.config)
        kept = ("tags", "metadata", "run_name")
        told = {name: value for name, value in self.config.items() if name in kept}
        return {**told, **found, "callbacks": callbacks}


class ChatBinding(KeepsUser, _ChatBinding):
    """The binding of a chat model, which can be given tools and forms of answer besides."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]:
        """Offer tools to the model; see `ChatPersonaJudge.bind_tools`."""
        bound = {name: value for name, value in self.kwargs.items() if name != "tools"}
        return self._configured(self._model.bind_tools(tools, **{**bound, **kwargs}))

    def with_structured_output(
        self, schema: dict[str, Any] | type | None = None, **kwargs: Any
    ) -> Runnable[Any, Any]:
        """Hold answers to a schema; see `ChatPersonaJudge.with_structured_output`."""
        merged = {**self.kwargs, **kwargs}
        return self._configured(self._model.with_structured_output(schema, **merged))

    def _configured(self, found: Runnable[Any, Any]) -> Runnable[Any, Any]:
        return found.with_config(self.config) if self.config else found
