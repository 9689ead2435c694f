"""The asynchronous methods: the same answers, and an event loop that goes on."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from llama_index.core.llms import LLM
from llama_index.core.prompts import PromptTemplate

from llama_index_persona_judge.testing.suite import (
    QUESTION,
    LLMSuite,
    aask,
    answer_to,
    ask,
    text_of,
)

QUICK_BEATS = 50
LEAST_BEATS = 3
MOST_SECONDS = 0.5
"""How long a loop may stand still, if that is less than half of the time that the call takes."""

T = TypeVar("T")


class Asynchrony(LLMSuite):
    """Answers that are awaited."""

    @pytest.mark.parametrize("method", ["acomplete", "achat", "astream_complete", "astream_chat"])
    def test_an_awaited_answer_is_the_same(self, llm: LLM, method: str) -> None:
        """Both worlds have one behaviour."""
        if "stream" in method:
            self.need("supports_streaming")
        responses = ask(llm, method)
        assert text_of(responses[-1])
        if "stream" in method:
            assert "".join(r.delta or "" for r in responses) == text_of(responses[-1])
        if self.is_deterministic:
            assert text_of(responses[-1]) == answer_to(llm, method.removeprefix("a"))

    def test_an_awaited_template_is_the_same(self, llm: LLM) -> None:
        """`apredict` and `astream` say what `predict` does."""
        self.need("is_deterministic")
        template: Any = PromptTemplate("How can I {what} better?")

        async def streamed() -> str:
            pieces = await llm.astream(template, what="sleep")
            return "".join([piece async for piece in pieces])

        answer = llm.predict(template, what="sleep")
        assert asyncio.run(llm.apredict(template, what="sleep")) == answer
        if self.supports_streaming:
            assert asyncio.run(streamed()) == answer

    @pytest.mark.parametrize("method", ["acomplete", "achat"])
    def test_other_tasks_go_on_during_a_call(self, llm: LLM, method: str) -> None:
        """A server answers its other users meanwhile."""
        self.need("supports_async")
        asyncio.run(_beside_a_heart(aask(llm, method)))

    @pytest.mark.parametrize("method", ["astream_complete", "astream_chat"])
    def test_other_tasks_go_on_during_a_stream(self, llm: LLM, method: str) -> None:
        """A server answers its other users meanwhile."""
        self.need("supports_async", "supports_streaming")
        asyncio.run(_beside_a_heart(aask(llm, method)))

    def test_calls_at_the_same_time_do_not_meet(self, llm: LLM) -> None:
        """Each task gets the answer to its own question."""
        self.need("is_deterministic")
        questions = [QUESTION, "Hello!", "What is tea?"]
        alone = [answer_to(llm, "chat", question) for question in questions]

        async def together() -> list[list[Any]]:
            return await asyncio.gather(*[aask(llm, "achat", question) for question in questions])

        assert [text_of(responses[-1]) for responses in asyncio.run(together())] == alone

    def test_a_cancelled_call_leaves_the_llm_as_it_was(self, llm: LLM) -> None:
        """Users close their windows."""
        self.need("supports_async", "is_deterministic")
        whole = llm.complete(QUESTION).text

        async def cancelled() -> str:
            task = asyncio.create_task(aask(llm, "achat"))
            await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return text_of((await aask(llm, "acomplete"))[-1])

        assert asyncio.run(cancelled()) == whole


async def _beside_a_heart(work: Coroutine[Any, Any, T]) -> T:
    """Do some work, and fail if the loop stood still meanwhile."""
    beats, longest, last = 0, 0.0, time.perf_counter()

    async def beat() -> None:
        nonlocal beats, longest, last
        while True:
            # Quickly at first: the answers of small models do not take long.
            await asyncio.sleep(0 if beats < QUICK_BEATS else 0.001)
            now = time.perf_counter()
            beats, longest, last = beats + 1, max(longest, now - last), now

    heart = asyncio.create_task(beat())
    await asyncio.sleep(0)
    start = last = time.perf_counter()
    before = beats
    done = await work
    took = time.perf_counter() - start
    longest = max(longest, time.perf_counter() - last)
    heart.cancel()
    assert beats - before >= LEAST_BEATS, f"nothing else was done for {took:.2f} s"
    assert longest <= max(MOST_SECONDS, took / 2), f"nothing else was done for {longest:.2f} s"
    return done
