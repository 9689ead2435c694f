"""LangChain's own suites for chat models, with everything on that a text model can do."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from benchmarks.langchain_standard import counted
from langchain_persona_judge import ChatPersonaJudge, PersonaJudgeLLM
from persona_judge_llm import bundled as bundled_model
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.testing import tiny_tokenizer
from tests.integration.langchain.conftest import TellingEngine
from tests.integration.langchain.scripted import ScriptedModel


class TestChatPersonaJudge(ChatModelUnitTests):
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
        # Nothing goes over a network, so there are no retries; what nobody knows is refused.
        return {"temperature": 0, "max_tokens": 100, "timeout": 60, "stop": []}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"PERSONA_JUDGE_MODEL": str(bundled_model.path())},
            {},
            {"model_name": bundled_model.NAME},
        )


@pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")
class TestChatPersonaJudgeOnTheBundledModel(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _engine(self, bundled: PersonaJudge) -> None:
        self.engine = bundled

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatPersonaJudge

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"engine": self.engine, "temperature": 0, "max_tokens": 100}

    @property
    def model_override_value(self) -> str:
        return self.engine.model_name

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [ChatPersonaJudge, PersonaJudgeLLM])
def test_without_engine_the_environment_must_name_a_model(
    kind: type[ChatPersonaJudge | PersonaJudgeLLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERSONA_JUDGE_MODEL", raising=False)
    with pytest.raises(InvalidParameterError, match="PERSONA_JUDGE_MODEL"):
        kind()
    monkeypatch.setenv("PERSONA_JUDGE_MODEL", str(bundled_model.path()))
    assert kind(max_tokens=3).invoke("Hi", seed=1)


def test_letters_of_any_script_come_through_a_tool_call() -> None:
    """The suite's own test, on a model that writes what it is asked to."""

    def script(prompt: str) -> str:
        (name,) = re.findall(r"named '(.*?)'", prompt)
        arguments = {"customer_name": name, "description": "new"}
        call = {"name": "unicode_customer", "arguments": arguments}
        return f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"

    suite = TestChatPersonaJudgeOnTheBundledModel()
    with PersonaJudge(ScriptedModel(script), tiny_tokenizer()) as engine:
        chat = ChatPersonaJudge(engine=engine, max_tokens=150)
        ChatModelIntegrationTests.test_unicode_tool_call_integration(suite, chat)


def test_nothing_is_switched_off_that_a_text_model_can_do() -> None:
    suite: Any = TestChatPersonaJudgeOnTheBundledModel()
    suite.engine = None
    for name in (
        "has_tool_calling",
        "has_tool_choice",
        "has_structured_output",
        "returns_usage_metadata",
        "supports_anthropic_inputs",
        "supports_json_mode",
        "supports_model_override",
    ):
        assert getattr(suite, name) is True, name


def test_the_benchmark_counts_what_pytest_reports() -> None:
    report = (
        '<testsuites><testsuite><testcase name="good"/><testcase name="better"/>'
        '<testcase name="bad"><failure/></testcase><testcase name="worse"><error/></testcase>'
        '<testcase name="absent"><skipped/></testcase></testsuite></testsuites>'
    )
    found = counted("m", "unit", report, 1.0)
    assert (found.passed, found.failed, found.skipped) == (2, ["bad", "worse"], ["absent"])


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
