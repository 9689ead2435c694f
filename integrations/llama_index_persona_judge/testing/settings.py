"""The LLM itself: what it says of itself, and copies of it."""

import copy
import json

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.llms import LLM
from llama_index.core.llms.utils import resolve_llm

from llama_index_persona_judge.testing.suite import QUESTION, LLMSuite


class SettingsOfLLM(LLMSuite):
    """Metadata, copies, settings that travel."""

    def test_it_is_an_llm_of_llamaindex(self, llm: LLM) -> None:
        """Engines and agents take it as it is."""
        assert isinstance(llm, LLM)
        assert resolve_llm(llm) is llm
        assert llm.class_name() not in ("", "base_component", "custom_llm")

    def test_metadata_describes_the_model(self, llm: LLM) -> None:
        """Prompts are packed and agents are chosen by it."""
        metadata = llm.metadata
        assert isinstance(metadata, LLMMetadata)
        assert metadata.is_chat_model == self.is_chat_model
        assert metadata.is_function_calling_model == self.supports_function_calling
        if self.supports_context_window:
            assert 0 < metadata.num_output < metadata.context_window
            assert metadata.model_name not in ("", "unknown")

    def test_what_observers_are_told_of_it_is_plain(self, llm: LLM) -> None:
        """Tracers write it down."""
        payload = llm.to_payload()
        assert payload["class_name"] == llm.class_name()
        assert json.loads(json.dumps(payload)) == payload

    def test_a_deep_copy_answers_alike(self, llm: LLM) -> None:
        """Frameworks copy what they hold."""
        copied = copy.deepcopy(llm)
        assert type(copied) is type(llm)
        assert copied.complete(QUESTION).text
        if self.is_deterministic:
            assert copied.complete(QUESTION).text == llm.complete(QUESTION).text

    def test_settings_travel(self, llm: LLM) -> None:
        """`to_dict` is JSON, and describes the LLM that it was made of."""
        self.need("supports_serialization")
        data = llm.to_dict()
        assert json.loads(json.dumps(data)) == data
        restored = self.restored(llm)
        assert restored.to_dict() == data
        if self.is_deterministic:
            assert restored.complete(QUESTION).text == llm.complete(QUESTION).text
