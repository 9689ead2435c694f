"""Suggestions: what a model proposes is data, inferred, inactive and of one form."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError, InvalidPromptError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.suggesting import suggest_preferences
from persona_judge_llm.testing import tiny_engine

TALK = [
    {"role": "system", "content": "operator secret"},
    {"role": "user", "content": "Keep it short please"},
    {"role": "assistant", "content": "I will always add {braces} and emoji"},
    {"role": "user", "content": "And in {French}"},
]


@pytest.fixture
def engine() -> Iterator[PersonaJudge]:
    with tiny_engine(
        profiles=InMemoryProfileStore([Profile("ana", (Preference("Private wish"),))])
    ) as engine:
        yield engine


def answering(engine: PersonaJudge, text: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []
    real = engine.generate("Hi")

    def generate(prompt: str, **arguments: Any) -> Any:
        asked.append((prompt, arguments))
        return type(real)(**{n: getattr(real, n) for n in real.__slots__} | {"text": text})

    monkeypatch.setattr(engine, "generate", generate)
    return asked


def test_proposals_are_inferred_inactive_and_bear_nothing_but_the_text(
    engine: PersonaJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(
        engine,
        'Sure!\n{"preferences": ["Answer briefly", "Use\\n French", "answer BRIEFLY"]}',
        monkeypatch,
    )
    found = suggest_preferences(engine, TALK)
    assert [p.text for p in found] == ["Answer briefly", "Use French"]
    for preference in found:
        assert preference == Preference(preference.text, source="inferred", active=False)
        assert not preference.in_force()
    prompt, arguments = asked[0]
    assert "Keep it short please" in prompt
    assert "And in {French}" in prompt
    assert "operator secret" not in prompt
    assert "emoji" not in prompt
    assert arguments["persona"] is False


@pytest.mark.parametrize(
    "text",
    [
        "Answer briefly",
        '"Answer briefly"',
        '["Answer briefly"]',
        '{"preferences": 7}',
        '{"preferences": "Answer briefly"}',
        '{"preferences": {"text": "Answer briefly"}}',
        '{"preferences": [7, ["x"], {"text": "x"}, null]}',
        '{"preferences": [""]}',
        '{"preferences": ["a\\u0000b"]}',
        '{"preferences": ["\\ud800"]}',
        '{"preferences": ["x"], "active": true}',
        '{"wishes": ["x"]}',
        '{"preferences": ["x"',
        '{"preferences": ["%s"]}' % ("x" * 201),
        '{"a":' + "[" * 100_000 + "}",
    ],
)
def test_what_has_another_form_is_dropped(
    text: str, engine: PersonaJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(engine, text, monkeypatch)
    assert suggest_preferences(engine, TALK) == ()


def test_the_limit_is_kept(engine: PersonaJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(engine, json.dumps({"preferences": [f"wish {n}" for n in range(9)]}), monkeypatch)
    assert [p.text for p in suggest_preferences(engine, TALK, limit=2)] == ["wish 0", "wish 1"]


def test_a_stored_proposal_counts_only_once_it_is_confirmed(
    engine: PersonaJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(engine, '{"preferences": ["Answer briefly"]}', monkeypatch)
    store = InMemoryProfileStore()
    for preference in suggest_preferences(engine, TALK):
        store.add("ben", preference, actor="suggester")
    assert not store.get("ben").preferences[0].in_force()
    assert store.confirm("ben", "p1", actor="ben").preferences[0].in_force()


def test_a_real_model_is_held_to_the_form_whatever_it_would_say(
    engine: PersonaJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    real = engine.generate

    def generate(*args: Any, **arguments: Any) -> Any:
        texts.append((found := real(*args, **arguments)).text)
        return found

    monkeypatch.setattr(engine, "generate", generate)
    hot = SamplingParams(temperature=2.0, max_new_tokens=200, seed=2)
    found = suggest_preferences(engine, TALK, limit=2, params=hot)
    written = json.loads(texts[0])
    assert written.keys() == {"preferences"}
    assert len(written["preferences"]) <= 2
    assert all(not p.active for p in found)


def test_without_the_extra_the_form_is_asked_for_and_not_forced(
    engine: PersonaJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(engine.grammars), "available", False)
    asked = answering(engine, '{"preferences": ["Be brief"]}', monkeypatch)
    assert [p.text for p in suggest_preferences(engine, TALK)] == ["Be brief"]
    assert asked[0][1]["constraint"] is None


def test_only_what_users_say_is_read(engine: PersonaJudge) -> None:
    others = [TALK[0], {"role": "tool", "content": "Always be brief"}, TALK[2]]
    assert suggest_preferences(engine, others) == ()


def test_what_cannot_be_used_is_refused(engine: PersonaJudge) -> None:
    with pytest.raises(InvalidPromptError):
        suggest_preferences(engine, [])
    for limit in (0, 17, True, "2"):
        with pytest.raises(InvalidParameterError, match="limit"):
            suggest_preferences(engine, TALK, limit=limit)  # type: ignore[arg-type]
