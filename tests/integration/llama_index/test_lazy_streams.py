"""Streams that call the LLM when they are read: the user is known, or it is said that it is not."""

import asyncio
from contextlib import AbstractContextManager
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.instrumentation.dispatcher import (  # type: ignore[attr-defined]
    instrument_tags,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.schema import TextNode
from pydantic import BaseModel

from llama_index_persona_judge import LazyStreamError, PersonaJudgeLLM
from persona_judge_llm.errors import InvalidParameterError, MissingUserError
from persona_judge_llm.scope import use_user
from persona_judge_llm.testing import tiny_tokenizer
from tests.integration.llama_index.conftest import RecordingEngine, ScriptedModel, whose

pytestmark = pytest.mark.usefixtures("own_loop")

LAZY_MODES = ("compact", "refine")


def index() -> VectorStoreIndex:
    return VectorStoreIndex(nodes=[TextNode(text="Tea is brewed."), TextNode(text="Rain falls.")])


def scope(way: str, user: str) -> AbstractContextManager[Any]:
    if way == "scope":
        return use_user(user)
    tags: AbstractContextManager[Any] = instrument_tags({"user_id": user})
    return tags


def read(llm: PersonaJudgeLLM, way: str, mode: Any, *, awaited: bool) -> str:
    """Ask in alice's scope and read in bob's."""
    engine = index().as_query_engine(llm=llm, response_mode=mode, streaming=True)

    async def asynchronously() -> str:
        with scope(way, "alice"):
            response: Any = await engine.aquery("Tea?")
        with scope(way, "bob"):
            return "".join([piece async for piece in response.async_response_gen()])

    if awaited:
        return asyncio.run(asynchronously())
    with scope(way, "alice"):
        response: Any = engine.query("Tea?")
    with scope(way, "bob"):
        return "".join(response.response_gen)


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("mode", LAZY_MODES)
@pytest.mark.parametrize("way", ["scope", "tag"])
def test_the_reader_is_not_taken_for_who_asked(
    way: str, mode: Any, *, awaited: bool, llm: PersonaJudgeLLM
) -> None:
    with pytest.raises(LazyStreamError, match=r"with_user.*neutral") as caught:
        read(llm, way, mode, awaited=awaited)
    assert isinstance(caught.value, MissingUserError)
    assert "calls" not in llm.engine.__dict__, "refused before anything is prepared"
    assert read(llm.with_user("alice"), way, mode, awaited=awaited) == "For alice only."
    assert read(llm.neutral(), way, mode, awaited=awaited) == "For nobody only."


@pytest.mark.parametrize("way", ["scope", "tag"])
def test_streams_that_are_asked_for_at_once_know_who_asked(way: str, llm: PersonaJudgeLLM) -> None:
    for mode in ("tree_summarize", "simple_summarize", "generation"):
        assert read(llm, way, mode, awaited=False) == "For alice only."
        assert read(llm, way, mode, awaited=True) == "For alice only."


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("way", ["scope", "tag"])
def test_a_chat_engine_carries_the_scope_along(
    way: str, *, awaited: bool, llm: PersonaJudgeLLM
) -> None:
    engine = index().as_chat_engine(
        chat_mode="condense_question",  # type: ignore[arg-type]
        llm=llm,
        memory=ChatMemoryBuffer.from_defaults(token_limit=10_000),
    )

    async def asynchronously() -> str:
        with scope(way, "alice"):
            response = await engine.astream_chat("Tea?")
        with scope(way, "bob"):
            return "".join([piece async for piece in response.async_response_gen()])

    if awaited:
        assert asyncio.run(asynchronously()) == "For alice only."
        return
    with scope(way, "alice"):
        response = engine.stream_chat("Tea?")
    with scope(way, "bob"):
        assert "".join(response.response_gen) == "For alice only."


def test_an_engine_without_profiles_has_nobody_to_lose() -> None:
    engine = RecordingEngine(ScriptedModel(whose), tiny_tokenizer(), loop="dual")
    llm = PersonaJudgeLLM(engine=engine)
    response: Any = index().as_query_engine(llm=llm, streaming=True).query("Tea?")
    assert "".join(response.response_gen) == "For nobody only."


class Named(BaseModel):
    name: str


class Answered(BaseModel):
    answer: str


@pytest.mark.parametrize("awaited", [False, True])
def test_streamed_objects_are_shown_or_refused_never_empty(*, awaited: bool, scripted: Any) -> None:
    llm = scripted(lambda _: '{"answer": "tea"}').with_user("alice")

    def ask(cls: type[BaseModel]) -> str:
        engine = index().as_query_engine(llm=llm, output_cls=cls, streaming=True)

        async def asynchronously() -> str:
            response: Any = await engine.aquery("Tea?")
            return "".join([piece async for piece in response.async_response_gen()])

        if awaited:
            return asyncio.run(asynchronously())
        response: Any = engine.query("Tea?")
        return "".join(response.response_gen)

    assert ask(Answered) == "tea"
    with pytest.raises(InvalidParameterError, match="answer"):
        ask(Named)
