"""What LlamaIndex's contracts promise of an LLM, as tests to run on one of your own.

```python
# test_my_llm.py
import pytest
from llama_index_persona_judge.testing import LLMConformanceTests

class TestMyLLM(LLMConformanceTests):
    supports_function_calling = False  # what it does not claim is skipped

    @pytest.fixture
    def llm(self):
        return MyLLM(temperature=0, max_tokens=64)
```

For answers that vary, set `is_deterministic = False`. The flags are those of `suite.LLMSuite`.
It runs on pytest alone: `pip install 'persona-judge-llm[llama-index,testing]'`.
"""

from persona_judge_llm.errors import MissingDependencyError

try:
    import pytest
except ModuleNotFoundError as error:
    if error.name != "pytest":
        raise
    raise MissingDependencyError("testing", "pytest") from error

_SUITES = ("answers", "asynchrony", "engines", "forms", "observers", "settings", "streams", "suite")

# Before they are imported: a failing assertion then shows its values, as in anybody's own tests.
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in _SUITES))

from llama_index_persona_judge.testing.answers import Answers  # noqa: E402
from llama_index_persona_judge.testing.asynchrony import Asynchrony  # noqa: E402
from llama_index_persona_judge.testing.engines import Engines  # noqa: E402
from llama_index_persona_judge.testing.forms import Forms  # noqa: E402
from llama_index_persona_judge.testing.observers import Observers  # noqa: E402
from llama_index_persona_judge.testing.settings import SettingsOfLLM  # noqa: E402
from llama_index_persona_judge.testing.streams import Streams  # noqa: E402
from llama_index_persona_judge.testing.suite import LLMSuite  # noqa: E402

__all__ = ["LLMConformanceTests", "LLMSuite"]


class LLMConformanceTests(
    Answers, Streams, Asynchrony, Observers, SettingsOfLLM, Engines, Forms, LLMSuite
):
    """Every test; inherit from it, and give it an `llm`."""
