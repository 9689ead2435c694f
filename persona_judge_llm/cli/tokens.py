"""The line of tokens: the answer, with what happened to each token to be seen.

In colour on a terminal. Recovered and bonus tokens also carry brackets, so that the line can be
read without colours: in a file, with NO_COLOR, by people who cannot tell the colours apart.
"""

from collections import Counter

from rich.text import Text

from persona_judge_llm.cli.screen import plain
from persona_judge_llm.trace import Outcome, TokenTrace, outcomes

STYLES: dict[Outcome, str] = {
    "accepted": "green",
    "recovered": "bold yellow",
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


def token_line(trace: tuple[TokenTrace, ...], *, marks: bool = True) -> Text:
    """Return the answer with each token in the colour, and between the marks, of its outcome."""
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


def legend(trace: tuple[TokenTrace, ...]) -> Text:
    """Return one line that names the outcomes that occur, each as it is shown, with its count."""
    counts = Counter(token.outcome for token in trace)
    parts = [
        plain(f"{MARKS[o][0]}{o}{MARKS[o][1]} {counts[o]}", STYLES[o]) for o in STYLES if counts[o]
    ]
    return plain("   ").join(parts)


def explanation(*kinds: Outcome) -> Text:
    """Return the meaning of the outcomes, a line each."""
    names: dict[Outcome, str] = {o: f"{MARKS[o][0]}{o}{MARKS[o][1]}" for o in kinds}
    width = max(map(len, names.values()))
    lines = [
        Text.assemble((name, STYLES[o]), " " * (width - len(name)), f"  {MEANINGS[o]}")
        for o, name in names.items()
    ]
    return Text("\n").join(lines)
