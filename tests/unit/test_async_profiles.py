"""An engine on an asynchronous profile store: read on the caller's loop, frozen for the call."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from persona_judge_llm import use_user
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import (
    InvalidParameterError,
    ProfileStoreUnavailableError,
    UnknownUserError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import AsyncProfileStore, Preference, Profile
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import tiny_engine

FEW = SamplingParams(max_new_tokens=4, temperature=0.0)


class AsyncMemory:
    """An asynchronous store that notes where it was read."""

    def __init__(self) -> None:
        self.inner = InMemoryProfileStore(
            [Profile(user, (Preference(f"Like {user}"),)) for user in ("ana", "ben")]
        )
        self.threads: list[int] = []
        self.loops: list[asyncio.AbstractEventLoop] = []

    async def get(self, user_id: str) -> Profile:
        self.threads.append(threading.get_ident())
        self.loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return self.inner.get(user_id)

    async def put(self, profile: Profile, expected_version: int | None = None) -> Profile:
        return self.inner.put(profile, expected_version)


@pytest.fixture
def store() -> AsyncMemory:
    return AsyncMemory()


@pytest.fixture
async def engine(store: AsyncMemory) -> AsyncIterator[PersonaJudge]:
    with tiny_engine(profiles=store) as engine:
        yield engine


def test_it_is_an_async_profile_store(store: AsyncMemory) -> None:
    assert isinstance(store, AsyncProfileStore)


async def test_each_call_reads_its_own_user_on_the_loop_of_the_caller(
    engine: PersonaJudge, store: AsyncMemory
) -> None:
    answers = await asyncio.gather(
        *(engine.agenerate("Hi", user_id=user, params=FEW) for user in ("ana", "ben") * 4)
    )
    for user, answer in zip(("ana", "ben") * 4, answers, strict=True):
        assert [p.text for p in answer.split.a] == [f"Like {user}"]
        assert answer.user_id == user
    assert set(store.threads) == {threading.get_ident()}
    assert set(store.loops) == {asyncio.get_running_loop()}


async def test_a_stream_and_the_ambient_user_read_it_too(engine: PersonaJudge) -> None:
    with use_user("ben"):
        chunks = [chunk async for chunk in engine.astream("Hi", params=FEW)]
    generation = chunks[-1].generation
    assert generation is not None
    assert generation.user_id == "ben"


async def test_its_errors_reach_the_caller(engine: PersonaJudge, store: AsyncMemory) -> None:
    with pytest.raises(UnknownUserError):
        await engine.agenerate("Hi", user_id="nobody", params=FEW)

    async def broken(_: str) -> Profile:
        raise TimeoutError("secret")

    store.get = broken  # type: ignore[assignment,method-assign]
    with pytest.raises(ProfileStoreUnavailableError, match="TimeoutError") as caught:
        await engine.agenerate("Hi", user_id="ana", params=FEW)
    assert "secret" not in str(caught.value)


async def test_a_synchronous_call_names_the_way_out(engine: PersonaJudge) -> None:
    for call in (engine.generate, engine.plan):
        with pytest.raises(InvalidParameterError, match="agenerate"):
            call("Hi", user_id="ana")
    assert engine.generate("Hi", params=FEW).user_id is None


def test_one_engine_serves_several_loops(store: AsyncMemory) -> None:
    with tiny_engine(profiles=store) as engine:
        for _ in range(2):
            answer = asyncio.run(engine.agenerate("Hi", user_id="ana", params=FEW))
            assert answer.profile_version == 1
    assert len(store.loops) == 2


async def test_a_cancelled_call_ends_while_the_store_is_slow(store: AsyncMemory) -> None:
    entered = asyncio.Event()
    release = asyncio.Event()

    async def slow(user_id: str) -> Profile:
        entered.set()
        await release.wait()
        return store.inner.get(user_id)

    store.get = slow  # type: ignore[method-assign]
    with tiny_engine(profiles=store) as engine:
        task = asyncio.create_task(engine.agenerate("Hi", user_id="ana", params=FEW))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        await asyncio.sleep(0)
