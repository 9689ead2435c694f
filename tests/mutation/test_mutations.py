"""Wrong decoders do not pass: each known mistake is made in a copy, and the tests must fail.

The copy holds the package and the tests of laws, decoders and model families. Every mutant names
the tests that have to notice it. One run without any change shows that the copy itself passes.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAW = "tests/unit/decoding/test_law.py"
DECODERS = "tests/unit/decoding/test_decoders.py"
FAMILIES = "tests/unit/models/test_families.py"
JUDGING = "tests/unit/test_judging.py"

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mutant:
    """One mistake: what stands in which module, what to put there, and who must notice."""

    module: str
    right: str
    wrong: str
    noticed_by: tuple[str, ...]


MUTANTS = {
    "judge rewound by one too few": Mutant(
        "decoding/reference.py",
        "judge.forget([drafted - n for n in accepted])",
        "judge.forget([max(drafted - n - 1, 0) for n in accepted])",
        (LAW, "-k", "reference"),
    ),
    "draft rewound by one too few": Mutant(
        "decoding/reference.py",
        "max(drafted - 1 - n, 0)",
        "max(drafted - 2 - n, 0)",
        (LAW, "-k", "reference"),
    ),
    "acceptance ratio swapped": Mutant(
        "judging.py",
        "ratio = judge_probs / draft_probs.clamp_min",
        "ratio = draft_probs / judge_probs.clamp_min",
        (LAW,),
    ),
    "acceptance of the wrong side in the dual loop": Mutant(
        "judging.py",
        "agreement = acceptance_probs(judge_probs, draft_probs)",
        "agreement = acceptance_probs(draft_probs, judge_probs)",
        (LAW, "-k", "dual"),
    ),
    "token drawn from the draft in the dual loop": Mutant(
        "judging.py",
        "tokens = draw(judge_probs, token_uniforms)",
        "tokens = draw(draft_probs, token_uniforms)",
        (LAW, "-k", "dual"),
    ),
    "residual of the wrong side": Mutant(
        "judging.py",
        "residual = (judge_probs - draft_probs).clamp_min(0.0)",
        "residual = (draft_probs - judge_probs).clamp_min(0.0)",
        (LAW, "-k", "reference"),
    ),
    "no bonus token in the dual loop": Mutant(
        "decoding/dual.py",
        "bonus = self._windows.drafted == self._windows.length",
        "bonus = self._windows.drafted == self._windows.length - 1",
        (LAW, "-k", "dual"),
    ),
    "bonus token subtracts the draft in the reference loop": Mutant(
        "judging.py",
        "no_draft = torch.zeros_like(draft_probs[:, :1])",
        "no_draft = draft_probs[:, -1:]",
        (LAW, "-k", "reference"),
    ),
    "roles never swapped": Mutant(
        "judging.py",
        "return window % turns.sum(-1) < turns[..., 1]",
        "return 0 * window % turns.sum(-1) < turns[..., 1]",
        (LAW,),
    ),
    "roles swapped once and never back": Mutant(
        "judging.py",
        "return window % turns.sum(-1) < turns[..., 1]",
        "return window.clamp(max=1) % turns.sum(-1) < turns[..., 1]",
        (LAW,),
    ),
    "turns of A and B mixed up": Mutant(
        "judging.py",
        "< turns[..., 1]",
        "< turns[..., 0]",
        (LAW, "-k", "turns or fixed"),
    ),
    "positions of the shorter row wrong": Mutant(
        "models/slots.py",
        "starts = torch.tensor(self.lengths, device=device)[:, None]",
        "starts = torch.full((len(self.lengths), 1), max(self.lengths), device=device)",
        (FAMILIES,),
    ),
    "sliding window one token too wide": Mutant(
        "models/slots.py",
        "visible & (slot > positions - window)",
        "visible & (slot >= positions - window)",
        (FAMILIES,),
    ),
    "slots behind a row's end attended to": Mutant(
        "models/slots.py", "visible = slot <= positions", "visible = slot <= slots.end", (FAMILIES,)
    ),
    "rewind forgotten by the slot cache": Mutant(
        "models/huggingface.py",
        "slots.lengths = [n - count for n, count",
        "slots.lengths = [n - 0 * count for n, count",
        (FAMILIES,),
    ),
    "rows mixed up when one leaves": Mutant(
        "decoding/dual.py",
        "self._uniforms.keep(kept)",
        "self._uniforms.keep(kept[::-1])",
        (DECODERS, "-k", "as_if_alone"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    shutil.copytree(
        ROOT / "persona_judge_llm",
        folder / "persona_judge_llm",
        ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"),
    )
    for name in ("pyproject.toml", "tests/conftest.py", JUDGING):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("decoding", "models"):
        shutil.copytree(ROOT / "tests/unit" / name, folder / "tests/unit" / name)
    return folder


def outcome(folder, tests):
    """Run tests in a folder; return pytest's exit status and the end of its output."""
    run = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env={**os.environ, "LAW_SAMPLES": "20000", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return run.returncode, run.stdout[-2000:] + run.stderr[-500:]


def test_the_unchanged_copy_passes(original):
    status, output = outcome(original, [LAW, DECODERS, FAMILIES, JUDGING])
    assert status == pytest.ExitCode.OK, output


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_makes_a_test_fail(original, tmp_path, name):
    mutant = MUTANTS[name]
    folder = tmp_path / "mutant"
    shutil.copytree(original, folder)
    path = folder / "persona_judge_llm" / mutant.module
    source = path.read_text()
    assert source.count(mutant.right) == 1, "the mutated line is gone: write the mutant anew"
    path.write_text(source.replace(mutant.right, mutant.wrong))
    status, output = outcome(folder, mutant.noticed_by)
    assert status == pytest.ExitCode.TESTS_FAILED, output
