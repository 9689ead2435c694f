"""What is installed is what the sources say."""

import importlib
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "langchain_persona_judge",
    "llama_index_persona_judge",
    "persona_judge_llm",
    "persona_judge_profiles",
)

REQUIREMENTS = [Requirement(line) for line in metadata.requires("persona-judge-llm") or []]


def names_of(extras: set[str]) -> set[str]:
    """The distributions that these extras bring."""
    return {
        requirement.name
        for requirement in REQUIREMENTS
        for extra in extras
        if requirement.marker and requirement.marker.evaluate({"extra": extra})
    }


def test_installed_version_is_the_version_of_the_sources() -> None:
    package = importlib.import_module("persona_judge_llm")
    assert metadata.version("persona-judge-llm") == package.__version__


def test_command_is_installed() -> None:
    (command,) = metadata.entry_points(group="console_scripts", name="persona-judge")
    assert callable(command.load())


@pytest.mark.parametrize("name", PACKAGES)
def test_package_says_that_it_is_typed(name: str) -> None:
    (folder,) = importlib.import_module(name).__path__
    assert (Path(folder) / "py.typed").is_file()


def test_extra_all_holds_every_other_extra_for_users() -> None:
    extras = set(metadata.metadata("persona-judge-llm").get_all("Provides-Extra") or [])
    assert names_of(extras - {"all", "bench", "dev", "examples"}) <= names_of({"all"})


def test_every_direct_dependency_has_its_version_pinned() -> None:
    pins = {
        line.partition("==")[0].strip().lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    }
    assert {requirement.name.lower() for requirement in REQUIREMENTS} <= pins


def test_make_help_names_every_target() -> None:
    printed = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert {line.split()[0] for line in printed.splitlines()} == set(phony.split())
