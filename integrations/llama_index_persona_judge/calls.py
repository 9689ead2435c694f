"""One public call: prepared in silence, announced once, closed as soon as its reader leaves.

LlamaIndex tells its observers the arguments of every LLM call: events and callbacks through
`llm_chat_callback`, spans through a class hook that wraps the public methods. The decorators here
stand outside of both. They settle user, profile and prompts first, take what is personal out of
the arguments, and then let a copy of the LLM that carries the prepared call run under exactly one
event and one span. A call that is refused is announced to nobody.
"""

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from llama_index.core.instrumentation import (  # type: ignore[attr-defined]
    DISPATCHER_SPAN_DECORATED_ATTR,
    get_dispatcher,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from llama_index_persona_judge.messages import to_messages, to_text
from llama_index_persona_judge.parameters import PERSONAL
from llama_index_persona_judge.running import RunningCall
from persona_judge_llm.requests import Prompt

if TYPE_CHECKING:
    from llama_index_persona_judge.llms import PersonaJudgeLLM

Method = TypeVar("Method", bound=Callable[..., Any])
T = TypeVar("T")

_dispatcher = get_dispatcher(__name__)


class _Kind(NamedTuple):
    """What chats and completions differ in."""

    callback: Callable[..., Any]
    subject: str
    translate: Callable[[Any], Prompt]


_CHAT = _Kind(llm_chat_callback, "messages", to_messages)
_COMPLETION = _Kind(llm_completion_callback, "prompt", to_text)


def chat_call(method: Method) -> Method:
    """Make a method that answers `self._call` a public chat method."""
    return _announced(method, _CHAT)


def completion_call(method: Method) -> Method:
    """Make a method that answers `self._call` a public completion method."""
    return _announced(method, _COMPLETION)


def _announced(method: Method, kind: _Kind) -> Method:
    signature = inspect.signature(method)
    wrap = _asynchronous if inspect.iscoroutinefunction(method) else _synchronous
    call = wrap(_dispatcher.span(kind.callback()(method)), kind)
    functools.update_wrapper(call, method)
    # The callback leaves a mark in `__wrapped__` that is no function: signatures stop before it.
    del call.__wrapped__
    call.__signature__ = signature
    return cast("Method", unobserved(call))


def unobserved(method: Method) -> Method:
    """Keep LlamaIndex from putting a span around a method, which would show every argument."""
    setattr(method, DISPATCHER_SPAN_DECORATED_ATTR, True)
    return method


def _synchronous(announced: Any, kind: _Kind) -> Any:
    def call(llm: "PersonaJudgeLLM", *args: Any, **kwargs: Any) -> Any:
        if not _named_once(kind, args, kwargs):
            return announced.__get__(llm)(*args, **kwargs)
        running = _prepared(llm, kind, args, kwargs, neutral=llm._is_neutral_now())  # noqa: SLF001
        result = announced.__get__(running)(*args, **_shown(kwargs))
        if isinstance(result, Generator):
            return _until_closed(result, running._call)  # noqa: SLF001
        return result

    return call


def _asynchronous(announced: Any, kind: _Kind) -> Any:
    async def run(prepare: Callable[[], "PersonaJudgeLLM"], args: Any, kwargs: Any) -> Any:
        # In a thread: reading a profile and tokenising a long prompt would hold up the loop.
        running = await asyncio.to_thread(prepare)
        result = await announced.__get__(running)(*args, **_shown(kwargs))
        if isinstance(result, AsyncGenerator):
            return _until_aclosed(result, running._call)  # noqa: SLF001
        return result

    def call(llm: "PersonaJudgeLLM", *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        if not _named_once(kind, args, kwargs):
            return cast("Coroutine[Any, Any, Any]", announced.__get__(llm)(*args, **kwargs))
        # The ambient user is the one at this call: the coroutine may be awaited anywhere.
        context, neutral = copy_context(), llm._is_neutral_now()  # noqa: SLF001
        prepare = functools.partial(_prepared, llm, kind, args, kwargs, neutral=neutral)
        return run(lambda: context.run(prepare), args, kwargs)

    return call


def _prepared(
    llm: "PersonaJudgeLLM",
    kind: _Kind,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    neutral: bool,
) -> "PersonaJudgeLLM":
    """Return a copy that carries the call: user, profile and prompts settled now."""
    prompt = kind.translate(args[0] if args else kwargs[kind.subject])
    own = (kind.subject, "formatted")
    arguments = {name: value for name, value in kwargs.items() if name not in own}
    return llm._carrying(prompt, arguments, neutral=neutral)  # noqa: SLF001


def _named_once(kind: _Kind, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether the subject is there once; else LlamaIndex's decorator raises what it does."""
    return bool(args) != (kind.subject in kwargs)


def _shown(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name not in PERSONAL}


def _until_closed(shown: Generator[T, None, None], call: RunningCall) -> Generator[T, None, None]:
    try:
        yield from shown
    finally:
        call.close()


async def _until_aclosed(
    shown: AsyncGenerator[T, None], call: RunningCall
) -> AsyncGenerator[T, None]:
    try:
        async for item in shown:
            yield item
    finally:
        # A generator that is left half-way leaves the ones within it to the garbage collector.
        await shown.aclose()
        await call.aclose()
