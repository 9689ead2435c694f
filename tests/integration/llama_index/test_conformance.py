"""Our own suite of LlamaIndex's contracts, on ours with everything on, and on LlamaIndex's mock."""

import pytest
from llama_index.core.llms import LLM, MockLLM

from llama_index_persona_judge import PersonaJudgeLLM
from llama_index_persona_judge.testing import LLMConformanceTests
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing import tiny_tokenizer
from tests.integration.llama_index.conftest import wide_model

ALICE = Profile("alice", (Preference("Be brief"), Preference("Use vivid images")))


class Ours(LLMConformanceTests):
    """With users or without, everything is on."""

    def restored(self, llm: LLM) -> LLM:
        assert isinstance(llm, PersonaJudgeLLM)
        # Neither the engine nor the user is among the settings.
        return PersonaJudgeLLM.from_dict(llm.to_dict(), engine=llm.engine).with_user("alice")


@pytest.fixture(scope="module")
def random_engine() -> PersonaJudge:
    """Random weights on single bytes."""
    profiles = InMemoryProfileStore([ALICE])
    return PersonaJudge(wide_model(), tiny_tokenizer(), profiles=profiles)


@pytest.fixture(scope="module")
def bundled_engine() -> PersonaJudge:
    """The model that ships with the package."""
    return PersonaJudge.bundled(profiles=InMemoryProfileStore([ALICE]))


class TestOnRandomWeights(Ours):
    @pytest.fixture
    def llm(self, random_engine: PersonaJudge) -> LLM:
        llm = PersonaJudgeLLM(engine=random_engine, temperature=0, max_tokens=80)
        return llm.with_user("alice")


class TestOnTheBundledModel(Ours):
    @pytest.fixture
    def llm(self, bundled_engine: PersonaJudge) -> LLM:
        llm = PersonaJudgeLLM(engine=bundled_engine, temperature=0, max_tokens=40)
        return llm.with_user("alice")


class TestOnTheMockOfLlamaIndex(LLMConformanceTests):
    is_chat_model = False
    supports_streaming = False  # the text of its responses is not the text so far
    supports_async = False
    supports_max_tokens = False
    supports_stop = False
    supports_usage = False
    supports_context_window = False
    supports_function_calling = False
    supports_tool_choice = False
    supports_structured_predict = False
    announces_calls_once = False
    refuses_unknown_arguments = False
    refuses_empty_chats = False

    @pytest.fixture
    def llm(self) -> LLM:
        return MockLLM(max_tokens=5)
