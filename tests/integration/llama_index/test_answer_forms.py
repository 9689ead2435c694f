"""Forms asked for in a call's own arguments, and the arguments that came with them."""

import json
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.constraints import Constraint
from persona_judge_llm.errors import DeadlineExceededError, InvalidParameterError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.scope import use_user
from persona_judge_llm.testing import tiny_tokenizer
from tests.integration.llama_index.conftest import RecordingEngine, wide_model
from tests.integration.llama_index.test_calls import METHODS, call, text

SCHEMA = {
    "type": "object",
    "properties": {"pages": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["pages"],
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "report", "schema": SCHEMA}}
LIKES = (
    Preference("be brief"),
    Preference("be vivid"),
    Preference("be formal at work", scope="work"),
)


@pytest.fixture(scope="module")
def engine() -> RecordingEngine:
    """Random weights, and a user with two sides and one taste for work."""
    store = InMemoryProfileStore([Profile("alice", LIKES)])
    return RecordingEngine(wide_model(), tiny_tokenizer(), profiles=store)


@pytest.fixture
def llm(engine: RecordingEngine) -> PersonaJudgeLLM:
    engine.__dict__["calls"] = []
    return PersonaJudgeLLM(engine=engine, max_tokens=60)


@pytest.mark.parametrize("method", METHODS)
def test_an_answer_has_the_format_that_the_call_asks_for(
    method: str, llm: PersonaJudgeLLM, engine: RecordingEngine
) -> None:
    for seed in range(2):
        asked = call(llm, method, response_format=FORMAT, seed=seed, user_id="alice")
        found = json.loads(text(asked))
        assert list(found) == ["pages"]
        assert 1 <= found["pages"] <= 9
        assert isinstance(
            json.loads(text(call(llm, method, response_format={"type": "json_object"}))), dict
        )
    told = engine.calls[0]
    assert told.prompt_b is not None
    for prompt, own, other in (
        (told.prompt_a, "brief", "vivid"),
        (told.prompt_b, "vivid", "brief"),
    ):
        assert json.dumps(SCHEMA) in prompt
        assert f"be {own}" in prompt
        assert f"be {other}" not in prompt
        assert prompt.count("<|im_start|>system") == 1


def test_plain_text_is_a_format_too(llm: PersonaJudgeLLM, engine: RecordingEngine) -> None:
    plain = llm.complete("hi", response_format={"type": "text"}, seed=3)
    assert plain.text == llm.complete("hi", seed=3).text
    assert engine.calls[0].prompt_a == engine.calls[1].prompt_a


@pytest.mark.parametrize("method", METHODS)
def test_an_answer_follows_the_constraint_of_the_call(
    method: str, llm: PersonaJudgeLLM, engine: RecordingEngine
) -> None:
    choice = Constraint.choice(["yes", "no", "perhaps"])
    answers = {text(call(llm, method, constraint=choice, seed=seed)) for seed in range(3)}
    assert answers <= {"yes", "no", "perhaps"}
    assert "perhaps" not in engine.calls[0].prompt_a


def test_a_format_stands_beside_the_systems_own_words(
    llm: PersonaJudgeLLM, engine: RecordingEngine
) -> None:
    turns = [ChatMessage("Be exact.", role="system"), ChatMessage("How long?")]
    llm.chat(turns, response_format=FORMAT, user_id="alice")
    prompt = engine.calls[0].prompt_a
    places = [prompt.index(t) for t in ('"pages"', "Be exact.", "be brief", "How long?")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"response_format": FORMAT, "max_tokens": 5}, "max_new_tokens"),
        ({"response_format": FORMAT, "constraint": Constraint.json_object()}, "constraint"),
        ({"constraint": "yes or no"}, "constraint"),
        ({"constraint": Constraint("start: nonsense")}, "constraint"),
        ({"timeout": 0}, "timeout"),
        ({"scope": 7}, "scope"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["complete", "stream_chat", "achat", "astream_complete"])
def test_forms_that_cannot_be_had_are_refused_by_name(
    method: str, kwargs: dict[str, Any], name: str, llm: PersonaJudgeLLM
) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        call(llm, method, **kwargs)
    assert caught.value.name == name
    assert not isinstance(caught.value, ValueError | TypeError)


def test_a_call_may_be_made_in_a_scope(llm: PersonaJudgeLLM, engine: RecordingEngine) -> None:
    alice = llm.with_user("alice")
    alice.complete("hi")
    alice.complete("hi", scope="work")
    with use_user("alice", scope="work"):
        llm.chat([ChatMessage("hi")])
    formal = ["formal" in f"{c.prompt_a} {c.prompt_b}" for c in engine.calls]
    assert formal == [False, True, True]


@pytest.mark.parametrize("method", METHODS)
def test_a_call_may_have_a_deadline(method: str, llm: PersonaJudgeLLM) -> None:
    with pytest.raises(DeadlineExceededError):
        call(llm, method, timeout=1e-9)
    assert text(call(llm, method, timeout=600.0))
