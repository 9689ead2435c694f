"""Streams that are left, cancelled or broken: the decoder stops, and nobody waits for ever."""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import DecodingError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Profile

ScriptedLLM = Callable[..., PersonaJudgeLLM]
LONG = "word " * 60


class BrokenError(Exception):
    """Raised by a model."""


class Hoarder(TokenCountingHandler):
    """Keeps every payload: with the error of a stream that was left, its frames live on."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []

    def on_event_end(self, *args: Any, **kwargs: Any) -> None:
        self.kept.append((args, kwargs))


def long_script(prompt: str) -> str:
    time.sleep(0)
    return LONG


def forwards(llm: PersonaJudgeLLM) -> int:
    return int(llm.engine.model.forwards)  # type: ignore[union-attr, arg-type]


def slow_down(llm: PersonaJudgeLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every forward pass take some milliseconds, as those of real models do."""
    model: Any = llm.engine.model
    quick = model.next_token

    def next_token(tokens: Any) -> int:
        time.sleep(0.003)
        return int(quick(tokens))

    monkeypatch.setattr(model, "next_token", next_token)


def subject(method: str) -> Any:
    return "hi" if "complete" in method else [ChatMessage("hi")]


@pytest.mark.parametrize("method", ["stream_complete", "stream_chat"])
def test_a_stream_computes_only_what_is_read(
    method: str, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = scripted(long_script, max_tokens=300)
    llm.callback_manager = CallbackManager([Hoarder()])
    opened = []

    def stream_of(call: Any) -> Any:
        opened.append(PersonaJudge.stream(llm.engine, call))
        return opened[-1]

    monkeypatch.setattr(llm.engine, "stream", stream_of)
    stream = getattr(llm.with_user("alice"), method)(subject(method))
    assert forwards(llm) == 0
    for _ in range(5):
        next(stream)
    stream.close()
    assert forwards(llm) <= 8
    assert inspect.getgeneratorstate(opened[0]) == inspect.GEN_CLOSED
    assert llm.complete("hi").text == LONG


@pytest.mark.parametrize("method", ["astream_complete", "astream_chat"])
async def test_an_async_stream_that_is_closed_stops_the_decoder(
    method: str, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = scripted(long_script, max_tokens=300)
    slow_down(llm, monkeypatch)
    llm.callback_manager = CallbackManager([Hoarder()])
    stream = await getattr(llm.with_user("alice"), method)(subject(method))
    assert forwards(llm) == 0
    for _ in range(3):
        await anext(stream)
    await stream.aclose()
    after = forwards(llm)
    await asyncio.sleep(0.1)
    assert forwards(llm) <= after + 2
    assert after < len(LONG) / 2


@pytest.mark.parametrize("method", ["acomplete", "achat", "astream_complete", "astream_chat"])
async def test_a_cancelled_task_stops_the_decoder(
    method: str, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = scripted(long_script, max_tokens=300)
    slow_down(llm, monkeypatch)

    async def read() -> None:
        answer = await getattr(llm.with_user("alice"), method)(subject(method))
        if "stream" in method:
            async for _ in answer:
                pass

    task = asyncio.create_task(read())
    while forwards(llm) < 3:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    after = forwards(llm)
    await asyncio.sleep(0.1)
    assert forwards(llm) <= after + 2
    assert after < len(LONG) / 2


@pytest.mark.parametrize("method", ["acomplete", "achat", "astream_complete", "astream_chat"])
async def test_other_tasks_go_on_while_one_waits_for_an_answer(
    method: str, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = scripted(max_tokens=20)
    slow_down(llm, monkeypatch)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.001)
            beats += 1

    heart = asyncio.create_task(beat())
    answer = await getattr(llm.with_user("alice"), method)(subject(method))
    if "stream" in method:
        answer = [item async for item in answer]
    heart.cancel()
    assert answer
    assert beats >= 5


@pytest.mark.parametrize("method", ["acomplete", "achat", "astream_complete", "astream_chat"])
async def test_other_tasks_go_on_while_a_profile_is_read(
    method: str, scripted: ScriptedLLM, store: InMemoryProfileStore
) -> None:
    waiting, release = threading.Event(), threading.Event()
    answered = False
    read = store.get

    def slow_get(user_id: str) -> Profile:
        nonlocal answered
        waiting.set()
        answered = release.wait(5)
        return read(user_id)

    store.get = slow_get  # type: ignore[method-assign]

    async def let_go() -> None:
        while not waiting.is_set():
            await asyncio.sleep(0.001)
        release.set()

    llm = scripted(max_tokens=4).with_user("alice")
    answer = getattr(llm, method)(subject(method))
    await asyncio.gather(let_go(), answer)
    assert answered


@pytest.mark.parametrize(
    "method", ["stream_complete", "stream_chat", "astream_complete", "astream_chat"]
)
async def test_an_error_in_the_middle_of_a_stream_reaches_its_reader(
    method: str, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = scripted(max_tokens=20)
    model: Any = llm.engine.model
    quick = model.next_token

    def next_token(tokens: Any) -> int:
        if model.forwards > 3:
            raise BrokenError
        return int(quick(tokens))

    monkeypatch.setattr(model, "next_token", next_token)
    stream = getattr(llm.with_user("alice"), method)(subject(method))

    async def read() -> list[Any]:
        if method.startswith("a"):
            return [item async for item in await stream]
        return list(stream)

    with pytest.raises(DecodingError, match=BrokenError.__name__):
        await asyncio.wait_for(read(), 5)


async def test_a_sync_call_inside_a_running_loop_finishes(llm: PersonaJudgeLLM) -> None:
    other = asyncio.create_task(llm.with_user("bob").achat([ChatMessage("hi")]))
    await asyncio.sleep(0)
    assert llm.with_user("alice").complete("hi").text == "For alice only."
    assert (await other).message.content == "For bob only."


def test_one_llm_serves_several_event_loops(llm: PersonaJudgeLLM) -> None:
    for user in ("alice", "bob"):
        answer = asyncio.run(llm.with_user(user).acomplete("hi"))
        assert answer.text == f"For {user} only."
