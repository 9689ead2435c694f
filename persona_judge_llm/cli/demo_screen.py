"""What the demonstration looks like; made for 80 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from persona_judge_llm.cli.answers import rate
from persona_judge_llm.cli.demo_frameworks import Framework
from persona_judge_llm.cli.screen import coloured, plain
from persona_judge_llm.cli.splits import split_line
from persona_judge_llm.cli.tokens import explanation, token_line
from persona_judge_llm.preferences import Preference
from persona_judge_llm.trace import Generation


def show_opening(
    console: Console, model: str, users: Mapping[str, Sequence[Preference]], missing: str | None
) -> None:
    """Show who the users are."""
    where = "in a SQLite database" if missing is None else "in memory"
    console.print(
        Panel(
            plain(
                f"One small model ({model}), three users, the same questions. What each user "
                f"likes is stored {where}; the model answers each in their own taste."
            ),
            title="Persona-judge",
        )
    )
    table = Table("user", "likes", box=SIMPLE, pad_edge=False, show_edge=False)
    for user, preferences in users.items():
        texts = "; ".join(p.text for p in preferences)
        table.add_row(plain(user, "bold"), plain(texts or "no profile", "" if texts else "dim"))
    console.print(Padding(table, (0, 2)))
    if missing:
        _show_skipped(console, "SQLite store", missing)
    _show_section(
        console,
        1,
        "The engine",
        "A user's preferences are split into two sides, A and B. One side drafts tokens, the "
        "other judges them, and they take turns, so the text follows both.",
    )


def show_question(console: Console, question: str) -> None:
    """Show the question that all users ask."""
    console.print()
    console.print(plain(f'"{question}"', "bold italic"))


def show_answer(console: Console, user: str, answer: Generation) -> None:
    """Show one answer of the engine: its tokens, the split and how much was accepted."""
    console.print(
        Panel(
            token_line(answer.trace, marks=not coloured(console)),
            title=Text.assemble((user, "bold"), "  ", split_line(answer.split)),
            title_align="left",
            subtitle=rate(answer),
            subtitle_align="right",
            border_style="dim",
        )
    )


def show_legend(console: Console) -> None:
    """Show what the colours and marks mean."""
    console.print(Padding(explanation(marks=not coloured(console)), (1, 2, 0, 2)))


def show_framework(console: Console, number: int, framework: Framework, outcome: Any) -> None:  # noqa: ANN401
    """Show the answers through a framework, a table a question."""
    _show_section(
        console,
        number,
        framework.name,
        f"The same engine as a {framework.name} LLM; a bound copy names the user once.",
    )
    if isinstance(outcome, dict):
        _show_skipped(console, framework.name, outcome["skipped"])
        return
    console.print(Padding(plain(framework.code, "cyan"), (1, 4, 0, 4)))
    for question in dict.fromkeys(row["question"] for row in outcome):
        show_question(console, question)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
        table.add_column()
        table.add_column(overflow="fold")
        for row in outcome:
            if row["question"] == question:
                table.add_row(plain(row["user"], "bold"), plain(row["text"].strip()))
        console.print(table)


def show_closing(console: Console) -> None:
    """Show what to try next."""
    console.print()
    console.print(Rule(Text("Try it", "bold"), style="dim", align="left"))
    lines = (
        'persona-judge profile add me "Be concise"',
        'persona-judge generate "How do I cook pancakes?" --user me --trace',
        "persona-judge chat --user me",
    )
    console.print(Padding(plain("\n".join(lines), "cyan"), (0, 2)))


def _show_section(console: Console, number: int, title: str, sentence: str) -> None:
    console.print()
    console.print(Rule(Text(f"{number}  {title}", "bold"), style="dim", align="left"))
    console.print(plain(sentence))


def _show_skipped(console: Console, what: str, reason: str) -> None:
    console.print(Padding(plain(f"{what} skipped: {reason}", "yellow"), (0, 2)))
