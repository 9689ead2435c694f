"""Making one known mistake in a copy of the package, and seeing whether tests notice."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """One mistake: what stands in which module, what to put there, and who must notice."""

    module: str
    right: str
    wrong: str
    noticed_by: tuple[str, ...]


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
