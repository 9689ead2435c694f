"""The package as a whole: what it exports, and what it says where LlamaIndex is missing."""

import importlib
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM

import llama_index_persona_judge
from llama_index_persona_judge import PersonaJudgeLLM

WITHOUT_LLAMA_INDEX = """
import sys
sys.modules["llama_index"] = sys.modules["llama_index.core"] = None
try:
    import llama_index_persona_judge
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_the_class_is_what_llamaindex_looks_for() -> None:
    assert "PersonaJudgeLLM" in llama_index_persona_judge.__all__
    assert issubclass(PersonaJudgeLLM, BaseLLM)
    assert issubclass(PersonaJudgeLLM, CustomLLM)
    assert issubclass(PersonaJudgeLLM, FunctionCallingLLM)
    assert PersonaJudgeLLM.class_name() == "PersonaJudgeLLM"
    assert files(llama_index_persona_judge).joinpath("py.typed").is_file()


def test_a_missing_llamaindex_is_named_with_its_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LLAMA_INDEX],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
    )
    assert done.stdout.startswith("MissingDependencyError llama-index-core is not installed")
    assert "persona-judge-llm[llama-index]" in done.stdout


def test_nothing_of_ours_passes_for_llamaindex() -> None:
    # Both source roots, and nothing that was installed: no package of LlamaIndex's name is there.
    root = Path(__file__).parents[3]
    code = "import importlib.util as u; print(u.find_spec('llama_index'), u.find_spec('langchain'))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": f"{root}:{root / 'integrations'}:{root / 'profiles'}"},
    )
    assert done.stdout.split() == ["None", "None"]


def test_llamahub_is_told_what_there_is() -> None:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    hub = project["tool"]["llamahub"]
    module = importlib.import_module(hub["import_path"])
    assert all(hasattr(module, name) for name in hub["class_authors"])
