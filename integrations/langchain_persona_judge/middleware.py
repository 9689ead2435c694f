"""`PersonaMiddleware`: the user of an agent's run, taken from its context to models and tools."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableBinding
from langgraph.types import Command

from langchain_persona_judge.chat_models import ChatPersonaJudge
from langchain_persona_judge.users import USER_ID
from persona_judge_llm.errors import (
    InvalidParameterError,
    MissingUserError,
    UnsupportedModelError,
)
from persona_judge_llm.scope import use_user

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
    package are told who the user is; a call that goes to any other model is refused. Tools run in
    the user's scope (`use_user`), for models that they call in turn.

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

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Let models that a tool calls answer in the same taste."""
        with self._scope(request):
            return handler(request)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Let models that a tool calls answer in the same taste."""
        with self._scope(request):
            return await handler(request)

    def _scope(self, request: ToolCallRequest) -> AbstractContextManager[Any]:
        user_id = self._user_of(request.runtime)
        return nullcontext() if user_id is None else use_user(user_id)

    def _named(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        user_id = self._user_of(request.runtime)
        if user_id is None:
            if self._required:
                raise MissingUserError
            return request
        model: Any = request.model
        while isinstance(model, RunnableBinding):  # such as `chat.bind(temperature=0)`
            model = model.bound
        if not isinstance(model, ChatPersonaJudge):
            raise UnsupportedModelError(
                f"{type(model).__name__} knows no users: PersonaMiddleware goes with "
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
