"""Nothing personal in what is copied, serialised, shown or observed."""

import asyncio
import copy
import json
import logging
import pickle
import time
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.llms import ChatMessage

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm import bundled
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import (
    InvalidParameterError,
    UnknownUserError,
    UnsupportedModelError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing import tiny_engine
from tests.integration.llama_index.observers import watched

USER = "user-7f3a-sentinel"
TASTE = "sentinel-taste-c41d"


@pytest.fixture
def private() -> PersonaJudgeLLM:
    likes = (Preference(f"{TASTE} one"), Preference(f"{TASTE} two"))
    engine = tiny_engine(profiles=InMemoryProfileStore([Profile(USER, likes)]))
    return PersonaJudgeLLM(engine=engine, max_tokens=2)


def call_every_way(llm: PersonaJudgeLLM, **kwargs: Any) -> list[Any]:
    messages = [ChatMessage("hi")]
    said: list[Any] = [llm.complete("hi", **kwargs), llm.chat(messages, **kwargs)]
    said += [*llm.stream_complete("hi", **kwargs), *llm.stream_chat(messages, **kwargs)]

    async def others() -> list[Any]:
        found: list[Any] = [
            await llm.acomplete("hi", **kwargs),
            await llm.achat(messages, **kwargs),
        ]
        found += [item async for item in await llm.astream_complete("hi", **kwargs)]
        return found + [item async for item in await llm.astream_chat(messages, **kwargs)]

    return said + asyncio.run(others())


def version_read(llm: PersonaJudgeLLM) -> int | None:
    """Return the version of the profile that a call of this LLM used."""
    answer: Any = llm.complete("hi")
    version: int | None = answer.raw["profile_version"]
    return version


@pytest.mark.parametrize("way", ["bound", "argument", "preferences"])
def test_observers_learn_nothing_personal(
    way: str, private: PersonaJudgeLLM, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with watched(private) as seen:
        if way == "bound":
            said = call_every_way(private.with_user(USER))
        elif way == "argument":
            said = call_every_way(private, user_id=USER)
        else:
            said = call_every_way(private, preferences=[f"{TASTE} one", f"{TASTE} two"])
    assert len(seen.payloads) == 16
    assert any("PersonaJudgeLLM.astream_chat-" in told for told in seen.spans.told)
    everything = "\n".join([seen.everything, *map(repr, said), caplog.text])
    assert "additional_kwargs" in everything
    assert USER not in everything
    assert TASTE not in everything


def test_a_refused_user_is_announced_to_nobody(private: PersonaJudgeLLM) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    private.callback_manager = CallbackManager([debug])
    with pytest.raises(UnknownUserError):
        private.complete("hi", user_id="somebody else")
    assert debug.get_events() == []


def test_a_bound_copy_shows_and_serialises_like_any_other(private: PersonaJudgeLLM) -> None:
    bound = private.with_user(USER)
    for show in (repr, str, PersonaJudgeLLM.to_dict, PersonaJudgeLLM.to_json):
        assert show(bound) == show(private)
    assert bound.to_payload() == private.to_payload()
    assert USER not in json.dumps(bound.to_payload())


def test_binding_is_quick_and_shares_the_engine(private: PersonaJudgeLLM) -> None:
    start = time.perf_counter()
    copies = [private.with_user(USER) for _ in range(100)]
    assert (
        time.perf_counter() - start
    ) / 100 < 0.005  # some fifty microseconds, on a quiet machine
    assert all(c.engine is private.engine and type(c) is PersonaJudgeLLM for c in copies)


def test_copies_are_independent_but_for_the_engine(private: PersonaJudgeLLM) -> None:
    bound = private.with_user(USER)
    for copied in (copy.deepcopy(bound), copy.copy(bound), bound.model_copy(deep=True)):
        copied.temperature = 0.5
        assert bound.temperature is None
        assert copied.engine is private.engine
        assert copied.callback_manager is bound.callback_manager
        assert version_read(copied) == 1
    assert copy.deepcopy({"llm": bound})["llm"].engine is private.engine


def test_a_copy_made_for_one_user_never_speaks_for_the_next(private: PersonaJudgeLLM) -> None:
    bound = private.with_user(USER)
    assert [version_read(llm) for llm in (bound, private, bound)] == [1, None, 1]


def test_pickling_is_refused_with_what_to_do_instead(private: PersonaJudgeLLM) -> None:
    with pytest.raises(UnsupportedModelError, match="from_dict"):
        pickle.dumps(private)


def test_settings_travel_and_the_engine_is_given_again(private: PersonaJudgeLLM) -> None:
    llm = PersonaJudgeLLM(
        engine=private.engine, temperature=0.5, stop=["\n"], turns=(2, 1), rule="alternate"
    )
    for data in (llm.to_dict(), json.loads(llm.to_json())):
        again = PersonaJudgeLLM.from_dict(data, engine=private.engine)
        assert again.to_dict() == llm.to_dict()
        assert again.turns == (2, 1)
        with pytest.raises(InvalidParameterError, match=r"from_dict\(data, engine=engine\)"):
            PersonaJudgeLLM.from_dict(data)


def test_settings_of_the_bundled_model_bring_it_back(
    private: PersonaJudgeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PersonaJudge, "bundled", lambda **settings: private.engine)
    again = PersonaJudgeLLM.from_dict({"model": bundled.NAME, "temperature": 0.0})
    assert again.engine is private.engine
    assert again.temperature == 0


def test_loading_sorts_fields_from_settings_of_the_engine(
    private: PersonaJudgeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def load(*args: Any, **settings: Any) -> PersonaJudge:
        seen.update(settings, args=args)
        return private.engine

    monkeypatch.setattr(PersonaJudge, "from_pretrained", load)
    llm = PersonaJudgeLLM.from_pretrained(
        "somewhere", profiles=private.engine.profiles, temperature=0, device="cpu"
    )
    assert seen == {"args": ("somewhere",), "profiles": private.engine.profiles, "device": "cpu"}
    assert llm.temperature == 0
    monkeypatch.setattr(PersonaJudge, "bundled", load)
    assert PersonaJudgeLLM.bundled(seed=3).seed == 3


def test_bad_settings_of_the_engine_are_refused(private: PersonaJudgeLLM) -> None:
    with pytest.raises(InvalidParameterError, match="bogus"):
        PersonaJudgeLLM.from_pretrained("somewhere", bogus=1)
    with pytest.raises(InvalidParameterError, match="engine"):
        PersonaJudgeLLM(engine="gpt")  # type: ignore[arg-type]
