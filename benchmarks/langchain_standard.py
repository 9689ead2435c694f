"""LangChain's suites for chat models: `python -m benchmarks.langchain_standard [--json F]`.

`ChatModelUnitTests` and `ChatModelIntegrationTests` of langchain-tests, with their default flags,
on `ChatPersonaJudge` and on langchain-huggingface's `ChatHuggingFace` over a transformers pipeline:
both on the bundled model, greedy, without a network. Each class below is run by pytest in a process
of its own. A peer that is not installed is told, not measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.machine import processor, system, versions
from persona_judge_llm import PersonaJudge, bundled

ROOT = Path(__file__).parents[1]
MAX_TOKENS = 100
MOST_SECONDS = 1_800
"""For one suite: the peer waits a minute for each stream that fails."""
PACKAGES = ("persona-judge-llm", "langchain-core", "langchain-tests", "langchain-huggingface")


@cache
def engine() -> PersonaJudge:
    """Load the bundled model for `ChatPersonaJudge`."""
    return PersonaJudge.bundled()


@cache
def pipeline() -> Any:  # noqa: ANN401
    """Load the bundled model for the peer."""
    from langchain_huggingface import HuggingFacePipeline
    from transformers import pipeline as make

    path = str(bundled.path())
    made = make("text-generation", model=path, max_new_tokens=MAX_TOKENS, do_sample=False)
    return HuggingFacePipeline(pipeline=made, model_id=path)


class _Ours:
    """What it takes to construct our chat model."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        from langchain_persona_judge import ChatPersonaJudge

        return ChatPersonaJudge

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"engine": engine(), "temperature": 0, "max_tokens": MAX_TOKENS}


class _Peer:
    """What it takes to construct the peer's."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        from langchain_huggingface import ChatHuggingFace

        theirs: type[BaseChatModel] = ChatHuggingFace
        return theirs

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"llm": pipeline()}


class TestOursUnit(_Ours, ChatModelUnitTests):
    """Ours in the suite without a model's answers."""

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        """Those of the suite but for what means nothing without a network, which ours refuses."""
        given = super().standard_chat_model_params
        return {n: v for n, v in given.items() if n not in ("max_retries", "api_key")}

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """Without what this suite sets itself."""
        return {"engine": engine()}


class TestOursIntegration(_Ours, ChatModelIntegrationTests):
    """Ours in the suite with a model's answers."""


class TestPeerUnit(_Peer, ChatModelUnitTests):
    """The peer in the suite without a model's answers."""


class TestPeerIntegration(_Peer, ChatModelIntegrationTests):
    """The peer in the suite with a model's answers."""


@dataclass
class Outcome:
    """How one chat model did in one suite."""

    model: str
    suite: str
    passed: int
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0


RUNS = (
    ("ChatPersonaJudge", "unit", TestOursUnit),
    ("ChatPersonaJudge", "integration", TestOursIntegration),
    ("ChatHuggingFace", "unit", TestPeerUnit),
    ("ChatHuggingFace", "integration", TestPeerIntegration),
)


def measure(model: str, suite: str, case: type) -> Outcome:
    """Run one suite in a process of its own and count its tests."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        run = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", f"{__file__}::{case.__name__}", "-q"),
                # Neither the project's settings nor anything that an earlier run left.
                *("-c", os.devnull, f"--rootdir={ROOT}", "-p", "no:cacheprovider"),
                *("--import-mode=importlib", "-o", "asyncio_mode=auto", "-W", "ignore"),
                *("--disable-socket", "--allow-unix-socket", f"--junitxml={report}"),
            ],
            cwd=ROOT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(_paths())},
            capture_output=True,
            text=True,
            check=False,
            timeout=MOST_SECONDS,
        )
        if run.returncode not in (0, 1):
            raise RuntimeError(f"pytest could not run {case.__name__}:\n{run.stdout}{run.stderr}")
        return counted(model, suite, report.read_text(), time.perf_counter() - start)


def counted(model: str, suite: str, report: str, seconds: float) -> Outcome:
    """Count the tests of a report in JUnit's form."""
    outcome = Outcome(model, suite, 0, seconds=seconds)
    for test in ElementTree.fromstring(report).iter("testcase"):
        name = test.attrib["name"]
        if test.find("failure") is not None or test.find("error") is not None:
            outcome.failed.append(name)
        elif test.find("skipped") is not None:
            outcome.skipped.append(name)
        else:
            outcome.passed += 1
    return outcome


def _paths() -> list[str]:
    return [str(ROOT), str(ROOT / "integrations"), str(ROOT / "profiles")]


def show(outcomes: Sequence[Outcome], gaps: Sequence[str], *, names: bool) -> None:
    """Print the table, and the names of what failed if asked to."""
    console = Console() if sys.stdout.isatty() else Console(width=120)
    table = Table("chat model", "suite", "passed", "failed", "skipped", "tests", "seconds")
    for model in dict.fromkeys(o.model for o in outcomes):
        rows = [o for o in outcomes if o.model == model]
        total = Outcome(
            model,
            "both",
            sum(o.passed for o in rows),
            [name for o in rows for name in o.failed],
            [name for o in rows for name in o.skipped],
            sum(o.seconds for o in rows),
        )
        for row in (*rows, total):
            counts = (row.passed, len(row.failed), len(row.skipped))
            numbers = (*counts, sum(counts), f"{row.seconds:.0f}")
            table.add_row(row.model, row.suite, *map(str, numbers), end_section=row is total)
    console.print(table)
    for outcome in outcomes if names else ():
        for name in outcome.failed:
            console.print(Text(f"  {outcome.model} failed {outcome.suite}: {name}"))
    for gap in gaps:
        console.print(Text(f"  not measured: {gap}"))
    console.print(Text(f"  {system()}; {processor()}\n  {versions(*PACKAGES)}"))


def main() -> None:
    """Run the suites, print the table, and write the result if asked to."""
    parser = argparse.ArgumentParser(description="Run LangChain's suites; see the docstring.")
    parser.add_argument("--names", action="store_true", help="name the tests that failed, too")
    parser.add_argument("--json", type=Path, help="where to write the result as well")
    chosen = parser.parse_args()
    outcomes, gaps = [], []
    for model, suite, case in RUNS:
        if issubclass(case, _Peer) and find_spec("langchain_huggingface") is None:
            gaps.append(f"{model}, {suite}: langchain-huggingface is not installed")
            continue
        print(f"  {model}: {suite}", flush=True)
        outcomes.append(measure(model, suite, case))
    show(outcomes, gaps, names=chosen.names)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))


if __name__ == "__main__":
    main()
