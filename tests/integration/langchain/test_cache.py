"""LangChain's answer cache: one user's answer is never served to another."""

import inspect
from typing import Any

import pytest
from langchain_core.caches import RETURN_VAL_TYPE, BaseCache, InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumps, loads
from langchain_core.runnables import RunnableConfig

from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.scope import use_user
from tests.integration.langchain.conftest import ALICE, BOB, TASTES, TellingEngine, text_of

pytestmark = pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")


class StringCache(BaseCache):
    """Keeps nothing but strings, as caches in a database do."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[str]] = {}

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        assert type(llm_string) is str
        found = self.rows.get((prompt, llm_string))
        return None if found is None else [loads(g, allowed_objects="all") for g in found]

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        self.rows[prompt, llm_string] = [dumps(g) for g in return_val]

    def clear(self, **kwargs: Any) -> None:
        self.rows.clear()


@pytest.fixture(params=[InMemoryCache, StringCache, "of the model"])
def cached(request: pytest.FixtureRequest, model: Any) -> Any:
    """Either model with a global cache of either kind, or with a cache of its own."""
    if request.param == "of the model":
        return model.model_copy(update={"cache": InMemoryCache()})
    set_llm_cache(request.param())
    return model


def config(user: str) -> RunnableConfig:
    return {"configurable": {"user_id": user}}


def ask_in_a_scope(model: Any, user: str) -> Any:
    with use_user(user):
        return model.invoke("x")


def among_others(user: str) -> tuple[list[str], list[RunnableConfig]]:
    other = BOB if user == ALICE else ALICE
    return ["x"] * 3, [config(other), config(user), config(other)]


ASK: dict[str, Any] = {
    "invoke": lambda m, user: m.invoke("x", user_id=user),
    "ainvoke": lambda m, user: m.ainvoke("x", user_id=user),
    "bind": lambda m, user: m.bind(user_id=user).invoke("x"),
    "copy": lambda m, user: m.with_user(user).invoke("x"),
    "config": lambda m, user: m.invoke("x", config(user)),
    "scope": ask_in_a_scope,
    "batch": lambda m, user: m.batch(["x"], [config(user)])[0],
    "mixed batch": lambda m, user: m.batch(*among_others(user))[1],
    "mixed abatch": lambda m, user: m.abatch(*among_others(user)),
}


async def ask(model: Any, door: str, user: str) -> str:
    found = ASK[door](model, user)
    found = await found if inspect.isawaitable(found) else found
    return text_of(found[1] if isinstance(found, list) else found)


@pytest.mark.parametrize("door", ASK)
async def test_each_user_gets_the_own_answer_and_gets_it_again_from_the_cache(
    cached: Any, door: str, telling: TellingEngine
) -> None:
    for user in (ALICE, BOB, ALICE, BOB):
        assert await ask(cached, door, user) == TASTES[user]
    decoded = [call.request.user_id for call in telling.decoded]
    if "mixed" not in door:
        assert decoded == [ALICE, BOB]
    assert text_of(cached.invoke("x")) == "nobody"


async def test_all_doors_share_what_is_cached(cached: Any, telling: TellingEngine) -> None:
    for door in ASK:
        assert await ask(cached, door, ALICE) == TASTES[ALICE]
    assert [c.request.user_id for c in telling.decoded].count(ALICE) == 1


def test_an_edit_of_the_profile_misses_the_cache(
    cached: Any, store: InMemoryProfileStore, telling: TellingEngine
) -> None:
    assert text_of(cached.invoke("x", user_id=ALICE)) == TASTES[ALICE]
    store.update(ALICE, "p1", text="speaks of hills")
    assert text_of(cached.invoke("x", user_id=ALICE)) == "speaks of hills"
    assert text_of(cached.invoke("x", user_id=BOB)) == TASTES[BOB]


def test_users_of_one_taste_do_not_share_an_answer(
    cached: Any, store: InMemoryProfileStore, telling: TellingEngine
) -> None:
    store.update(BOB, "p1", text=TASTES[ALICE])
    cached.invoke("x", user_id=ALICE)
    cached.invoke("x", user_id=BOB)
    assert len(telling.decoded) == 2


def test_preferences_of_the_call_are_a_taste_of_their_own(
    cached: Any, telling: TellingEngine
) -> None:
    for text in ("be blunt", "be brief", "be blunt"):
        assert text_of(cached.invoke("x", preferences=[text])) == text
    assert len(telling.decoded) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.5},
        {"max_tokens": 7},
        {"top_k": 3},
        {"top_p": 0.5},
        {"min_p": 0.1},
        {"repetition_penalty": 1.5},
        {"seed": 11},
        {"stop": ["###"]},
        {"rule": "fixed"},
        {"num_draft_tokens": 2},
        {"turns": (2, 1)},
        {"placement": "last"},
        {"n": 2},
        {"logprobs": True},
        {"logprobs": True, "top_logprobs": 2},
        {"timeout": 60.0},
        {"persona": False},
    ],
    ids=" and ".join,
)
def test_a_changed_setting_misses_the_cache(
    cached: Any, change: dict[str, Any], telling: TellingEngine
) -> None:
    cached.invoke("x", user_id=ALICE)
    cached.invoke("x", user_id=ALICE, **change)
    if "persona" not in change:
        cached.model_copy(update=change).invoke("x", user_id=ALICE)  # the same as a field: a hit
    assert len(telling.decoded) == 1 + change.get("n", 1)


async def test_several_prompts_of_one_generate_are_found_again_one_by_one(
    llm: Any, telling: TellingEngine
) -> None:
    set_llm_cache(InMemoryCache())
    llm.generate(["a", "b"], user_id=ALICE)
    found = await llm.agenerate(["b", "c", "a", "c"], user_id=ALICE)
    assert [g[0].text for g in found.generations] == [TASTES[ALICE]] * 4
    assert [c.request.prompt for c in telling.decoded] == ["a", "b", "c", "c"]


async def test_an_edit_between_two_prompts_of_one_call_is_cached_for_nobody(
    llm: Any, store: InMemoryProfileStore, monkeypatch: pytest.MonkeyPatch, telling: TellingEngine
) -> None:
    set_llm_cache(InMemoryCache())
    prepare = telling.prepare

    def edited(request: Any) -> Any:
        if request.prompt == "b":
            store.update(ALICE, "p1", text="speaks of hills")
        return prepare(request)

    monkeypatch.setattr(telling, "prepare", edited)
    found = llm.generate(["a", "b"], user_id=ALICE).generations
    assert [g[0].text for g in found] == [TASTES[ALICE], "speaks of hills"]
    assert llm.invoke("a", user_id=ALICE) == "speaks of hills"
    monkeypatch.undo()
    store.update(ALICE, "p1", text=TASTES[ALICE])
    assert llm.invoke("b", user_id=ALICE) == TASTES[ALICE]
    assert len(telling.decoded) == 4


def test_the_cache_keeps_neither_users_nor_preferences_beyond_the_answer(
    model: Any, telling: TellingEngine
) -> None:
    cache = StringCache()
    set_llm_cache(cache)
    telling.script = "an answer"
    model.invoke("x", user_id=ALICE)
    model.invoke("x", preferences=["be blunt"])
    kept = repr(cache.rows)
    assert "an answer" in kept
    assert not [s for s in (ALICE, TASTES[ALICE], "be blunt") if s in kept]
