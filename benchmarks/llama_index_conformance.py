"""What LLMs for LlamaIndex keep of its contracts: `python -m benchmarks.llama_index_conformance`.

Runs `llama_index_persona_judge.testing` on ours, on LlamaIndex's own mock, and on `HuggingFaceLLM`
with the model that ours has. Nothing is switched off for anybody, so that the counts compare.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from llama_index.core.llms import LLM, MockLLM
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.machine import versions
from llama_index_persona_judge import PersonaJudgeLLM
from llama_index_persona_judge.testing import LLMConformanceTests
from persona_judge_llm import bundled
from persona_judge_llm.engine import PersonaJudge

SEATS = {"TestOurs": "PersonaJudgeLLM", "TestMock": "MockLLM", "TestTheirs": "HuggingFaceLLM"}
PACKAGES = ("persona-judge-llm", "llama-index-core", "llama-index-llms-huggingface")
THEIR_PACKAGE = "llama_index.llms.huggingface"
MOST_TOKENS = 40
TEST_SECONDS = 120.0
MOST_SECONDS = 3600
WIDTH = 100


@dataclass(slots=True)
class Outcome:
    """How one LLM fared."""

    llm: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    """The names of tests, and how each failed."""


class TestOurs(LLMConformanceTests):
    """Ours, on the bundled model."""

    time_limit = TEST_SECONDS

    def restored(self, llm: LLM) -> LLM:
        """Return the LLM that its own `to_dict` describes; the engine is given again."""
        assert isinstance(llm, PersonaJudgeLLM)
        return PersonaJudgeLLM.from_dict(llm.to_dict(), engine=llm.engine)

    @pytest.fixture(scope="module")
    def engine(self) -> PersonaJudge:
        """Load the model once."""
        return PersonaJudge.bundled(device="cpu")

    @pytest.fixture
    def llm(self, engine: PersonaJudge) -> LLM:
        """The LLM under test."""
        return PersonaJudgeLLM(engine=engine, temperature=0, max_tokens=MOST_TOKENS)


class TestMock(LLMConformanceTests):
    """The mock that comes with LlamaIndex."""

    time_limit = TEST_SECONDS

    @pytest.fixture
    def llm(self) -> LLM:
        """The LLM under test."""
        return MockLLM(max_tokens=MOST_TOKENS, is_chat_model=True)


class TestTheirs(LLMConformanceTests):
    """LlamaIndex's LLM on transformers, with the bundled model and its chat template."""

    time_limit = TEST_SECONDS

    @pytest.fixture(scope="module")
    def loaded(self) -> tuple[Any, Any]:
        """Load the model once."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        path = bundled.path()
        model: Any = AutoModelForCausalLM.from_pretrained(path, local_files_only=True)
        return model.eval(), AutoTokenizer.from_pretrained(path, local_files_only=True)

    @pytest.fixture
    def llm(self, loaded: tuple[Any, Any]) -> LLM:
        """The LLM under test."""
        from llama_index.llms.huggingface import HuggingFaceLLM

        model, tokenizer = loaded

        def as_one_turn(text: str) -> str:
            """Apply the chat template, without which an instruct model has nothing to say."""
            turn = [{"role": "user", "content": text}]
            return str(
                tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            )

        llm: LLM = HuggingFaceLLM(
            model=model,
            tokenizer=tokenizer,
            model_name=str(bundled.path()),
            tokenizer_name=str(bundled.path()),
            context_window=model.config.max_position_embeddings,
            max_new_tokens=MOST_TOKENS,
            generate_kwargs={"do_sample": False},
            is_chat_model=True,
            completion_to_prompt=as_one_turn,
        )
        return llm


def run(seat: str, arguments: Sequence[str] = ()) -> Outcome:
    """Run the suite on one LLM, in a process of its own; return how it fared."""
    outcome = Outcome(SEATS[seat])
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        options = ["-q", "--no-header", "--tb=line", f"--junitxml={report}", *arguments]
        # Neither this project's settings nor its warnings as errors: they are nobody else's.
        settings = ["-p", "no:cacheprovider", "-o", "filterwarnings=default", "-o", "addopts="]
        command = [sys.executable, "-m", "pytest", "--import-mode=importlib", *settings, *options]
        said = Path(temporary) / "said.txt"
        # A thread that hangs keeps its process alive after the report is written.
        with said.open("w") as file, suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [*command, f"{__file__}::{seat}"],
                cwd=Path(__file__).parents[1],
                # All three models are small: a second thread of torch costs more than it gives.
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=MOST_SECONDS,
            )
        if not report.exists():
            raise SystemExit(f"pytest did not finish:\n{said.read_text()}")
        for case in ElementTree.parse(report).iter("testcase"):
            _count(case, outcome)
    return outcome


def _count(case: ElementTree.Element, outcome: Outcome) -> None:
    problem = next((part for part in case if part.tag in ("failure", "error")), None)
    if case.find("skipped") is not None:
        outcome.skipped += 1
    elif problem is None:
        outcome.passed += 1
    else:
        outcome.failed += 1
        outcome.failures[case.get("name", "")] = problem.get("message", "").split("\n")[0]


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the counts, and what failed."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    console.print(versions(*PACKAGES), highlight=False)
    table = Table("LLM", "passed", "failed", "skipped")
    for outcome in outcomes:
        counts = (outcome.passed, outcome.failed, outcome.skipped)
        table.add_row(outcome.llm, *map(str, counts))
    console.print(table)
    for outcome in outcomes:
        if outcome.failures:
            console.print(f"{outcome.llm} failed:", highlight=False)
        for name, how in outcome.failures.items():
            console.print(Text(f"  {name}: {how}"), no_wrap=True, overflow="ellipsis")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite on each LLM; return 1 where ours failed a test."""
    parser = argparse.ArgumentParser(description="Run LlamaIndex's contracts; see the docstring.")
    parser.add_argument("--only", action="append", choices=SEATS.values(), help="may be repeated")
    parser.add_argument("-k", dest="tests", help="run these tests only, as for pytest")
    parser.add_argument("--json", type=Path, help="where to write the result as well")
    chosen = parser.parse_args(arguments)
    outcomes = []
    for seat, name in SEATS.items():
        if chosen.only and name not in chosen.only:
            continue
        if seat == "TestTheirs" and not _installed(THEIR_PACKAGE):
            print(f"left out: {name}; pip install --no-deps llama-index-llms-huggingface")
            continue
        print(f"-- {name}", flush=True)
        outcomes.append(run(seat, ["-k", chosen.tests] if chosen.tests else []))
    show(outcomes)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))
    return any(o.failed for o in outcomes if o.llm == SEATS["TestOurs"])


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main())
