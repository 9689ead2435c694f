"""What both models answer: the same text by every door, with usage, metadata, stops and ends."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, trim_messages
from langchain_core.outputs import GenerationChunk
from pydantic import ValidationError

from langchain_persona_judge import ChatPersonaJudge, PersonaJudgeLLM
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import (
    ContextOverflowError,
    InvalidParameterError,
    InvalidPreferenceError,
)
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.scope import no_persona, use_user
from persona_judge_llm.trace import Chunk
from tests.integration.langchain.conftest import ALICE, BOB, TellingEngine, text_of
from tests.integration.langchain.test_doors import ASYNC, SYNC, V3, through

pytestmark = pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")


@pytest.mark.parametrize("user", [ALICE, BOB])
async def test_every_door_gives_the_same_text_for_a_seed(real: Any, user: str) -> None:
    doors = SYNC | ASYNC | (V3 if isinstance(real, ChatPersonaJudge) else {})
    for seed in (1, 2):
        found = {n: await through(d, real, user_id=user, seed=seed) for n, d in doors.items()}
        assert len(set(found.values())) == 1, found
        assert (
            real.engine.generate("x", user_id=user, params=_params(24, seed)).text in found.values()
        )


def _params(max_new_tokens: int, seed: int) -> Any:
    return SamplingParams(max_new_tokens=max_new_tokens, seed=seed)


@pytest.mark.parametrize("position", [1, 5, 9])
async def test_a_stop_string_ends_the_text_and_is_not_in_it(real: Any, position: int) -> None:
    whole = await through(SYNC["invoke"], real, user_id=ALICE, seed=5)
    stop = whole[position : position + 2]
    for door in (*SYNC.values(), *ASYNC.values()):
        found = await through(door, real, user_id=ALICE, seed=5, stop=["###", stop])
        assert found == whole[: whole.index(stop)]
    field = real.model_copy(update={"stop": [stop]})
    assert text_of(field.invoke("x", user_id=ALICE, seed=5)) == whole[: whole.index(stop)]
    assert text_of(field.invoke("x", user_id=ALICE, seed=5, stop=[])) == whole


def test_the_message_says_what_happened(real_engine: PersonaJudge) -> None:
    chat = ChatPersonaJudge(engine=real_engine, max_tokens=12, seed=3)
    message = chat.invoke("x", user_id=ALICE)
    generation = real_engine.generate("x", user_id=ALICE, params=_params(12, 3))
    assert message.usage_metadata == {
        "input_tokens": generation.usage.prompt_tokens,
        "output_tokens": generation.usage.completion_tokens,
        "total_tokens": generation.usage.total_tokens,
    }
    assert message.response_metadata == {
        "model_name": chat.model_name,
        "finish_reason": generation.finish_reason,
        "stop_sequence": None,
        "acceptance_rate": generation.acceptance_rate,
        "profile_version": 1,
        "fingerprint": generation.fingerprint,
        "persona_judge": {
            "prompt_tokens_a": generation.usage.prompt_tokens_a,
            "prompt_tokens_b": generation.usage.prompt_tokens_b,
            "forward_passes": generation.usage.forward_passes,
            **{
                f"{outcome}_tokens": sum(t.outcome == outcome for t in generation.trace)
                for outcome in ("accepted", "recovered", "bonus", "sampled")
            },
            "seed": 3,
        },
    }
    assert len(generation.trace) == 12
    assert generation.usage.prompt_tokens_a > generation.usage.prompt_tokens


async def test_the_last_chunk_alone_carries_usage_and_metadata(
    real_engine: PersonaJudge,
) -> None:
    chat = ChatPersonaJudge(engine=real_engine, max_tokens=12, seed=3)
    message = chat.invoke("x", user_id=ALICE)
    for chunks in (
        list(chat.stream("x", user_id=ALICE)),
        [c async for c in chat.astream("x", user_id=ALICE)],
    ):
        assert [c.chunk_position for c in chunks] == [None] * (len(chunks) - 1) + ["last"]
        assert [c.usage_metadata for c in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert not any(c.response_metadata for c in chunks[:-1])
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        assert isinstance(whole, AIMessageChunk)
        assert whole.content == message.content
        assert whole.usage_metadata == message.usage_metadata
        assert whole.response_metadata == message.response_metadata


def test_a_generated_string_says_what_happened(real_engine: PersonaJudge) -> None:
    llm = PersonaJudgeLLM(engine=real_engine, max_tokens=12, seed=3)
    result = llm.generate(["x", "yy"], user_id=ALICE)
    infos = [g[0].generation_info or {} for g in result.generations]
    assert [i["finish_reason"] for i in infos] == ["length", "length"]
    assert {i["profile_version"] for i in infos} == {1}
    assert result.llm_output is not None
    assert result.llm_output["token_usage"]["completion_tokens"] == 24
    chunks = list(llm._stream("x", user_id=ALICE))
    assert all(isinstance(c, GenerationChunk) for c in chunks)
    assert chunks[-1].generation_info == infos[0]
    assert not any(c.generation_info for c in chunks[:-1])


@pytest.mark.parametrize("streaming", [True, False])
def test_invoke_may_be_served_by_streaming_and_says_the_same(
    real_engine: PersonaJudge, streaming: bool
) -> None:
    chat = ChatPersonaJudge(engine=real_engine, max_tokens=12, seed=3)
    expected = chat.invoke("x", user_id=ALICE)
    streamed = chat.model_copy(update={"streaming": streaming})
    found = [streamed.invoke("x", user_id=ALICE), chat.invoke("x", user_id=ALICE, stream=streaming)]
    if not streaming:
        disabled = chat.model_copy(update={"disable_streaming": True})
        found += list(disabled.stream("x", user_id=ALICE))
    for message in found:
        assert message.content == expected.content
        assert message.usage_metadata == expected.usage_metadata
        assert message.response_metadata == expected.response_metadata


class Watched:
    """Streams for ever, and knows when it was closed."""

    def __init__(self, engine: TellingEngine) -> None:
        self.engine = engine
        self.closed = threading.Event()
        self.steps = 0

    def stream(self, prompt: Any) -> Iterator[Any]:
        last = self.engine.generate(prompt)
        try:
            while self.steps < 1000:
                self.steps += 1
                yield type(self).chunk("a")
        finally:
            self.closed.set()
        yield type(self).chunk("", last)

    async def astream(self, prompt: Any) -> AsyncIterator[Any]:
        try:
            for chunk in self.stream(prompt):
                await asyncio.sleep(0)
                yield chunk
        finally:
            self.closed.set()

    @staticmethod
    def chunk(text: str, generation: Any = None) -> Any:
        return Chunk(text, (1,), generation)


@pytest.fixture
def watched(telling: TellingEngine, monkeypatch: pytest.MonkeyPatch) -> Watched:
    found = Watched(telling)
    monkeypatch.setattr(telling, "stream", found.stream)
    monkeypatch.setattr(telling, "astream", found.astream)
    return found


def test_closing_a_stream_stops_the_decoder(model: Any, watched: Watched) -> None:
    stream = model.stream("x")
    next(stream)
    stream.close()
    assert watched.closed.is_set()
    assert watched.steps <= 2


async def test_closing_an_async_stream_stops_the_decoder(model: Any, watched: Watched) -> None:
    stream = model.astream("x")
    await anext(stream)
    await stream.aclose()
    assert watched.closed.is_set()
    assert watched.steps <= 2


async def test_cancelling_a_call_stops_the_decoder(
    real: Any, real_engine: PersonaJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()
    agenerate = real_engine.agenerate

    async def watched(call: Any) -> Any:
        try:
            return await agenerate(call)
        except asyncio.CancelledError:
            ended.set()
            raise

    monkeypatch.setattr(real_engine, "agenerate", watched)
    before = real_engine.metrics.forward_passes
    long = {"user_id": ALICE, "max_tokens": 900, "seed": 4}  # a seed of many tokens
    task = asyncio.ensure_future(real.ainvoke("x", **long))
    while real_engine.metrics.forward_passes < before + 4:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_an_error_of_one_prompt_cancels_the_others_of_its_call(
    llm: PersonaJudgeLLM, telling: TellingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = asyncio.Event()

    async def decode(call: Any) -> Any:
        if call.request.prompt == "bad":
            raise RuntimeError("broken")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    monkeypatch.setattr(telling, "agenerate", decode)
    with pytest.raises(RuntimeError, match="broken"):
        await llm.agenerate(["good", "bad"])
    await asyncio.sleep(0)
    assert cancelled.is_set()


async def test_the_scope_of_a_stream_is_the_one_it_was_made_in(model: Any) -> None:
    with use_user(ALICE):
        stream, astream = model.stream("x"), model.astream("x")
    assert "".join(text_of(c) for c in stream) == "speaks of the sea"
    assert "".join([text_of(c) async for c in astream]) == "speaks of the sea"
    with no_persona():
        stream, astream = model.stream("x"), model.astream("x")
    with use_user(BOB):
        assert "".join(text_of(c) for c in stream) == "nobody"
        assert "".join([text_of(c) async for c in astream]) == "nobody"


def test_private_methods_on_the_model_itself_answer_too(
    llm: PersonaJudgeLLM, chat: ChatPersonaJudge
) -> None:
    result = llm._generate(["x"], user_id=ALICE)
    assert result.generations[0][0].text == "speaks of the sea"
    message = chat._generate([HumanMessage("x")], user_id=BOB).generations[0].message
    assert message.text == "speaks of the moon"


@pytest.mark.parametrize("kind", [PersonaJudgeLLM, ChatPersonaJudge])
def test_fields_that_nobody_knows_or_can_use_are_refused(
    kind: type, telling: TellingEngine
) -> None:
    with pytest.raises(ValidationError, match="temprature"):
        kind(engine=telling, temprature=1)
    with pytest.raises(InvalidParameterError, match="temperature"):
        kind(engine=telling, temperature=-1)
    with pytest.raises(InvalidParameterError, match="num_draft_tokens"):
        kind(engine=telling, num_draft_tokens=0)
    with pytest.raises(InvalidPreferenceError):
        kind(engine=telling).with_user("")
    with pytest.raises(ValidationError, match="engine"):
        kind(engine="a model")
    with pytest.raises(TypeError):
        kind(telling)


@pytest.mark.parametrize("kind", [PersonaJudgeLLM, ChatPersonaJudge])
def test_models_load_by_path(
    kind: Any, telling: TellingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def load(*args: Any, **kwargs: Any) -> PersonaJudge:
        seen.append((args, kwargs))
        return telling

    monkeypatch.setattr(PersonaJudge, "from_pretrained", load)
    monkeypatch.setattr(PersonaJudge, "bundled", load)
    options = {"unknown_user": "neutral"}
    model = kind.from_pretrained("a/b", profiles=None, engine_options=options, temperature=0.5)
    assert (model.engine, model.temperature) == (telling, 0.5)
    assert kind.bundled(profiles=None, top_k=5).top_k == 5
    assert seen == [(("a/b",), {"profiles": None, **options}), ((), {"profiles": None})]


def test_tokens_are_counted_by_the_models_own_tokenizer(model: Any) -> None:
    assert model.get_num_tokens("héllo") == 6
    counted = model.model_copy(update={"custom_get_token_ids": lambda text: [0]})
    assert counted.get_num_tokens("hello") == 1


def test_messages_are_counted_in_the_models_own_template(chat: ChatPersonaJudge) -> None:
    messages = [HumanMessage("What is up?")]
    prompt = chat.engine.prepare(Request([{"role": "user", "content": "What is up?"}]))
    assert chat.get_num_tokens_from_messages(list(messages)) == prompt.prompt_tokens

    def tool(x: int) -> int:
        """Do it."""
        return x

    assert chat.get_num_tokens_from_messages(list(messages), [tool]) > prompt.prompt_tokens + 50
    assert chat.get_num_tokens_from_messages([]) == 0
    too_long = [HumanMessage("a" * 5000)]
    assert chat.get_num_tokens_from_messages(list(too_long)) > 5000
    with pytest.raises(ContextOverflowError):
        chat.invoke(too_long)
    trimmed = trim_messages(
        [HumanMessage(c * 200) for c in "abcd"], max_tokens=500, token_counter=chat
    )
    assert [m.content[0] for m in trimmed] == ["c", "d"]


def test_the_profile_of_the_model_tells_what_it_can_do(chat: ChatPersonaJudge) -> None:
    assert chat.profile is not None
    for ability in ("tool_calling", "tool_choice", "structured_output", "text_inputs"):
        assert chat.profile.get(ability) is True, ability
    assert not chat.profile.get("image_inputs")


@pytest.mark.parametrize("max_tokens", [20, 200])
def test_what_the_profile_says_fits_does_fit(real_engine: PersonaJudge, max_tokens: int) -> None:
    chat = ChatPersonaJudge(engine=real_engine, max_tokens=max_tokens)
    assert chat.profile is not None
    assert chat.profile["max_output_tokens"] == max_tokens
    room = chat.profile["max_input_tokens"]
    empty = chat.get_num_tokens_from_messages([HumanMessage("a")]) - 1
    fits = HumanMessage("a" * (room - empty))
    assert chat.get_num_tokens_from_messages([fits]) == room > 500
    assert chat.invoke([fits], user_id=ALICE, temperature=0).usage_metadata
