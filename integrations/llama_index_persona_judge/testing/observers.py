"""What observers are told: once for each call, in plain data, and also of what was abandoned."""

import asyncio
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, TokenCountingHandler
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.llms import LLM

from llama_index_persona_judge.testing.suite import LLMSuite, ask, opened

ONE_PAIR = ["start", "end"]


class Observers(LLMSuite):
    """Events, callbacks and what responses carry for them."""

    @pytest.mark.parametrize("methods", [("complete", "chat"), ("acomplete", "achat")])
    def test_a_call_is_announced_once(self, llm: LLM, methods: tuple[str, ...]) -> None:
        """Counters and traces count each call once, whatever it is made of."""
        self.need("announces_calls_once")
        self._announced_once(llm, methods)

    @pytest.mark.parametrize(
        "methods", [("stream_complete", "stream_chat"), ("astream_complete", "astream_chat")]
    )
    def test_a_stream_is_announced_once(self, llm: LLM, methods: tuple[str, ...]) -> None:
        """Its end is told when it is over, and not before."""
        self.need("supports_streaming", "announces_calls_once")
        self._announced_once(llm, methods)

    def _announced_once(self, llm: LLM, methods: tuple[str, ...]) -> None:
        for method in methods:
            with _watching(llm) as seen:
                ask(llm, method)
            assert seen.events == ONE_PAIR, method
            assert seen.callbacks == ONE_PAIR, method

    def test_the_end_of_an_abandoned_stream_is_told(self, llm: LLM) -> None:
        """Whoever opened a span is told to close it."""
        self.need("supports_streaming")
        for method in ("stream_complete", "stream_chat"):
            with _watching(llm) as seen:
                stream = opened(llm, method)
                next(stream)
                stream.close()
            assert seen.callbacks.count("start") == seen.callbacks.count("end") > 0, method

    def test_the_end_of_an_abandoned_async_stream_is_told(self, llm: LLM) -> None:
        """Whoever opened a span is told to close it."""
        self.need("supports_streaming")

        async def abandon(method: str) -> None:
            stream = await opened(llm, method)
            await anext(stream)
            await stream.aclose()

        for method in ("astream_complete", "astream_chat"):
            with _watching(llm) as seen:
                asyncio.run(abandon(method))
            assert seen.callbacks.count("start") == seen.callbacks.count("end") > 0, method

    def test_raw_facts_are_plain_data(self, llm: LLM) -> None:
        """Responses are stored, sent and logged; none keeps the memory of a device."""
        methods = ["complete", "chat"]
        if self.supports_streaming:
            methods += ["stream_complete", "stream_chat"]
        for method in methods:
            raw = ask(llm, method)[-1].raw
            plain = raw.model_dump() if hasattr(raw, "model_dump") else raw
            assert json.loads(json.dumps(plain)) == plain, method
            assert pickle.loads(pickle.dumps(raw)) == raw, method

    @pytest.mark.parametrize("streamed", [False, True])
    def test_usage_is_reported_and_counted(self, llm: LLM, *, streamed: bool) -> None:
        """The counts are the model's own, and LlamaIndex's counter finds them."""
        self.need("supports_usage", *(["supports_streaming"] if streamed else []))
        for method in ("stream_complete", "stream_chat") if streamed else ("complete", "chat"):
            counter = TokenCountingHandler()
            with _watching(llm, counter):
                usage = dict(ask(llm, method)[-1].raw)["usage"]
            assert min(usage["prompt_tokens"], usage["completion_tokens"]) > 0, method
            assert counter.llm_token_counts, method
            counted = counter.llm_token_counts[-1]
            assert counted.prompt_token_count == usage["prompt_tokens"], method
            assert counted.completion_token_count == usage["completion_tokens"], method


class _Seen(BaseCallbackHandler):
    """Collects what is told of LLMs by callbacks, and by events."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.callbacks: list[str] = []
        self.events: list[str] = []

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: Any = None,
        event_id: str = "",
        parent_id: str = "",
        **rest: Any,
    ) -> str:
        if event_type == CBEventType.LLM:
            self.callbacks.append("start")
        return event_id

    def on_event_end(
        self, event_type: CBEventType, payload: Any = None, event_id: str = "", **rest: Any
    ) -> None:
        if event_type == CBEventType.LLM:
            self.callbacks.append("end")

    def start_trace(self, trace_id: str | None = None) -> None:
        """Nothing to do."""

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None:
        """Nothing to do."""


class _Events(BaseEventHandler):
    """Collects the starts and ends of LLM calls."""

    seen: Any

    @classmethod
    def class_name(cls) -> str:
        return "ConformanceEvents"

    def handle(self, event: BaseEvent, **rest: Any) -> None:
        if isinstance(event, LLMChatStartEvent | LLMCompletionStartEvent):
            self.seen.events.append("start")
        elif isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent):
            self.seen.events.append("end")


@contextmanager
def _watching(llm: LLM, *handlers: BaseCallbackHandler) -> Iterator[_Seen]:
    seen = _Seen()
    handler = _Events(seen=seen)
    root = get_dispatcher("root")
    before = llm.callback_manager
    llm.callback_manager = CallbackManager([seen, *handlers])
    root.add_event_handler(handler)
    try:
        yield seen
    finally:
        root.event_handlers.remove(handler)
        llm.callback_manager = before
