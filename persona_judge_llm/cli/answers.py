"""A whole answer: as JSON, and what stands below its text when a trace is asked for."""

import dataclasses
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel

from persona_judge_llm.cli.screen import coloured, plain
from persona_judge_llm.cli.splits import split_table, split_values
from persona_judge_llm.cli.tokens import legend, token_line
from persona_judge_llm.trace import Generation


def answer_values(answer: Generation) -> dict[str, Any]:
    """Return the answer for JSON."""
    return {
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "stop_sequence": answer.stop_sequence,
        "acceptance_rate": answer.acceptance_rate,
        "split": split_values(answer.split),
        "profile_version": answer.profile_version,
        "seed": answer.seed,
        "fingerprint": answer.fingerprint,
        "usage": {**dataclasses.asdict(answer.usage), "total_tokens": answer.usage.total_tokens},
        "trace": [dataclasses.asdict(token) for token in answer.trace],
    }


def rate(answer: Generation) -> str:
    """Return the acceptance rate in words."""
    if answer.acceptance_rate is None:
        return "nothing to judge"
    return f"{answer.acceptance_rate:.0%} accepted"


def show_trace(console: Console, answer: Generation) -> None:
    """Show the split, the line of tokens and the figures of an answer."""
    usage = answer.usage
    figures = (
        f"{usage.completion_tokens} tokens in {usage.forward_passes} passes, "
        f"seed {answer.seed}, ended by {answer.finish_reason}"
    )
    console.print()
    console.print(Panel(split_table(answer.split), title="split", title_align="left"))
    marks = not coloured(console)
    line = token_line(answer.trace, marks=marks)
    body = Group(line, plain(""), legend(answer.trace, marks=marks))
    console.print(Panel(body, title=f"tokens: {rate(answer)}", title_align="left"))
    console.print(plain(figures, "dim"))
