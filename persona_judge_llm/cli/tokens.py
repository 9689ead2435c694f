"""The line of tokens: the answer, with what happened to each token to be seen.

In colour on a terminal. Where there is none (a file, NO_COLOR), recovered and bonus tokens stand in
brackets. In colour they are bold and underlined too, for people who cannot tell colours apart.
"""

from collections import Counter

from rich.text import Text

from persona_judge_llm.cli.screen import plain
from persona_judge_llm.trace import Outcome, TokenTrace, outcomes

STYLES: dict[Outcome, str] = {
    "accepted": "green",
    "recovered": "bold underline yellow",
    "bonus": "bold cyan",
    "sampled": "",
}
MARKS: dict[Outcome, tuple[str, str]] = {
    "accepted": ("", ""),
    "recovered": ("[", "]"),
    "bonus": ("{", "}"),
    "sampled": ("", ""),
}
MEANINGS: dict[Outcome, str] = {
    "accepted": "drafted by one side, kept by the other",
    "recovered": "refused by the judge, drawn anew by it",
    "bonus": "added by the judge after a window it kept whole",
    "sampled": "one side only, nothing to judge",
}


def token_line(trace: tuple[TokenTrace, ...], *, marks: bool) -> Text:
    """Return the answer, each token in its outcome's colour and, if wanted, between its marks."""
    line = Text()
    for text, outcome in outcomes(trace):
        before, after = MARKS[outcome] if marks else ("", "")
        # The marks embrace the word, not the space or line break around it.
        core = text.strip()
        lead, _, tail = text.partition(core) if core else (text, "", "")
        line.append(plain(lead))
        if core:
            line.append(plain(f"{before}{core}{after}", STYLES[outcome]))
        line.append(plain(tail))
    return line


def legend(trace: tuple[TokenTrace, ...], *, marks: bool) -> Text:
    """Return one line that names the outcomes that occur, each as it is shown, with its count."""
    counts = Counter(token.outcome for token in trace)
    parts = [plain(f"{_name(o, marks=marks)} {counts[o]}", STYLES[o]) for o in STYLES if counts[o]]
    return plain("   ").join(parts)


def explanation(*, marks: bool) -> Text:
    """Return the meaning of the outcomes, a line each."""
    names: dict[Outcome, str] = {o: _name(o, marks=marks) for o in MEANINGS}
    width = max(map(len, names.values()))
    lines = [
        Text.assemble((name, STYLES[o]), " " * (width - len(name)), f"  {MEANINGS[o]}")
        for o, name in names.items()
    ]
    return Text("\n").join(lines)


def _name(outcome: Outcome, *, marks: bool) -> str:
    return outcome.join(MARKS[outcome]) if marks else outcome
