"""The benchmarks from end to end on a small model: every row is there, and what must hold holds.

No timing is asserted: at this size, on a busy machine, none means anything.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from persona_judge_llm.models.weights.preparing import int8_kind

ROOT = Path(__file__).parents[2]
TITLES = (
    "One user against one plain stream",
    "Proposals on answers that copy",
    "Against the paper's published procedure",
    "Prefill of a shared context, and the second turn of a chat",
    "Many users at once",
    "Overhead of a step",
    "Memory",
    "Profile stores",
)


@pytest.mark.slow
def test_quick_mode_writes_every_table_and_its_checks_hold(tmp_path):
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--device", "cpu"]
    run = subprocess.run(
        [*command, "--rounds", "1", "--output", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    report = (tmp_path / "RESULTS.md").read_text()
    assert re.findall(r"^## (?!Goals)(.*)$", report, re.MULTILINE) == list(TITLES)
    for length in (32, 64, 96):
        rows = [line for line in report.splitlines() if line.startswith(f"| prompt {length} |")]
        for method in ("generate, as loaded", "dual, plain", "dual, packed"):
            assert any(f"| {method} |" in row for row in rows), (length, method)
        assert any("| dual, int8 |" in row for row in rows) == (int8_kind() is not None)
    for door in ("threads", "asyncio", "generate_batch"):
        assert (
            f"| {door}: each answer is the one its call gets alone (float32) | 16 of 16 |" in report
        )
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
