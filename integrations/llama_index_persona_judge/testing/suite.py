"""What the suites share: the LLM and what it claims, and asking it in each of its eight ways."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import Context
from types import FrameType
from typing import Any, ClassVar, TypeVar

import pytest
from llama_index.core.base.llms.types import ChatMessage, CompletionResponse
from llama_index.core.llms import LLM

METHODS = (
    "complete",
    "chat",
    "stream_complete",
    "stream_chat",
    "acomplete",
    "achat",
    "astream_complete",
    "astream_chat",
)
QUESTION = "How can I sleep better?"

T = TypeVar("T")


class LLMSuite:
    """What an LLM claims. Whatever is switched off is skipped, and told."""

    is_chat_model: bool = True
    is_deterministic: bool = True
    """The same question gets the same answer."""
    supports_streaming: bool = True
    supports_async: bool = True
    """Other tasks of the event loop go on while it answers."""
    supports_max_tokens: bool = True
    """Calls take `max_tokens=`."""
    supports_stop: bool = True
    """Calls take `stop=[...]`."""
    supports_usage: bool = True
    """`raw["usage"]` has `prompt_tokens` and `completion_tokens`."""
    supports_context_window: bool = True
    """A prompt that does not fit into `metadata.context_window` is refused."""
    supports_serialization: bool = True
    """`to_dict` and `from_dict`; see `restored`."""
    supports_function_calling: bool = True
    supports_tool_choice: bool = True
    """Calls of tools can be forced."""
    supports_structured_predict: bool = True
    announces_calls_once: bool = True
    """One pair of events for each public call, however the method is made."""
    refuses_unknown_arguments: bool = True
    """An argument that it does not know is an error; else it is documented to be ignored."""
    refuses_empty_chats: bool = True
    time_limit: ClassVar[float] = 120.0
    """Seconds that a test may take, where the system can tell."""

    @pytest.fixture
    def llm(self) -> LLM:
        """The LLM under test; fresh ones may share a model."""
        raise NotImplementedError("define the fixture `llm` in your test class")

    def restored(self, llm: LLM) -> LLM:
        """Return the LLM that its own `to_dict` describes."""
        return type(llm).from_dict(llm.to_dict())

    def need(self, *flags: str) -> None:
        """Skip what the LLM does not claim."""
        for flag in flags:
            if not getattr(self, flag):
                pytest.skip(f"{flag} is False")

    @pytest.fixture(autouse=True)
    def _in_time(self) -> Iterator[None]:
        with within(self.time_limit):
            yield


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail a test that hangs, as a stream does whose model failed in a thread."""
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "SIGALRM"):
        yield
        return

    def late(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"not done after {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ask(llm: LLM, method: str, question: str = QUESTION, **kwargs: Any) -> list[Any]:
    """Ask by one of the `METHODS`; return its responses: one, or all of a stream."""
    if method.startswith("a"):
        return asyncio.run(aask(llm, method, question, **kwargs))
    answer = getattr(llm, method)(_subject(method, question), **kwargs)
    return list(answer) if "stream" in method else [answer]


async def aask(llm: LLM, method: str, question: str = QUESTION, **kwargs: Any) -> list[Any]:
    """Ask by one of the asynchronous `METHODS`."""
    answer = await getattr(llm, method)(_subject(method, question), **kwargs)
    if isinstance(answer, AsyncIterator):
        return [item async for item in answer]
    return [answer]


def opened(llm: LLM, method: str, question: str = QUESTION) -> Any:
    """Return the stream of one of the `METHODS`, or its coroutine."""
    return getattr(llm, method)(_subject(method, question))


def text_of(response: Any) -> str:
    """Return the text of a response of either kind."""
    if isinstance(response, CompletionResponse):
        return response.text
    return response.message.content or ""


def answer_to(llm: LLM, method: str, question: str = QUESTION, **kwargs: Any) -> str:
    """Ask, and return the text of the last response."""
    return text_of(ask(llm, method, question, **kwargs)[-1])


def refusal(work: Callable[[], object]) -> Exception:
    """Return the error that `work` raises; one that LlamaIndex passes on.

    Its response synthesizers take `ValueError` and `TypeError` for an empty response, and say so
    to nobody.
    """
    try:
        found = work()
    except (ValueError, TypeError) as error:
        return pytest.fail(f"{error!r} would be swallowed")
    except Exception as error:  # noqa: BLE001  # of whatever other kind
        return error
    return pytest.fail(f"nothing was refused: {found!r}")


def in_thread(work: Callable[[], T]) -> T:
    """Do something in a thread of its own, which knows no context variables of this one."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            future.set_exception(error)

    # Not one of a pool, which is waited for even if the test has given up.
    threading.Thread(target=Context().run, args=[run], daemon=True).start()
    return future.result()


def _subject(method: str, question: str) -> Any:
    return question if "complete" in method else [ChatMessage(question)]
