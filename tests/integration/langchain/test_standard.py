"""LangChain's own suite, as far as the models reach: no forced calls, no structured output yet."""

import subprocess
import sys
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_persona_judge import ChatPersonaJudge
from tests.integration.langchain.conftest import TellingEngine


class TestChatPersonaJudge(ChatModelUnitTests):
    has_tool_calling = False
    has_tool_choice = False
    has_structured_output = False

    @pytest.fixture(autouse=True)
    def _engine(self, telling: TellingEngine) -> None:
        self.engine = telling

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatPersonaJudge

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"engine": self.engine}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        # Nothing here goes over a network: no timeout, retries or key.
        return {"temperature": 0, "max_tokens": 100, "stop": []}


def test_a_missing_langchain_is_named_with_its_extra() -> None:
    code = (
        "import sys; sys.modules['langchain_core'] = None\n"
        "from persona_judge_llm.errors import MissingDependencyError\n"
        "try: import langchain_persona_judge\n"
        "except MissingDependencyError as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
    )
    assert "persona-judge-llm[langchain]" in found.stdout
