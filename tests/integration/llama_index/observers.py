"""Observers of LlamaIndex that write down all they are told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler

from llama_index_persona_judge import PersonaJudgeLLM


class Observer(BaseEventHandler):
    """Writes down all it is told in events."""

    told: list[str] = []  # noqa: RUF012  # pydantic copies it
    kinds: list[str] = []  # noqa: RUF012

    @classmethod
    def class_name(cls) -> str:
        return "Observer"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.kinds.append(type(event).__name__)
        self.told += [repr(event), str(event.model_dump())]


class SpanObserver(BaseSpanHandler[BaseSpan]):
    """Writes down all it is told of spans."""

    told: list[str] = []  # noqa: RUF012  # pydantic copies it

    def new_span(self, *args: Any, **kwargs: Any) -> BaseSpan:
        self.told += [repr(args), repr(kwargs)]
        return BaseSpan(id_=kwargs["id_"])

    def prepare_to_exit_span(self, *args: Any, **kwargs: Any) -> None:
        self.told += [repr(args), repr(kwargs)]

    def prepare_to_drop_span(self, *args: Any, **kwargs: Any) -> None:
        self.told += [repr(args), repr(kwargs)]


class Seen:
    """What events, spans and callbacks told of an LLM."""

    def __init__(self) -> None:
        self.events, self.spans = Observer(told=[], kinds=[]), SpanObserver()
        self.spans.told = []
        self.callbacks = LlamaDebugHandler(print_trace_on_end=False)

    @property
    def payloads(self) -> list[str]:
        return [repr(event.payload) for event in self.callbacks.get_events()]

    @property
    def everything(self) -> str:
        return "\n".join([*self.events.told, *self.spans.told, *self.payloads])

    def count(self, what: str) -> int:
        """Return how many events of LLM calls were of this kind: "StartEvent" or "EndEvent"."""
        return sum(kind in (f"LLMChat{what}", f"LLMCompletion{what}") for kind in self.events.kinds)


@contextmanager
def watched(llm: PersonaJudgeLLM) -> Iterator[Seen]:
    """Observe an LLM, and the copies that are made of it meanwhile."""
    seen, root = Seen(), get_dispatcher("root")
    llm.callback_manager = CallbackManager([seen.callbacks])
    root.add_event_handler(seen.events)
    root.add_span_handler(seen.spans)
    try:
        yield seen
    finally:
        root.event_handlers.remove(seen.events)
        root.span_handlers.remove(seen.spans)
