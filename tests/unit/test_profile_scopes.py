"""Which preferences of a profile count in a call: scope, confirmation, and whose profile it is."""

from collections.abc import Iterator

import pytest

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidPreferenceError, ProfileStoreUnavailableError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.scope import use_user
from persona_judge_llm.testing import tiny_engine

LIKES = (
    Preference("always"),
    Preference("at work", scope="work"),
    Preference("at home", scope="home"),
)


@pytest.fixture(scope="module")
def engine() -> Iterator[PersonaJudge]:
    with tiny_engine(profiles=InMemoryProfileStore([Profile("ana", LIKES)])) as engine:
        yield engine


def told(call: PreparedCall) -> set[str]:
    """Return the preferences that either side is told, and check that no prompt holds another."""
    texts = {p.text for p in (*call.split.a, *call.split.b)}
    prompts = call.prompt_a + (call.prompt_b or "")
    assert {p.text for p in LIKES if p.text in prompts} == texts
    return texts


def test_a_call_without_a_scope_does_without_the_preferences_of_all(engine: PersonaJudge) -> None:
    assert told(engine.plan("Hi", user_id="ana")) == {"always"}


@pytest.mark.parametrize("scope", ["work", "home"])
def test_a_scope_adds_its_own_preferences(engine: PersonaJudge, scope: str) -> None:
    assert told(engine.plan("Hi", user_id="ana", scope=scope)) == {"always", f"at {scope}"}


def test_an_unknown_scope_adds_nothing(engine: PersonaJudge) -> None:
    assert told(engine.plan("Hi", user_id="ana", scope="WORK")) == {"always"}


def test_the_ambient_scope_is_the_innermost_one(engine: PersonaJudge) -> None:
    with use_user("ana", scope="work"):
        assert told(engine.plan("Hi")) == {"always", "at work"}
        assert told(engine.plan("Hi", scope="home")) == {"always", "at home"}
        with use_user("ana"):
            assert told(engine.plan("Hi")) == {"always"}
        assert told(engine.plan("Hi")) == {"always", "at work"}
    assert told(engine.plan("Hi", user_id="ana")) == {"always"}


def test_scopes_hold_for_preferences_of_the_call_too(engine: PersonaJudge) -> None:
    assert told(engine.plan("Hi", preferences=LIKES, scope="home")) == {"always", "at home"}
    assert told(engine.prepare(Request("Hi", preferences=LIKES))) == {"always"}


def test_two_scopes_have_two_fingerprints(engine: PersonaJudge) -> None:
    prints = {
        engine.plan("Hi", user_id="ana", scope=scope).fingerprint
        for scope in (None, "work", "home")
    }
    assert len(prints) == 3


@pytest.mark.parametrize("scope", ["", " ", "a\0b", "\ud800", "x" * 256, 7])
def test_a_scope_that_cannot_be_used_is_refused(engine: PersonaJudge, scope: str) -> None:
    with pytest.raises(InvalidPreferenceError, match="scope"):
        engine.generate("Hi", scope=scope)
    with pytest.raises(InvalidPreferenceError, match="scope"):
        use_user("ana", scope=scope)
    with pytest.raises(InvalidPreferenceError, match="scope"):
        Preference("x", scope=scope)


def test_what_was_inferred_counts_only_once_confirmed() -> None:
    guess = Preference("guess", source="inferred")
    sure = Preference("sure", source="inferred", confirmed=True)
    with tiny_engine() as engine:
        split = engine.plan("Hi", preferences=[guess, sure, "said"]).split
    assert [p.text for p in (*split.a, *split.b)] == ["sure", "said"]
    assert [p.text for p in split.dropped] == ["guess"]


def test_a_store_that_mixes_users_up_gets_no_further() -> None:
    class Mixed(InMemoryProfileStore):
        def get(self, user_id: str) -> Profile:
            return super().get("ben")

    with tiny_engine(profiles=Mixed([Profile("ben", LIKES), Profile("ana")])) as engine:
        with pytest.raises(ProfileStoreUnavailableError, match="this user's profile"):
            engine.generate("Hi", user_id="ana")
        few = SamplingParams(max_new_tokens=1)
        assert engine.generate("Hi", user_id="ben", params=few).user_id == "ben"
