"""Every entry point, by every way of naming a user, decodes for the user who was named."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableConfig, RunnableLambda

from langchain_persona_judge import ChatPersonaJudge, PersonaJudgeLLM
from persona_judge_llm.errors import InvalidParameterError, InvalidPreferenceError, UnknownUserError
from persona_judge_llm.scope import no_persona, use_user
from tests.integration.langchain.conftest import ALICE, BOB, TASTES, TellingEngine, text_of

pytestmark = pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")

Door = Callable[..., Any]


def whole(pieces: Iterator[Any]) -> str:
    return "".join(text_of(p) for p in pieces)


async def awhole(pieces: AsyncIterator[Any]) -> str:
    return "".join([text_of(p) async for p in pieces])


async def v2(events: AsyncIterator[Any]) -> str:
    return "".join(
        [
            text_of(e["data"]["chunk"])
            async for e in events
            if e["event"] in ("on_llm_stream", "on_chat_model_stream")
        ]
    )


async def _abatch_as_completed(m: Any, x: str, c: RunnableConfig | None, k: Any) -> str:
    return "".join([text_of(t) async for _, t in m.abatch_as_completed([x], c, **k)])


async def _atransform(m: Any, x: str, c: RunnableConfig | None, k: Any) -> str:
    async def one() -> AsyncIterator[str]:
        yield x

    return await awhole(m.atransform(one(), c, **k))


async def _v3(m: Any, x: str, c: RunnableConfig | None, k: Any) -> str:
    return text_of(await (await m.astream_events(x, c, version="v3", **k)).output)


SYNC: dict[str, Door] = {
    "invoke": lambda m, x, c, k: text_of(m.invoke(x, c, **k)),
    "stream": lambda m, x, c, k: whole(m.stream(x, c, **k)),
    "batch": lambda m, x, c, k: text_of(m.batch([x], c, **k)[0]),
    "batch of errors": lambda m, x, c, k: text_of(m.batch([x], c, return_exceptions=True, **k)[0]),
    "batch_as_completed": lambda m, x, c, k: text_of(next(m.batch_as_completed([x], c, **k))[1]),
    "transform": lambda m, x, c, k: whole(m.transform(iter([x]), c, **k)),
}
ASYNC: dict[str, Door] = {
    "ainvoke": lambda m, x, c, k: m.ainvoke(x, c, **k),
    "astream": lambda m, x, c, k: awhole(m.astream(x, c, **k)),
    "abatch": lambda m, x, c, k: m.abatch([x], c, **k),
    "abatch of errors": lambda m, x, c, k: m.abatch([x], c, return_exceptions=True, **k),
    "abatch_as_completed": _abatch_as_completed,
    "atransform": _atransform,
    "astream_events v2": lambda m, x, c, k: v2(m.astream_events(x, c, version="v2", **k)),
}
V3: dict[str, Door] = {
    "stream_events v3": lambda m, x, c, k: text_of(m.stream_events(x, c, version="v3", **k).output),
    "astream_events v3": _v3,
}
GENERATE: dict[str, Door] = {
    "generate": lambda m, x, c, k: m.generate([_prompt(m, x)], **k).generations[0][0].text,
    "agenerate": lambda m, x, c, k: _agenerate(m, x, k),
}

RAISING = {name: d for name, d in {**SYNC, **ASYNC}.items() if not name.endswith("of errors")}


def _prompt(m: Any, x: str) -> Any:
    return x if isinstance(m, PersonaJudgeLLM) else [HumanMessage(x)]


async def _agenerate(m: Any, x: str, k: Any) -> Any:
    return (await m.agenerate([_prompt(m, x)], **k)).generations[0][0].text


def by_keyword(m: Any, user: str) -> tuple[Any, Any, Any, Any]:
    return m, None, {"user_id": user}, nullcontext()


def by_bind(m: Any, user: str) -> tuple[Any, Any, Any, Any]:
    return m.bind(user_id=user), None, {}, nullcontext()


def by_copy(m: Any, user: str) -> tuple[Any, Any, Any, Any]:
    return m.with_user(user), None, {}, nullcontext()


def by_config(m: Any, user: str) -> tuple[Any, Any, Any, Any]:
    return m, {"configurable": {"user_id": user}}, {}, nullcontext()


def by_with_config(m: Any, user: str) -> tuple[Any, Any, Any, Any]:
    return m.with_config(configurable={"user_id": user}), None, {}, nullcontext()


def by_scope(m: Any, user: str) -> tuple[Any, Any, Any, Any]:
    return m, None, {}, use_user(user)


def by_chain(m: Any, user: str) -> tuple[Any, Any, Any, Any]:
    return RunnableLambda(str) | m, {"configurable": {"user_id": user}}, {}, nullcontext()


ROUTES = [by_keyword, by_bind, by_copy, by_config, by_with_config, by_scope, by_chain]


def _doors() -> Iterator[Any]:
    for kind in (PersonaJudgeLLM, ChatPersonaJudge):
        for route in ROUTES:
            doors = {**SYNC, **ASYNC}
            if kind is ChatPersonaJudge and route is not by_chain:
                doors |= V3
            if route in (by_keyword, by_copy, by_scope):
                doors |= GENERATE
            for name, door in doors.items():
                yield pytest.param(kind, route, door, id=f"{kind.__name__}-{name}-{route.__name__}")


def each_door(**doors: Door) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("door", list(doors.values()), ids=list(doors))


async def through(door: Door, m: Any, config: Any = None, **kwargs: Any) -> str:
    found = door(m, "x", config, kwargs)
    found = await found if inspect.isawaitable(found) else found
    return text_of(found[0] if isinstance(found, list) else found)


@pytest.mark.parametrize(("kind", "route", "door"), list(_doors()))
async def test_the_user_who_was_named_is_answered(
    kind: type, route: Any, door: Door, telling: TellingEngine
) -> None:
    for user in (ALICE, BOB):
        m, config, kwargs, scope = route(kind(engine=telling), user)
        with scope:
            assert await through(door, m, config, **kwargs) == TASTES[user]
    assert [call.request.user_id for call in telling.decoded] == [ALICE, BOB]


@each_door(**SYNC, **ASYNC, **GENERATE)
async def test_nobody_named_is_nobody(door: Door, model: Any) -> None:
    assert await through(door, model) == "nobody"


@each_door(**SYNC, **ASYNC)
async def test_the_config_of_the_surrounding_chain_names_the_user(door: Door, model: Any) -> None:
    async def node(x: str) -> str:
        return await through(door, model)

    config: RunnableConfig = {"configurable": {"user_id": ALICE}}
    assert await RunnableLambda(node).ainvoke("x", config) == TASTES[ALICE]


@each_door(**SYNC, **ASYNC)
async def test_what_the_call_says_goes_before_its_config_its_copy_and_its_scope(
    door: Door, model: Any
) -> None:
    bob: RunnableConfig = {"configurable": {"user_id": BOB}}
    with use_user(BOB):
        copy = model.with_user(BOB)
        assert await through(door, copy, bob, user_id=ALICE) == TASTES[ALICE]
        assert await through(door, copy, bob, preferences=["be blunt"]) == "be blunt"
        assert await through(door, copy, bob, persona=False) == "nobody"
        assert await through(door, copy.bind(user_id=ALICE), bob) == TASTES[ALICE]
    with use_user(BOB):
        alice: RunnableConfig = {"configurable": {"user_id": ALICE}}
        assert await through(door, model.with_user(BOB), alice) == TASTES[ALICE]
        assert await through(door, model.with_user(ALICE)) == TASTES[ALICE]


@each_door(**SYNC, **ASYNC)
async def test_no_persona_silences_all_but_the_call_itself(door: Door, model: Any) -> None:
    alice: RunnableConfig = {"configurable": {"user_id": ALICE}}

    async def node(x: str) -> list[str]:
        with no_persona():
            return [
                await through(door, model),
                await through(door, RunnableLambda(str) | model),
                await through(door, model, user_id=BOB),
            ]

    found = await RunnableLambda(node).ainvoke("x", alice)
    assert found == ["nobody", "nobody", TASTES[BOB]]
    with no_persona():
        assert await through(door, model.with_user(ALICE)) == "nobody"
        assert await through(door, model, alice) == TASTES[ALICE]


@pytest.mark.parametrize("cached", [False, True])
async def test_one_batch_serves_the_users_of_its_configs(model: Any, cached: bool) -> None:
    if cached:
        set_llm_cache(InMemoryCache())
    users = [ALICE, BOB, ALICE, BOB, BOB]
    configs: list[RunnableConfig] = [{"configurable": {"user_id": u}} for u in users]
    limited: list[RunnableConfig] = [{**c, "max_concurrency": 2} for c in configs]
    expected = [TASTES[u] for u in users]
    for config in (configs, limited):
        for inputs in (["x"] * 5, list("abcde"), list("aabba")):
            chain = RunnableLambda(str) | model
            for m in (model, model.with_user(BOB), chain):
                assert [text_of(t) for t in m.batch(inputs, config)] == expected
                assert [text_of(t) for t in await m.abatch(inputs, config)] == expected
            done = dict(model.batch_as_completed(inputs, config))
            assert [text_of(done[i]) for i in range(5)] == expected


async def test_a_user_without_a_profile_spoils_only_the_own_answer_of_a_batch(model: Any) -> None:
    configs: list[RunnableConfig] = [
        {"configurable": {"user_id": u}} for u in (ALICE, "eve@example.org", BOB)
    ]
    with pytest.raises(UnknownUserError):
        model.batch(["x"] * 3, configs)
    for found in (
        model.batch(["x"] * 3, configs, return_exceptions=True),
        await model.abatch(["x"] * 3, configs, return_exceptions=True),
    ):
        assert [text_of(found[0]), text_of(found[2])] == [TASTES[ALICE], TASTES[BOB]]
        assert isinstance(found[1], UnknownUserError)


def test_without_a_cache_users_of_one_batch_are_decoded_together(
    llm: PersonaJudgeLLM, telling: TellingEngine
) -> None:
    llm.batch(["x"] * 3, [{"configurable": {"user_id": u}} for u in (ALICE, BOB, ALICE)])
    assert telling.batches == [3]


async def test_forty_users_at_once_get_their_own_answers(model: Any) -> None:
    users = [ALICE, BOB] * 20
    answers = await asyncio.gather(
        *(model.ainvoke("x", {"configurable": {"user_id": u}}) for u in users)
    )
    assert [text_of(a) for a in answers] == [TASTES[u] for u in users]


@pytest.mark.parametrize("user", ["", " ", 7, "a" * 300])
@each_door(**RAISING)
async def test_a_user_id_that_cannot_be_one_is_an_error_and_not_nobody(
    door: Door, model: Any, user: Any
) -> None:
    with pytest.raises(InvalidPreferenceError):
        await through(door, model, user_id=user)
    with pytest.raises(InvalidPreferenceError):
        await through(door, model, {"configurable": {"user_id": user}})


@each_door(**RAISING, **GENERATE)
async def test_an_unknown_argument_is_an_error_and_its_value_is_not_shown(
    door: Door, model: Any
) -> None:
    with pytest.raises(InvalidParameterError, match="preference'") as caught:
        await through(door, model, preference=["likes SECRETS"])
    assert "SECRETS" not in str(caught.value)


@each_door(**RAISING)
async def test_what_belongs_into_the_config_is_refused_as_an_argument(
    door: Door, model: Any
) -> None:
    with pytest.raises(InvalidParameterError, match="tags"):
        await through(door, model, tags=["a"])


async def test_events_can_be_filtered_and_runs_named(
    model: Any, chat: ChatPersonaJudge, llm: PersonaJudgeLLM
) -> None:
    config: RunnableConfig = {"run_name": "asked", "tags": ["t"]}
    events = model.astream_events("x", config, version="v2", include_names=["asked"], user_id=ALICE)
    assert await v2(events) == TASTES[ALICE]
    left_out = model.astream_events("x", config, version="v2", exclude_tags=["t"], user_id=ALICE)
    assert await v2(left_out) == ""
    named = uuid4()
    message = chat.invoke("x", {"run_id": named}, user_id=ALICE)
    assert str(named) in str(message.id)
    found = chat.generate([[HumanMessage("a")], [HumanMessage("b")]], run_id=named, user_id=ALICE)
    assert found.run is not None
    assert [r.run_id == named for r in found.run] == [True, False]
    result = await llm.agenerate(["x"], run_id=named, tags=["t"], user_id=ALICE)
    assert [r.run_id for r in result.run or ()] == [named]


@each_door(**SYNC, **ASYNC, **GENERATE)
async def test_settings_of_the_call_reach_the_engine(
    door: Door, model: Any, telling: TellingEngine
) -> None:
    kwargs = {
        "temperature": 0.5,
        "max_tokens": 7,
        "top_k": 3,
        "top_p": 0.5,
        "min_p": 0.1,
        "repetition_penalty": 1.5,
        "seed": 11,
        "stop": ["###"],
        "rule": "fixed",
        "num_draft_tokens": 2,
        "turns": (2, 1),
        "placement": "last",
    }
    await through(door, model, preferences=["be blunt", "be brief"], **kwargs)
    (call,) = telling.decoded
    params = call.params
    found = {n: getattr(params, n) for n in kwargs if hasattr(params, n)}
    assert found == {n: v for n, v in kwargs.items() if n in found} | {"stop": ("###",)}
    assert params.max_new_tokens == 7
    assert (call.rule, call.num_draft_tokens, call.turns, call.placement) == (
        "fixed",
        2,
        (2, 1),
        "last",
    )


def test_a_prompt_template_in_front_changes_nothing(chat: ChatPersonaJudge) -> None:
    chain = ChatPromptTemplate.from_messages([("system", "Be kind."), ("human", "{q}")]) | chat
    found = chain.invoke({"q": "x"}, {"configurable": {"user_id": ALICE}})
    assert found.text == TASTES[ALICE]


def test_configurable_fields_keep_the_user_of_a_copy(model: Any) -> None:
    configured = model.with_user(ALICE).configurable_fields(
        temperature=ConfigurableField(id="warmth")
    )
    found = configured.invoke("x", {"configurable": {"warmth": 0.1}})
    assert text_of(found) == TASTES[ALICE]


def test_a_configurable_user_field_is_refused_loudly(model: Any) -> None:
    with pytest.raises(ValueError, match="user_id"):
        model.configurable_fields(user_id=ConfigurableField(id="user"))
