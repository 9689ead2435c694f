"""The chatbot of `examples/`: it runs, and nobody hears of anybody else."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.planning import PreparedCall

EXAMPLE = Path(__file__).parents[3] / "examples" / "chatbot_langchain.py"
TASTES = {"ana": ["Be concise"], "ben": ["Be humorous", "Use vivid images"]}
QUESTION = "How do I water my tomatoes?"


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[list[PreparedCall], list[str], str]:
    """Run the example; return its calls, their answers, and what it printed."""
    calls: list[PreparedCall] = []
    answers: list[str] = []
    stream = PersonaJudge.stream

    def watched(engine: PersonaJudge, prompt: Any, **arguments: Any) -> Any:
        calls.append(prompt)
        answers.append("")
        place = len(answers) - 1
        for chunk in stream(engine, prompt, **arguments):
            answers[place] += chunk.text
            yield chunk

    with monkeypatch.context() as patch:
        patch.setattr(PersonaJudge, "stream", watched)
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    return calls, answers, capsys.readouterr().out


def test_each_users_second_turn_knows_the_own_history_and_taste_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, answers, printed = run(monkeypatch, capsys)
    assert [call.user_id for call in calls] == ["ana", "ben", "ana", "ben"]
    assert all(answers)
    assert answers[0] != answers[1], "both users were told the same"
    for place, call in enumerate(calls):
        user = call.user_id or ""
        other = "ben" if user == "ana" else "ana"
        assert sorted(p.text for p in (*call.split.a, *call.split.b)) == TASTES[user]
        for prompt in filter(None, (call.prompt_a, call.prompt_b)):
            assert not [taste for taste in TASTES[other] if taste in prompt]
            assert [taste for taste in TASTES[user] if taste in prompt]
            turns = re.findall(
                r"<\|im_start\|>(user|assistant)\n(.*?)(?:<\|im_end\|>|$)", prompt, re.DOTALL
            )
            expected = [("user", QUESTION)]
            if place >= 2:
                expected += [("assistant", answers[place - 2]), ("user", QUESTION)]
            assert turns == [*expected, ("assistant", "")]
    told = re.findall(r"bot to (\w+): (.*)", printed)
    assert [user for user, _ in told] == ["ana", "ben", "ana", "ben"]
    for (_, text), said in zip(told, answers, strict=True):
        assert said.startswith(text)


def test_it_says_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, capsys)[1:] == run(monkeypatch, capsys)[1:]
