"""`PersonaMiddleware`: the user of an agent's run, taken from its context to each model call."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse

from langchain_persona_judge.chat_models import ChatPersonaJudge
from langchain_persona_judge.users import USER_ID
from persona_judge_llm.errors import (
    InvalidParameterError,
    MissingUserError,
    UnsupportedModelError,
)

WhoseRun: TypeAlias = "str | Callable[[Any], str | None]"


class PersonaMiddleware(AgentMiddleware[Any, Any, Any]):
    """Answers each run of an agent in the taste of the user that its context names.

    ```python
    agent = create_agent(
        chat, tools, context_schema=Context, middleware=[PersonaMiddleware()]
    )
    agent.invoke({"messages": [("user", "Plan a birthday.")]}, context=Context(user_id="alice"))
    ```

    LangGraph does not trace the context, so the user stands in no trace. Only models of this
    package are told who the user is; a call that goes to any other model is refused.

    Args:
        user: the field of the context that holds the user id, of a mapping or an object; or a
            function from LangGraph's `Runtime` to the user id or None.
        required: refuse calls whose context names nobody. False leaves those to the model: the
            user it is bound to, the surrounding config or scope, or none.

    Raises:
        InvalidParameterError: a `user` that is neither text nor callable.
        MissingUserError: the context of a run names nobody.
        UnsupportedModelError: a call to a model of another package.
    """

    def __init__(self, user: WhoseRun = USER_ID, *, required: bool = True) -> None:
        super().__init__()
        if not callable(user) and not (isinstance(user, str) and user):
            raise InvalidParameterError("user", user, "the name of a field, or a function")
        self._user = user
        self._required = required

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Name the user to the model."""
        return handler(self._named(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Name the user to the model."""
        return await handler(self._named(request))

    def _named(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        user_id = self._user_of(request.runtime)
        if user_id is None:
            if self._required:
                raise MissingUserError
            return request
        if not isinstance(request.model, ChatPersonaJudge):
            raise UnsupportedModelError(
                f"{type(request.model).__name__} knows no users: PersonaMiddleware goes with "
                "ChatPersonaJudge alone; name nobody in the context of runs on other models"
            )
        return request.override(model_settings={**request.model_settings, USER_ID: user_id})

    def _user_of(self, runtime: Any) -> str | None:
        if callable(self._user):
            return self._user(runtime)
        context = runtime.context
        if isinstance(context, Mapping):
            return context.get(self._user)
        return getattr(context, self._user, None)
