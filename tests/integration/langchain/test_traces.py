"""What callbacks, traces and representations see: fingerprints, never users or preferences."""

import copy
import json
import pickle
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.load import dumpd, dumps
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from langchain_persona_judge import ChatPersonaJudge
from persona_judge_llm.scope import use_user
from tests.integration.langchain.conftest import ALICE, TASTES, TellingEngine
from tests.integration.langchain.test_doors import (
    ASYNC,
    GENERATE,
    SYNC,
    V3,
    Door,
    each_door,
    through,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")

SECRETS = (ALICE, "alice", TASTES[ALICE], "sea", "be blunt")


class Everything(BaseCallbackHandler):
    """Writes down whatever any callback is given."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.tokens: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)

        def write(*args: Any, **kwargs: Any) -> None:
            self.seen.append(f"{name} {args!r} {args} {kwargs!r}")
            if name == "on_llm_new_token":
                self.tokens.append(args[0] if args else kwargs["token"])

        return write


class Runs(BaseTracer):
    """Keeps every run, as LangSmith's tracer does."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[UUID, Run] = {}

    def _persist_run(self, run: Run) -> None:
        self.runs[run.id] = run


@each_door(**SYNC, **ASYNC, **GENERATE)
@pytest.mark.parametrize("route", ["keyword", "copy", "scope", "preferences"])
async def test_no_trace_tells_who_asked_or_what_they_like(
    door: Door, route: str, model: Any, telling: TellingEngine
) -> None:
    await _trace(door, route, model, telling)


@each_door(**V3)
@pytest.mark.parametrize("route", ["keyword", "copy", "scope", "preferences"])
async def test_no_trace_of_events_tells_who_asked(
    door: Door, route: str, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    await _trace(door, route, chat, telling)


async def _trace(door: Door, route: str, model: Any, telling: TellingEngine) -> None:
    telling.script = "an answer"
    handler, runs = Everything(), Runs()
    m = model.model_copy(update={"callbacks": [handler, runs], "temperature": 0.5})
    kwargs: dict[str, Any] = {}
    if route == "keyword":
        kwargs = {"user_id": ALICE}
    elif route == "preferences":
        kwargs = {"preferences": ["be blunt"]}
    elif route == "copy":
        m = m.with_user(ALICE)
    if route == "scope":
        with use_user(ALICE):
            await through(door, m, **kwargs)
    else:
        await through(door, m, **kwargs)
    seen = "\n".join([*handler.seen, *(repr(vars(run)) for run in runs.runs.values())])
    (call,) = telling.decoded
    assert call.fingerprint in seen
    assert "an answer" in seen
    assert "0.5" in seen
    assert not [s for s in SECRETS if s in seen]


def test_nothing_that_shows_a_model_tells_whose_copy_it_is(model: Any) -> None:
    bound = model.with_user(ALICE)
    shown = [repr(bound), str(bound), dumps(bound), json.dumps(dumpd(bound))]
    shown += [str(bound.model_dump()), str(bound.asdict()), str(bound._identifying_params)]
    shown += [repr(RunnableLambda(str) | bound), repr(bound.lc_attributes)]
    assert not [s for s in SECRETS for text in shown if s in text]
    assert not [text for text in shown if "TellingEngine" in text or "PersonaJudge object" in text]


def test_a_call_leaves_the_model_as_it_was(model: Any) -> None:
    before = repr(model), model._identifying_params, model.__dict__.copy()
    model.invoke("x", user_id=ALICE, temperature=0.5)
    model.__dict__.pop("_serialized", None)
    assert (repr(model), model._identifying_params, model.__dict__) == before
    assert model._calls is None


def test_copies_share_the_engine(model: Any) -> None:
    bound = model.with_user(ALICE)
    assert bound.engine is model.engine
    deep = copy.deepcopy(bound)
    assert deep.engine is model.engine
    assert deep.invoke("x") == bound.invoke("x") or deep.invoke("x").text == TASTES[ALICE]
    assert model.bound_user is None


def test_traces_name_the_package_and_its_version(model: Any) -> None:
    assert {"langchain-core", "persona-judge-llm"} <= set(model.metadata["lc_versions"])


def test_usage_is_summed_by_langchains_own_callback(
    chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    with get_usage_metadata_callback() as usage:
        for _ in range(3):
            message = chat.invoke("x", user_id=ALICE)
    assert message.usage_metadata is not None
    total = usage.usage_metadata[chat.model_name]
    assert total["output_tokens"] == 3 * message.usage_metadata["output_tokens"] > 0
    assert total["input_tokens"] == 3 * message.usage_metadata["input_tokens"] > 0


@pytest.mark.parametrize("door", ["stream", "astream", "astream_events v2"])
async def test_each_chunk_is_one_callback(door: str, model: Any, telling: TellingEngine) -> None:
    telling.script = "an answer"
    handler = Everything()
    await through({**SYNC, **ASYNC}[door], model.model_copy(update={"callbacks": [handler]}))
    assert handler.tokens == list("an answer")


@each_door(**V3)
async def test_each_chunk_of_events_is_one_callback(
    door: Door, chat: ChatPersonaJudge, telling: TellingEngine
) -> None:
    telling.script = "an answer"
    handler = Everything()
    await through(door, chat.model_copy(update={"callbacks": [handler]}))
    assert handler.tokens == list("an answer")


def test_models_cannot_be_pickled_by_accident(model: Any) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(model.with_user(ALICE))
