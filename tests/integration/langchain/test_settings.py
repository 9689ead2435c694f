"""What a caller may set besides sampling: answers, deadline, log probabilities, model."""

import math
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import LLMResult
from langchain_core.prompt_values import ChatPromptValue
from pydantic import ValidationError

from langchain_persona_judge import ChatPersonaJudge, PersonaJudgeLLM
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import DeadlineExceededError, InvalidParameterError
from persona_judge_llm.sampling import SamplingParams
from tests.integration.langchain.conftest import ALICE, BOB, TellingEngine, text_of
from tests.integration.langchain.test_doors import ASYNC, RAISING, SYNC, Door, each_door, through

MODELS = [PersonaJudgeLLM, ChatPersonaJudge]


def _prompts(model: Any, *texts: str) -> Any:
    return list(texts) if isinstance(model, PersonaJudgeLLM) else [[HumanMessage(t)] for t in texts]


async def generate(model: Any, how: str, *texts: str, **kwargs: Any) -> Any:
    if how == "generate":
        return model.generate(_prompts(model, *texts), **kwargs)
    return await model.agenerate(_prompts(model, *texts), **kwargs)


def texts_of(result: Any) -> list[list[str]]:
    return [[g.text for g in answers] for answers in result.generations]


# --- n ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["generate", "agenerate"])
async def test_each_prompt_gets_as_many_answers_as_were_asked_for(real: Any, how: str) -> None:
    result = await generate(real, how, "x", "y", n=3, seed=5, user_id=ALICE)
    found = texts_of(result)
    assert [len(set(answers)) for answers in found] == [3, 3]
    again = real.model_copy(update={"n": 3, "seed": 5}).with_user(ALICE)
    assert texts_of(await generate(again, how, "x", "y")) == found
    single = texts_of(await generate(real, how, "x", "y", seed=5, user_id=ALICE))
    assert single == [answers[:1] for answers in found]
    unseeded = await generate(real, how, "x", n=4, user_id=ALICE)
    assert len(set(texts_of(unseeded)[0])) == 4


async def test_the_first_of_several_answers_is_the_one_returned(real: Any) -> None:
    for door in (SYNC["invoke"], ASYNC["ainvoke"], SYNC["batch"]):
        expected = await through(door, real, user_id=ALICE, seed=5)
        assert await through(door, real, user_id=ALICE, seed=5, n=2) == expected


def test_a_prompt_is_counted_once_for_all_its_answers(real_engine: PersonaJudge) -> None:
    llm = PersonaJudgeLLM(engine=real_engine, max_tokens=8, seed=5)
    one = llm.generate(["x", "yy"], user_id=ALICE).llm_output
    three = llm.generate(["x", "yy"], user_id=ALICE, n=3)
    assert one is not None
    assert three.llm_output is not None
    usage = three.llm_output["token_usage"]
    assert usage["prompt_tokens"] == one["token_usage"]["prompt_tokens"]
    counted = [g.generation_info["usage_metadata"] for gs in three.generations for g in gs]  # type: ignore[index]
    assert usage["completion_tokens"] == sum(u["output_tokens"] for u in counted)


@pytest.mark.parametrize("door", ["generate", "agenerate"])
async def test_a_conversation_is_counted_once_for_all_its_answers(
    door: str, real_engine: PersonaJudge
) -> None:
    chat = ChatPersonaJudge(engine=real_engine, max_tokens=8, seed=5)
    conversations = [[HumanMessage("x")], [HumanMessage("yy")]]

    async def ask(**kwargs: Any) -> LLMResult:
        found = getattr(chat, door)(conversations, user_id=ALICE, **kwargs)
        return await found if door == "agenerate" else found  # type: ignore[no-any-return]

    one, three = await ask(), await ask(n=3)
    single = [g.message.usage_metadata["input_tokens"] for (g,) in one.generations]  # type: ignore[union-attr]
    assert three.llm_output is not None
    usage = three.llm_output["token_usage"]
    assert usage["prompt_tokens"] == sum(single) > 0
    counted = [g.message.usage_metadata for gs in three.generations for g in gs]  # type: ignore[union-attr]
    assert len(counted) == 6
    for name, of_all in (
        ("input_tokens", "prompt_tokens"),
        ("output_tokens", "completion_tokens"),
        ("total_tokens", "total_tokens"),
    ):
        assert sum(u[name] for u in counted) == usage[of_all]


def test_messages_of_a_string_model_are_counted_as_it_reads_them(real_engine: PersonaJudge) -> None:
    llm = PersonaJudgeLLM(engine=real_engine, max_tokens=2)
    said = [HumanMessage("Hello world"), AIMessage("Yes?")]
    found = llm.generate_prompt([ChatPromptValue(messages=said)]).llm_output
    assert found is not None
    assert llm.get_num_tokens_from_messages(said) == found["token_usage"]["prompt_tokens"]
    assert llm.get_num_tokens_from_messages([HumanMessage("Hello " * 2_000)]) > 2_000
    with pytest.raises(InvalidParameterError, match="tools"):
        llm.get_num_tokens_from_messages(said, tools=[{"name": "x"}])


@pytest.mark.parametrize("door", ["stream", "astream", "transform", "astream_events v2"])
async def test_several_answers_cannot_be_streamed(real: Any, door: str) -> None:
    with pytest.raises(InvalidParameterError, match="n must be 1 where the answer is streamed"):
        await through({**SYNC, **ASYNC}[door], real, user_id=ALICE, n=2)


@pytest.mark.parametrize("n", [0, -1, 129, 1.5, "two", [2]])
@pytest.mark.parametrize("kind", MODELS)
def test_a_number_of_answers_that_cannot_be_is_refused(
    kind: Any, telling: TellingEngine, n: Any
) -> None:
    with pytest.raises((InvalidParameterError, ValidationError), match="n"):
        kind(engine=telling, n=n)
    with pytest.raises(InvalidParameterError, match="n must be"):
        kind(engine=telling).invoke("x", n=n)
    assert telling.decoded == []


async def test_cached_answers_are_as_many_as_were_asked_for(real: Any) -> None:
    set_llm_cache(InMemoryCache())
    call = {"user_id": ALICE, "seed": 5}
    for how in ("generate", "agenerate"):
        two = texts_of(await generate(real, how, "x", n=2, **call))
        before = real.engine.metrics.forward_passes
        assert texts_of(await generate(real, how, "x", n=2, **call)) == two
        assert real.engine.metrics.forward_passes == before
        assert [len(a) for a in texts_of(await generate(real, how, "x", **call))] == [1]


# --- timeout ------------------------------------------------------------------------------------


@each_door(**RAISING)
async def test_a_call_fails_when_its_time_is_up(door: Door, real: Any) -> None:
    late = {"user_id": ALICE, "max_tokens": 900, "timeout": 1e-6}
    with pytest.raises(DeadlineExceededError, match="timeout=1e-06"):
        await through(door, real, **late)
    field = real.model_copy(update={"timeout": 1e-6})
    with pytest.raises(DeadlineExceededError):
        await through(door, field, user_id=ALICE)
    assert text_of(await through(door, field, user_id=ALICE, timeout=600.0, seed=1))


@pytest.mark.parametrize("timeout", [0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("kind", MODELS)
def test_a_time_that_cannot_be_is_refused(
    kind: Any, telling: TellingEngine, timeout: float
) -> None:
    with pytest.raises(InvalidParameterError, match="timeout"):
        kind(engine=telling, timeout=timeout)
    with pytest.raises(InvalidParameterError, match="timeout"):
        kind(engine=telling).invoke("x", timeout=timeout)


# --- logprobs -----------------------------------------------------------------------------------


class Ended(BaseCallbackHandler):
    """Keeps what a call ended with."""

    info: dict[str, Any]

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.info = response.generations[0][0].generation_info or {}


async def told(model: Any, how: str, **kwargs: Any) -> Any:
    """Return the log probabilities of one call, in whatever way it was made."""
    ended = Ended()
    config: Any = {"callbacks": [ended]}
    pieces: list[Any] = []
    if how == "invoke":
        pieces = [model.invoke("x", config, **kwargs)]
    elif how == "ainvoke":
        pieces = [await model.ainvoke("x", config, **kwargs)]
    elif how == "stream":
        pieces = list(model.stream("x", config, **kwargs))
    else:
        pieces = [c async for c in model.astream("x", config, **kwargs)]
    if isinstance(model, PersonaJudgeLLM):
        return ended.info["logprobs"]
    assert not [c for c in pieces[:-1] if c.response_metadata]
    return pieces[-1].response_metadata["logprobs"]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_log_probabilities_are_the_judges_in_the_form_of_openai(real: Any, how: str) -> None:
    found = await told(real, how, user_id=ALICE, seed=5, logprobs=True, top_logprobs=3)
    params = SamplingParams(max_new_tokens=24, seed=5, top_logprobs=3)
    generation = real.engine.generate("x", user_id=ALICE, params=params)
    assert list(found) == ["content"]
    assert len(found["content"]) == len(generation.trace) > 4
    for entry, token in zip(found["content"], generation.trace, strict=True):
        assert set(entry) == {"token", "logprob", "bytes", "top_logprobs"}
        assert entry["token"] == real.engine.tokenizer.decode([token.token_id])
        assert entry["logprob"] == pytest.approx(math.log(token.judge_prob))
        whole = "\ufffd" not in entry["token"]
        assert entry["bytes"] == (list(entry["token"].encode()) if whole else None)
        top = [t["logprob"] for t in entry["top_logprobs"]]
        assert 1 <= len(top) <= 3
        assert top == sorted(top, reverse=True)
        assert sum(map(math.exp, top)) <= 1 + 1e-5
        assert top[0] >= entry["logprob"] - 1e-6, "the likeliest token is less likely than this"
        assert all(set(t) == {"token", "logprob", "bytes"} for t in entry["top_logprobs"])


async def test_log_probabilities_are_told_to_those_who_ask(real: Any) -> None:
    asked = real.model_copy(update={"logprobs": True})
    found = await told(asked, "invoke", user_id=ALICE, seed=5)
    assert all(entry["top_logprobs"] == [] for entry in found["content"])
    assert await told(real, "invoke", logprobs=True, seed=5)
    for model, kwargs in ((real, {}), (asked, {"logprobs": False})):
        with pytest.raises(KeyError):
            await told(model, "invoke", user_id=ALICE, **kwargs)


async def test_without_a_choice_the_token_is_certain(real: Any) -> None:
    greedy = {"temperature": 0.0, "logprobs": True, "top_logprobs": 5}
    found = await told(real, "invoke", user_id=BOB, **greedy)
    for entry in found["content"]:
        assert entry["logprob"] == 0.0
        assert [t["token"] for t in entry["top_logprobs"]] == [entry["token"]]


def test_a_structured_answer_has_log_probabilities(roomy: PersonaJudge) -> None:
    schema = {"title": "S", "type": "object", "properties": {"a": {"type": "string"}}}
    chat = ChatPersonaJudge(engine=roomy, max_tokens=40, logprobs=True, top_logprobs=2)
    structured = chat.with_structured_output({**schema, "required": ["a"]}, include_raw=True)
    for seed in range(3):
        found = (
            chat.with_user(ALICE)
            .with_structured_output({**schema, "required": ["a"]}, include_raw=True, seed=seed)
            .invoke("x")
        )
        content = found["raw"].response_metadata["logprobs"]["content"]
        assert "".join(entry["token"] for entry in content if entry["bytes"]).startswith('{"a"')
        assert all(entry["logprob"] <= 0 for entry in content)
    assert structured.invoke("x")["parsed"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"top_logprobs": 2}, "logprobs"),
        ({"logprobs": False, "top_logprobs": 2}, "logprobs"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", MODELS)
def test_log_probabilities_that_cannot_be_told_are_refused(
    kind: Any, telling: TellingEngine, settings: dict[str, Any], name: str
) -> None:
    with pytest.raises(InvalidParameterError, match=name):
        kind(engine=telling, **settings)
    with pytest.raises(InvalidParameterError, match=name):
        kind(engine=telling).invoke("x", **settings)


# --- model --------------------------------------------------------------------------------------


@each_door(**SYNC, **ASYNC)
async def test_the_models_own_name_may_be_said(door: Door, chat: ChatPersonaJudge) -> None:
    own = chat.model_name
    assert await through(door, chat, model=own, user_id=ALICE) == "speaks of the sea"
    assert await through(door, chat.bind(model=own), user_id=ALICE) == "speaks of the sea"


@each_door(**RAISING)
async def test_another_models_name_is_refused(
    door: Door, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    for model in (chat, chat.bind_tools([])):
        with pytest.raises(InvalidParameterError, match="this engine has one model"):
            await through(door, model, model="another", user_id=ALICE)
    assert telling.decoded == []


def test_strings_know_no_models_by_name(llm: PersonaJudgeLLM) -> None:
    with pytest.raises(InvalidParameterError, match="'model'"):
        llm.invoke("x", model=llm.model_name)


@pytest.mark.parametrize("name", ["max_retries", "api_key", "base_url", "logit_bias"])
@pytest.mark.parametrize("kind", MODELS)
def test_settings_of_what_goes_over_a_network_are_refused(
    kind: Any, telling: TellingEngine, name: str
) -> None:
    with pytest.raises(ValidationError, match=name):
        kind(engine=telling, **{name: "1"})
    with pytest.raises(InvalidParameterError, match=name):
        kind(engine=telling).invoke("x", **{name: "1"})
