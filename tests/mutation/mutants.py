"""Making one known mistake in a copy of the package, and seeing whether tests notice."""

import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALL = bool(os.environ.get("ALL_MUTANTS"))


@dataclass(frozen=True)
class Mutant:
    """One mistake: what stands in which module, what to put there, and who must notice."""

    module: str
    right: str
    wrong: str
    noticed_by: tuple[str, ...]


def chosen(mutants: Mapping[str, Mutant], telling: Collection[str]) -> list[str]:
    """Return the mutants to be made: all by `make mutants`, and else those that tell most."""
    assert mutants.keys() >= set(telling)
    return [name for name in mutants if ALL or name in telling]


def each_file(mutants: Iterable[Mutant]) -> Iterator[tuple[str, ...]]:
    """Yield, for every file of tests, arguments that run all that mutants need of it."""
    needed: dict[str, set[str]] = {}
    for mutant in mutants:
        file, *options = mutant.noticed_by
        needed.setdefault(file, set()).add(options[1] if options else "")
    for file, chosen_tests in needed.items():
        some = " or ".join(f"({tests})" for tests in sorted(chosen_tests))
        yield (file,) if "" in chosen_tests else (file, "-k", some)


def copied(folder: Path, trees: tuple[str, ...], files: tuple[str, ...]) -> Path:
    """Copy folders and files of the project to the same places of another folder."""
    for name in trees:
        shutil.copytree(
            ROOT / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"),
        )
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def outcome(folder: Path, tests: tuple[str, ...], **variables: str) -> tuple[int, str]:
    """Run tests in a folder; return pytest's exit status and the end of its output."""
    run = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env={
            **os.environ,
            **variables,
            "PYTHONPATH": f"{folder}{os.pathsep}{folder / 'profiles'}",
        },
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    return run.returncode, run.stdout[-2000:] + run.stderr[-500:]


def assert_noticed(original: Path, folder: Path, mutant: Mutant, **variables: str) -> None:
    """Make the mistake in a copy of `original`; its tests must fail, and not for want of them."""
    shutil.copytree(original, folder)
    path = folder / mutant.module
    source = path.read_text()
    assert source.count(mutant.right) == 1, "the mutated line is gone: write the mutant anew"
    path.write_text(source.replace(mutant.right, mutant.wrong))
    status, output = outcome(folder, mutant.noticed_by, **variables)
    assert status == pytest.ExitCode.TESTS_FAILED, output
