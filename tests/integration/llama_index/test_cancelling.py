"""Ending what nobody reads any more: `cancel()`, and a time limit for every call."""

import asyncio
import threading
import time
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.schema import TextNode

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.errors import DeadlineExceededError, InvalidParameterError

HELLO = [ChatMessage("hi")]
# Nothing in it repeats, so that nothing can be guessed ahead.
LONG = "".join(chr(33 + (n * n + n // 7) % 90) for n in range(3000))


@pytest.fixture
def slow(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> PersonaJudgeLLM:
    """Answers at length, some milliseconds for each token."""
    llm: PersonaJudgeLLM = scripted(lambda _: LONG, max_tokens=3000)
    model: Any = llm.engine.model
    quick = model.next_token

    def next_token(tokens: Any) -> int:
        time.sleep(0.002)
        return int(quick(tokens))

    monkeypatch.setattr(model, "next_token", next_token)
    return llm


def forwards_later(llm: PersonaJudgeLLM) -> int:
    """Return how many passes there are in a while, after a moment to come to rest."""
    model: Any = llm.engine.model
    time.sleep(0.1)
    before = model.forwards
    time.sleep(0.2)
    return int(model.forwards - before)


def chat_engine(llm: PersonaJudgeLLM) -> Any:
    index = VectorStoreIndex(nodes=[TextNode(text="Tea is brewed.")])
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    return index.as_chat_engine(chat_mode="context", llm=llm, memory=memory)  # type: ignore[arg-type]


@pytest.mark.usefixtures("own_loop")
def test_a_chat_engine_that_nobody_reads_is_ended(slow: PersonaJudgeLLM) -> None:
    alice = slow.with_user("alice")
    engine = chat_engine(alice)
    pieces = engine.stream_chat("Tea?").response_gen
    said = "".join(next(pieces) for _ in range(5))
    alice.cancel()
    start = time.perf_counter()
    pieces.close()  # which waits for the writer of the chat's history
    assert time.perf_counter() - start < 1
    assert forwards_later(slow) == 0
    written = engine.chat_history[-1].content
    assert written.startswith(said)
    assert len(written) < 200


async def test_so_is_an_asynchronous_one(slow: PersonaJudgeLLM) -> None:
    alice = slow.with_user("alice")
    engine = chat_engine(alice)
    response = await engine.astream_chat("Tea?")
    pieces = response.async_response_gen()
    for _ in range(5):
        await anext(pieces)
    alice.cancel()
    await asyncio.wait_for(pieces.aclose(), 1)
    assert await asyncio.to_thread(forwards_later, slow) == 0


@pytest.mark.parametrize("method", ["stream_complete", "stream_chat"])
@pytest.mark.parametrize("reading", [False, True])
def test_a_stream_ends_from_another_thread(
    method: str, *, reading: bool, slow: PersonaJudgeLLM
) -> None:
    stream = getattr(slow, method)("hi" if "complete" in method else HELLO)
    next(stream)
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.extend(stream))
    if reading:
        reader.start()
        time.sleep(0.05)
    slow.cancel()
    if not reading:
        assert forwards_later(slow) == 0
        reader.start()
    reader.join(timeout=2)
    assert not reader.is_alive()
    assert len(found) < 200
    assert forwards_later(slow) == 0


@pytest.mark.parametrize("method", ["astream_complete", "astream_chat"])
@pytest.mark.parametrize("reading", [False, True])
async def test_an_asynchronous_stream_ends_from_another_thread(
    method: str, *, reading: bool, slow: PersonaJudgeLLM
) -> None:
    stream = await getattr(slow, method)("hi" if "complete" in method else HELLO)
    await anext(stream)

    async def rest() -> int:
        return len([item async for item in stream])

    reader = asyncio.create_task(rest()) if reading else None
    await asyncio.sleep(0.05)
    await asyncio.to_thread(slow.cancel)
    if reader is None:
        assert await asyncio.to_thread(forwards_later, slow) == 0
        reader = asyncio.create_task(rest())
    assert await asyncio.wait_for(reader, 2) < 200
    assert await asyncio.to_thread(forwards_later, slow) == 0


def test_streams_of_others_go_on(scripted: Any) -> None:
    llm = scripted()
    alice, bob = llm.with_user("alice"), llm.with_user("bob")
    streams = [one.stream_complete("hi") for one in (alice, bob, llm)]
    for stream in streams:
        next(stream)
    alice.cancel()
    texts = [[item.text for item in stream] for stream in streams]
    assert not texts[0]
    assert [said[-1] for said in texts[1:]] == ["For bob only.", "For nobody only."]
    assert alice.complete("hi").text == "For alice only."
    assert [item.text for item in alice.stream_complete("hi")][-1] == "For alice only."


def test_a_copy_that_llamaindex_makes_is_ended_with_its_original(slow: PersonaJudgeLLM) -> None:
    stream = slow.model_copy().stream_complete("hi")
    next(stream)
    slow.cancel()
    assert list(stream) == []


def test_ended_streams_are_forgotten(slow: PersonaJudgeLLM) -> None:
    for _ in range(3):
        stream: Any = slow.stream_complete("hi", max_tokens=2)
        assert list(stream)
        del stream
    assert not slow._running._calls


@pytest.mark.usefixtures("own_loop")
@pytest.mark.parametrize("how", ["chat", "complete", "stream_chat"])
def test_a_field_limits_the_time_of_every_call(how: str, slow: PersonaJudgeLLM) -> None:
    slow.timeout = 0.2
    index = VectorStoreIndex(nodes=[TextNode(text="Tea is brewed.")])
    with pytest.raises(DeadlineExceededError):
        index.as_query_engine(llm=slow).query("Tea?")
    with pytest.raises(DeadlineExceededError):
        "".join(str(item) for item in getattr(slow, how)("hi" if how == "complete" else HELLO))
    assert slow.complete("hi", max_tokens=2, timeout=30).text
    again = PersonaJudgeLLM.from_dict(slow.to_dict(), engine=slow.engine)
    assert again.timeout == 0.2
    with pytest.raises(InvalidParameterError, match="timeout"):
        PersonaJudgeLLM(engine=slow.engine, timeout=0)
