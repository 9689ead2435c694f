"""Query engines and chat engines: every mode answers, and nothing that fails is swallowed."""

import asyncio
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import LLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import TextNode

from llama_index_persona_judge.testing.suite import LLMSuite, in_thread

SYNTHESES = [
    mode for mode in ResponseMode if mode not in (ResponseMode.NO_TEXT, ResponseMode.CONTEXT_ONLY)
]
EMPTY = ("", "Empty Response", "None")
FAR_TOO_LARGE = 10_000_000


class Engines(LLMSuite):
    """What applications are built of."""

    @pytest.mark.parametrize("mode", SYNTHESES)
    def test_a_query_engine_answers(self, llm: LLM, mode: ResponseMode) -> None:
        """Sync and async, whatever it makes of the passages."""
        engine = _index().as_query_engine(llm=llm, response_mode=mode)
        for answer in (engine.query("Tea?"), asyncio.run(engine.aquery("Tea?"))):
            assert str(answer) not in EMPTY
            assert len(answer.source_nodes) == len(_FACTS)

    def test_a_query_engine_streams_when_it_is_read(self, llm: LLM) -> None:
        """The LLM is asked when the answer is read, which may be elsewhere."""
        self.need("supports_streaming")
        index = _index()
        engine = index.as_query_engine(llm=llm, streaming=True)
        here, there = engine.query("Tea?"), engine.query("Tea?")
        assert isinstance(here, StreamingResponse)
        assert isinstance(there, StreamingResponse)
        answers = ["".join(here.response_gen), in_thread(lambda: "".join(there.response_gen))]
        assert not set(answers) & set(EMPTY)
        if self.is_deterministic:
            whole = str(index.as_query_engine(llm=llm).query("Tea?")).strip()
            assert [answer.strip() for answer in answers] == [whole, whole]

    @pytest.mark.parametrize("mode", ["simple", "context", "condense_plus_context"])
    def test_a_chat_engine_answers(self, llm: LLM, mode: Any) -> None:
        """Turn by turn, in every way, and remembers what was said."""
        engine = _index().as_chat_engine(chat_mode=mode, llm=llm, memory=_memory())

        async def others() -> list[str]:
            said = [(await engine.achat("And rain?")).response]
            if self.supports_streaming:
                stream = await engine.astream_chat("And snow?")
                said.append("".join([piece async for piece in stream.async_response_gen()]))
            return said

        said = [engine.chat("Tea?").response]
        if self.supports_streaming:
            said.append("".join(engine.stream_chat("And coffee?").response_gen))
        said += asyncio.run(others())
        assert not set(said) & set(EMPTY)
        remembered = [m.content or "" for m in engine.chat_history if m.role == "assistant"]
        assert [text.strip() for text in remembered] == [text.strip() for text in said]

    def test_a_failure_is_no_empty_answer(self, llm: LLM) -> None:
        """A prompt packed too large is refused aloud, also within a query engine."""
        self.need("supports_context_window")
        helper = PromptHelper(context_window=FAR_TOO_LARGE)
        passages = "tea is brewed " * llm.metadata.context_window
        for mode in (ResponseMode.COMPACT, ResponseMode.REFINE):
            synthesizer = get_response_synthesizer(
                llm=llm, prompt_helper=helper, response_mode=mode
            )
            try:
                answer = synthesizer.get_response("Tea?", [passages])
            except Exception:  # noqa: BLE001, S112  # of whatever kind
                continue
            pytest.fail(f"{mode}: {str(answer)[:100]!r} instead of an error")


_FACTS = ("Tea is brewed with hot water.", "Rain falls from clouds.")


def _index() -> VectorStoreIndex:
    nodes: list[Any] = [TextNode(text=fact) for fact in _FACTS]
    return VectorStoreIndex(nodes=nodes, embed_model=MockEmbedding(embed_dim=4))


def _memory() -> ChatMemoryBuffer:
    # The default keeps its messages in a database that it never closes.
    return ChatMemoryBuffer.from_defaults(token_limit=FAR_TOO_LARGE)
