"""The line of tokens: readable with and without colours."""

import io

import pytest
from rich.console import Console

from persona_judge_llm.cli.screen import coloured, stdout
from persona_judge_llm.cli.tokens import STYLES, legend, token_line
from persona_judge_llm.trace import Outcome, TokenTrace


def token(text: str, outcome: Outcome) -> TokenTrace:
    return TokenTrace(0, text, outcome, "A", "B", 0.5, 0.5)


TRACE = (
    token("Sleep", "accepted"),
    token(" well", "recovered"),
    token(",", "bonus"),
    token("\n", "recovered"),
    token("friend", "sampled"),
)


def drawn(*, colours: bool) -> str:
    console = Console(
        file=io.StringIO(), width=80, color_system="standard" if colours else None, _environ={}
    )
    console.print(token_line(TRACE, marks=not colours))
    console.print(legend(TRACE, marks=not colours))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_colours_recovered_and_bonus_tokens_are_marked() -> None:
    line, rest, counts = drawn(colours=False).splitlines()
    assert line == "Sleep [well]{,}"
    assert rest == "friend"
    assert counts == "accepted 1   [recovered] 2   {bonus} 1   sampled 1"


def test_every_outcome_has_a_look_of_its_own() -> None:
    assert len(set(STYLES.values())) == len(STYLES)
    assert drawn(colours=True).count("\x1b[") > 6


def test_a_token_cannot_take_hold_of_the_terminal() -> None:
    assert "\x1b" not in token_line((token("\x1b[2J[red]", "accepted"),), marks=False).plain
    assert "[red]" in token_line((token("\x1b[2J[red]", "accepted"),), marks=False).plain


@pytest.mark.parametrize("no_color", [True, False])
def test_marks_stand_where_colours_cannot_be_seen(
    monkeypatch: pytest.MonkeyPatch, *, no_color: bool
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1" if no_color else "")
    console = stdout()
    assert coloured(console) is not no_color
    with console.capture() as captured:
        console.print(token_line(TRACE, marks=not coloured(console)))
    assert ("\x1b[32m" in captured.get()) is not no_color
    assert ("[well]" in captured.get()) is no_color
