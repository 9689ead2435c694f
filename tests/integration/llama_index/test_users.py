"""Whose call it is: settled when a method is called, whatever happens until it is read."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.instrumentation.dispatcher import (  # type: ignore[attr-defined]
    instrument_tags,
)
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.schema import TextNode

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.errors import (
    InvalidParameterError,
    InvalidPreferenceError,
    MissingUserError,
    UnknownUserError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference
from persona_judge_llm.scope import no_persona, use_user

ScriptedLLM = Callable[..., PersonaJudgeLLM]
HELLO = [ChatMessage("hi")]


def index() -> VectorStoreIndex:
    return VectorStoreIndex(nodes=[TextNode(text="Tea is brewed."), TextNode(text="Rain falls.")])


def in_thread(work: Callable[[], Any]) -> Any:
    """Run work in a thread that knows none of this context's variables."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(Context().run, work).result()


def test_an_argument_goes_before_a_bound_copy_before_a_scope(llm: PersonaJudgeLLM) -> None:
    bob = llm.with_user("bob")
    assert llm.complete("hi").text == "For nobody only."
    with use_user("carol"):
        assert llm.complete("hi").text == "For carol only."
        assert bob.complete("hi").text == "For bob only."
        assert bob.complete("hi", user_id="alice").text == "For alice only."
        assert bob.with_user(None).complete("hi").text == "For carol only."
    with no_persona():
        assert bob.complete("hi").text == "For nobody only."
        assert bob.complete("hi", user_id="alice").text == "For alice only."
    assert bob.complete("hi", persona=False).text == "For nobody only."


def test_a_tag_of_llamaindex_names_the_user_between_copy_and_scope(llm: PersonaJudgeLLM) -> None:
    with use_user("carol"), instrument_tags({"user_id": "alice"}):
        assert llm.complete("hi").text == "For alice only."
        assert llm.with_user("bob").complete("hi").text == "For bob only."
        assert llm.complete("hi", user_id="bob").text == "For bob only."
        stream = llm.stream_complete("hi")
        with no_persona():
            assert llm.complete("hi").text == "For nobody only."
    assert [r.text for r in stream][-1] == "For alice only."
    with instrument_tags({"user_id": "mallory"}), pytest.raises(UnknownUserError):
        llm.complete("hi")
    with instrument_tags({"other": "alice"}):
        assert llm.complete("hi").text == "For nobody only."


def test_preferences_of_a_call_go_before_every_user_but_its_own(llm: PersonaJudgeLLM) -> None:
    likes = ["Write for carol"]
    assert llm.with_user("bob").complete("hi", preferences=likes).text == "For carol only."
    with no_persona():
        assert llm.complete("hi", preferences=likes).text == "For carol only."
    with pytest.raises(InvalidParameterError):
        llm.complete("hi", preferences=likes, user_id="bob")


def test_a_bad_user_id_is_refused_where_it_is_bound(llm: PersonaJudgeLLM) -> None:
    with pytest.raises(InvalidPreferenceError):
        llm.with_user("")
    with pytest.raises(InvalidPreferenceError):
        llm.with_user(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["stream_complete", "stream_chat"])
def test_a_stream_keeps_the_user_of_the_moment_it_was_asked_for(
    method: str, llm: PersonaJudgeLLM
) -> None:
    with use_user("alice"):
        stream = getattr(llm, method)("hi" if "complete" in method else HELLO)
    with use_user("bob"):
        assert "".join(item.delta for item in stream) == "For alice only."


@pytest.mark.parametrize("method", ["acomplete", "achat"])
async def test_a_coroutine_keeps_the_user_of_the_moment_it_was_made(
    method: str, llm: PersonaJudgeLLM
) -> None:
    nobody = getattr(llm, method)("hi" if "complete" in method else HELLO)
    with use_user("alice"):
        answer = getattr(llm, method)("hi" if "complete" in method else HELLO)
    with use_user("bob"):
        assert "For alice only." in str(await answer)
        assert "For nobody only." in str(await nobody)


@pytest.mark.parametrize("method", ["astream_complete", "astream_chat"])
async def test_an_async_stream_keeps_the_user_of_the_moment_it_was_asked_for(
    method: str, llm: PersonaJudgeLLM
) -> None:
    with use_user("alice"):
        asked = getattr(llm, method)("hi" if "complete" in method else HELLO)
    with use_user("bob"):
        stream = await asked
    assert "".join([item.delta async for item in stream]) == "For alice only."


def test_lazily_read_streams_of_query_engines_keep_the_bound_user(llm: PersonaJudgeLLM) -> None:
    def ask(user: str) -> Any:
        return index().as_query_engine(llm=llm.with_user(user), streaming=True).query("Tea?")

    here, elsewhere = ask("alice"), ask("alice")
    with use_user("bob"):
        assert "".join(here.response_gen) == "For alice only."
        assert in_thread(lambda: "".join(elsewhere.response_gen)) == "For alice only."


async def test_lazily_read_async_streams_keep_the_bound_user(llm: PersonaJudgeLLM) -> None:
    engine = index().as_query_engine(llm=llm.with_user("alice"), streaming=True)
    with use_user("bob"):
        response: Any = await engine.aquery("Tea?")
        assert "".join([text async for text in response.async_response_gen()]) == "For alice only."


def test_a_scope_that_is_over_when_a_lazy_stream_is_read_is_missed_loudly(
    scripted: ScriptedLLM,
) -> None:
    engine = index().as_query_engine(llm=scripted(require_user=True), streaming=True)
    with use_user("alice"):
        response: Any = engine.query("Tea?")
    with pytest.raises(MissingUserError):
        list(response.response_gen)


@pytest.mark.parametrize("mode", ["simple", "context", "condense_plus_context"])
def test_chat_engines_keep_the_bound_user_through_their_threads(
    mode: Any, llm: PersonaJudgeLLM
) -> None:
    engine = index().as_chat_engine(
        chat_mode=mode,
        llm=llm.with_user("alice"),
        memory=ChatMemoryBuffer.from_defaults(token_limit=10_000),
    )
    with use_user("bob"):
        assert "".join(engine.stream_chat("Tea?").response_gen) == "For alice only."
        assert engine.chat("And rain?").response == "For alice only."


async def test_users_at_the_same_time_do_not_meet(llm: PersonaJudgeLLM) -> None:
    users = ["alice", "bob", "carol"] * 3

    async def bound(user: str) -> str:
        return (await llm.with_user(user).achat(HELLO)).message.content or ""

    async def streamed(user: str) -> str:
        stream = await llm.astream_complete("hi", user_id=user)
        return "".join([item.delta or "" async for item in stream])

    async def ambient(user: str) -> str:
        with use_user(user):
            return (await llm.acomplete("hi")).text

    ways = (bound, streamed, ambient)
    answers = await asyncio.gather(*[way(user) for way in ways for user in users])
    assert answers == [f"For {user} only." for _ in ways for user in users]


def test_users_in_many_threads_do_not_meet(llm: PersonaJudgeLLM) -> None:
    users = ["alice", "bob", "carol"] * 3
    start = threading.Barrier(len(users))

    def answer(user: str) -> str:
        start.wait()
        with use_user(user):
            return llm.complete("hi").text

    with ThreadPoolExecutor(len(users)) as pool:
        assert list(pool.map(answer, users)) == [f"For {user} only." for user in users]


def test_a_profile_is_read_at_each_call_and_frozen_for_it(
    llm: PersonaJudgeLLM, store: InMemoryProfileStore
) -> None:
    alice = llm.with_user("alice")
    stream: Any = alice.stream_complete("hi")
    first = next(stream)
    store.update("alice", "p1", text="Write for carol")
    rest = list(stream)
    assert first.delta + "".join(item.delta or "" for item in rest) == "For alice only."
    assert rest[-1].raw["profile_version"] == 1
    later: Any = alice.complete("hi")
    assert (later.text, later.raw["profile_version"]) == ("For carol only.", 2)


def test_bound_copies_are_accepted_as_the_global_llm(llm: PersonaJudgeLLM) -> None:
    Settings.llm = llm.with_user("alice")
    assert str(index().as_query_engine().query("Tea?")) == "For alice only."


def test_a_preference_object_is_taken_as_it_is(llm: PersonaJudgeLLM) -> None:
    likes = [Preference("Write for bob", kind="must")]
    assert llm.complete("hi", preferences=likes).text == "For bob only."
