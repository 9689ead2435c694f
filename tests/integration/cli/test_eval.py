"""`persona-judge eval`, end to end: a tiny model, random reward models, a judge on this machine."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import Result

from persona_judge_llm.cli import evaluation_screen
from persona_judge_llm.evaluation.experiments import GENERATIONS, SETTINGS
from persona_judge_llm.evaluation.judgements import VERDICTS
from persona_judge_llm.evaluation.scoring import SCORES
from tests.unit.evaluation import made_rewards
from tests.unit.evaluation.fake_judge import completion, serving
from tests.unit.evaluation.made_runs import made_run

Run = Callable[..., Result]
Ok = Callable[..., str]

CODE = "from persona_judge_llm.cli import main; main()"


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    file = tmp_path / "koala.json"
    asked = ["Why is the sky blue?", "What is a fugue?", "How do I bake bread?"]
    file.write_text(json.dumps([{"id": str(i), "prompt": t} for i, t in enumerate(asked)]))
    return str(file)


@pytest.fixture
def generate(model: str, prompts: str, tmp_path: Path) -> list[str]:
    """The words of a small run into `tmp_path / "run"`."""
    return [
        "eval", "generate", "--model", model, "--prompts", prompts, "--set", "psoups",
        "--out", str(tmp_path / "run"), "--max-new-tokens", "6", "--pairs", "table1",
    ]  # fmt: skip


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") or "\nerror: " in result.stderr
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_the_whole_protocol_on_the_bundled_model(ok: Ok, prompts: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    ok("eval", "generate", "--prompts", prompts, "--set", "psoups", "--n", "2", "--out", folder,
       "--pairs", "table1,Vivid", "--max-new-tokens", "5", "--lambda", "2,4", "--methods",
       "plain,direct,single_a,single_b,fixed,alternate,overlap,compose:1.5")  # fmt: skip
    settings = json.loads((tmp_path / "run" / SETTINGS).read_text())
    assert settings["settings"]["model"] == "persona-judge-bundled"
    assert settings["settings"]["n"] == 2
    answers = lines(tmp_path / "run" / GENERATIONS)
    # Two pairings; single_b needs two sides, and lambda two sides and windows.
    assert len(answers) == 2 * (5 * 2 + 1 + 2 * (2 + 1))
    assert all(answer["tokens"] <= 5 and answer["seconds"] > 0 for answer in answers)
    assert {a["method"] for a in answers if a["acceptance_rate"] is not None} == {
        "fixed",
        "alternate",
    }
    found = ok("eval", "report", folder, "--no-charts")
    assert "## Table 5" in found
    assert "**Persona-judge (persona-judge-bundled, psoups, λ=4), Harmless\\|Helpful**" in found


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_generate_score_judge_and_report(
    ok: Ok, generate: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    ok(*generate)
    helpful = made_rewards.gpt2(tmp_path / "helpful")
    tone = made_rewards.llama(tmp_path / "tone", 2, id2label={0: "dull", 1: "bright"})
    rewards = ("--reward", f"gpt2-helpful:{helpful}", "--reward", f"tone=classifier:{tone}")
    ok("eval", "score", str(folder), *rewards)
    scores = lines(folder / SCORES)
    assert len(scores) == 2 * 4 * 3
    assert {name for s in scores for name in s["scores"]} == {
        "gpt2-helpful", "tone/dull", "tone/bright",
    }  # fmt: skip

    def decide(number: int, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        if number % 5 == 1:
            return 429, {"Retry-After": "0"}, b""
        return completion("I prefer 1" if number % 7 == 3 else "1")

    monkeypatch.setenv("JUDGE_KEY", "sk-secret")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with serving(decide) as judge:
        asked = ("--url", judge.url, "--judge", "gpt-x", "--api-key-env", "JUDGE_KEY")
        result = ok("eval", "judge", str(folder), *asked)
        count = len(judge.bodies)
        ok("eval", "judge", str(folder), *asked)
        assert len(judge.bodies) == count  # all is known already
    verdicts = lines(folder / VERDICTS)
    assert len(verdicts) == 3 * 3 * 2 * 2
    assert any(verdict["winner"] == "unreadable" for verdict in verdicts)
    assert all(header["Authorization"] == "Bearer sk-secret" for header in judge.headers)
    assert "sk-secret" not in result + (folder / VERDICTS).read_text()

    shown = json.loads(ok("eval", "report", str(folder), "--json"))
    (table,) = [t for t in shown["tables"] if t["name"] == "1"]
    ours = [row for row in table["rows"] if row["source"] == "here"]
    assert len(ours) == 4
    mean = sum(
        s["scores"]["gpt2-helpful"] for s in scores
        if s["method"] == "alternate" and s["scorer"] == "gpt2-helpful"
    ) / 3  # fmt: skip
    assert ours[3]["label"].startswith("Persona-judge (")
    assert ours[3]["cells"][1]["value"] == pytest.approx(mean)
    assert ours[3]["cells"][1]["n"] == 3
    assert {file.name for file in folder.glob("*.png")} == {"win_rates_psoups.png", "seconds.png"}
    assert (folder / "report.md").exists()


def test_other_systems_stand_beside_the_rules(ok: Ok, generate: list[str], tmp_path: Path) -> None:
    file = tmp_path / "systems.json"
    file.write_text(json.dumps([{"system": "context_steering", "name": "steered"}]))
    ok(*generate, "--n", "1", "--methods", "plain", "--systems", str(file))
    answers = lines(tmp_path / "run" / GENERATIONS)
    assert [answer["method"] for answer in answers] == ["plain", "steered"]
    assert answers[1]["tokens"] > 0


def test_modes_prompts_and_texts_of_ones_own(ok: Ok, generate: list[str], tmp_path: Path) -> None:
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps({"Harmless": "Hurt nobody, ever."}))
    ok(*generate, "--n", "1", "--mode", "paper", "--dimensions", str(texts), "--batch", "2")
    settings = json.loads((tmp_path / "run" / SETTINGS).read_text())["settings"]
    assert settings["mode"] == "paper"
    assert settings["pairings"][0]["a"][0]["preference"] == "Hurt nobody, ever."
    assert settings["params"]["temperature"] == 0.9
    assert settings["params"]["max_new_tokens"] == 6


def test_the_size_of_the_set_and_what_was_written_are_told(run: Run, generate: list[str]) -> None:
    first, second = (run(*generate, "--methods", "plain").stderr for _ in range(2))
    assert "3 prompts of psoups" in first
    assert "3 answers written to" in first
    assert "0 answers written to" in second


def test_a_terminal_sees_how_far_a_run_is(
    run: Run, generate: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = io.StringIO()
    console = Console(file=seen, force_terminal=True, force_interactive=True, width=100)
    monkeypatch.setattr(evaluation_screen, "stderr", lambda: console)
    run(*generate, "--methods", "plain,direct")
    assert "6/6" in seen.getvalue()
    assert "direct, Harmless|Helpful" in seen.getvalue()


def test_texts_of_users_reach_no_terminal_as_commands(
    ok: Ok, generate: list[str], tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([{"a": ["be \x1b[31mred"], "b": ["Humor"]}]))
    ok(*generate, "--n", "1", "--methods", "plain", "--pairs", str(pairs))
    shown = ok("eval", "report", str(tmp_path / "run"), "--no-charts")
    assert "red" in shown
    assert "\x1b" not in shown


def test_a_folder_of_other_settings_is_refused(run: Run, ok: Ok, generate: list[str]) -> None:
    ok(*generate, "--n", "1", "--methods", "plain")
    refused(run(*generate, "--n", "1", "--methods", "direct"), "methods", "another folder")
    refused(run(*generate, "--n", "2", "--methods", "plain"), "n, prompts")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--methods", "magic"], "magic"),
        (["--pairs", "Funny"], "Funny"),
        (["--lambda", "four"], "four"),
        (["--lambda", "0"], "0"),
        (["--systems", "nowhere.json"], "nowhere.json"),
        (["--systems", "misspelt.json"], "strenght"),
        (["--dimensions", "nowhere.json"], "nowhere.json"),
        (["--prompts", "nowhere.json"], "nowhere.json"),
        (["--temperature", "-1"], "temperature"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_leaves_no_folder(
    run: Run, generate: list[str], tmp_path: Path, words: list[str], told: str
) -> None:
    spec = [{"system": "context_steering", "strenght": 2}]
    (tmp_path / "misspelt.json").write_text(json.dumps(spec))
    words = [str(tmp_path / word) if word == "misspelt.json" else word for word in words]
    refused(run(*generate, *words), told)
    assert not (tmp_path / "run").exists()


def test_wrong_use_is_told_apart_from_failure(run: Run, generate: list[str]) -> None:
    assert run(*generate, "--set", "koala").exit_code == 2
    assert run("eval", "generate").exit_code == 2
    assert run("eval", "score", "x").exit_code == 2


def test_later_stages_need_a_run(run: Run, tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    refused(run("eval", "report", none), "run.json")
    refused(run("eval", "score", none, "--reward", "armo:x"), "run.json")
    judge = ("--url", "http://127.0.0.1:9/v1", "--judge", "x")
    refused(run("eval", "judge", none, *judge), "run.json")
    refused(run("eval", "score", none, "--reward", "x"), "KIND:PATH_OR_ID")
    refused(run("eval", "judge", none, *judge, "--api-key-env", "NOT_SET_AT_ALL"), "NOT_SET_AT_ALL")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("matplotlib", ["report", "RUN"]),
        ("httpx", ["judge", "RUN", "--url", "http://127.0.0.1:9/v1", "--judge", "x"]),
        ("datasets", ["generate", "--prompts", "hub:x", "--out", "RUN"]),
    ],
)
def test_a_missing_package_names_the_extra(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, words: list[str]
) -> None:
    made_run(tmp_path / "run")
    for name in [n for n in sys.modules if n.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    folder = str(tmp_path / "run")
    result = run("eval", *(folder if word == "RUN" else word for word in words))
    refused(result, "pip install 'persona-judge-llm[eval]'", module)


def without_times(file: Path) -> list[dict[str, Any]]:
    return [{**answer, "seconds": 0} for answer in lines(file)]


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_an_unbroken_one(
    ok: Ok, generate: list[str], tmp_path: Path
) -> None:
    words = [*generate, "--methods", "direct,alternate", "--max-new-tokens", "40"]
    file = tmp_path / "run" / GENERATIONS
    with subprocess.Popen(
        [sys.executable, "-c", CODE, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        until = time.monotonic() + 90
        while not (file.exists() and file.read_bytes().count(b"\n") >= 2):
            assert child.poll() is None
            assert time.monotonic() < until
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    before = file.read_bytes()
    assert 2 <= before.count(b"\n") < 6
    with file.open("ab") as torn:
        torn.write(b'{"method": "alter')
    ok(*words)
    assert file.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    resumed = without_times(file)
    other = tmp_path / "whole"
    words[words.index(str(tmp_path / "run"))] = str(other)
    ok(*words)
    assert resumed == without_times(other / GENERATIONS)
    assert len(resumed) == 6
    assert (tmp_path / "run" / SETTINGS).read_text() == (other / SETTINGS).read_text()
