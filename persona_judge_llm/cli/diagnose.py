"""`persona-judge diagnose`: how far the sides agree on a question, and which rule fits."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from persona_judge_llm.cli import options
from persona_judge_llm.cli.generate import prompt_or_stdin
from persona_judge_llm.cli.opening import opened_engine_for
from persona_judge_llm.cli.screen import coloured, plain, stdout, write_json

if TYPE_CHECKING:
    from persona_judge_llm.diagnosing import Diagnosis

_DIFFERING = 0.5
_SHADES = ((0.1, "green"), (_DIFFERING, "yellow"), (2.0, "red"))
_MOST_VETOES = 8


def diagnose(  # noqa: PLR0913 - every option is an argument
    question: Annotated[
        str | None, typer.Argument(help="The question; read from stdin without it.")
    ] = None,
    *,
    user: options.User = None,
    prefer: options.Prefer = None,
    scope: options.Scope = None,
    json: options.Json = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page that shows each token."),
    ] = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    max_new_tokens: options.MaxNewTokens = None,
    seed: options.Seed = None,
    placement: options.Placement = None,
    model: options.Model = None,
    store: options.Store = None,
) -> None:
    """Answer a question, and show how far sides A and B agree and which rule fits."""
    options.check_who(user, prefer)
    prompt = prompt_or_stdin(question)
    params = options.sampling(temperature, top_k, top_p, max_new_tokens, seed, None)
    with opened_engine_for(user, model, store) as engine:
        found = engine.diagnose(
            prompt,
            user_id=user,
            preferences=prefer or None,
            params=params,
            placement=placement,
            scope=scope,
        )
    if html is not None:
        html.write_text(found.to_html(), encoding="utf-8")
    if json:
        write_json(diagnosis_values(found))
    else:
        show_diagnosis(stdout(), found)


def diagnosis_values(found: "Diagnosis") -> dict[str, Any]:
    """Return a diagnosis for JSON."""
    return {
        "rule": found.rule,
        "reason": found.reason,
        "acceptance_rate": found.acceptance_rate,
        "total_variation": found.total_variation,
        "text": found.generation.text,
        "seed": found.generation.seed,
        "tokens": [
            {
                "text": each.token.text,
                "outcome": each.token.outcome,
                "total_variation": each.total_variation,
                "favourites": {"A": each.favourites[0], "B": each.favourites[1]},
                "vetoed": [{"by": side, "text": text} for side, text in each.vetoed],
            }
            for each in found.tokens
        ],
    }


def show_diagnosis(console: Console, found: "Diagnosis") -> None:
    """Show a diagnosis on a terminal: a coloured line, what was vetoed, the rule."""
    marks = not coloured(console)
    line = Text()
    for each in found.tokens:
        shade = next(style for limit, style in _SHADES if each.total_variation <= limit)
        differs = marks and each.total_variation > _DIFFERING and each.token.text.strip()
        line.append(plain(f"[{each.token.text}]" if differs else each.token.text, shade))
    if not found.tokens:
        line.append(plain(found.generation.text))
    if marks:
        meaning = plain(f"[...]: total variation above {_DIFFERING}", "dim")
    else:
        meaning = plain("   ").join(
            [plain("agree", "green"), plain("differ", "yellow"), plain("disagree", "red")]
        )
    distance = found.total_variation
    title = "one prompt only" if distance is None else f"total variation {distance:.2f}"
    if found.acceptance_rate is not None:
        title += f", {found.acceptance_rate:.0%} accepted"
    console.print(Panel(Group(line, plain(""), meaning), title=title, title_align="left"))
    for side in ("A", "B"):
        vetoed = [t.strip() for each in found.tokens for by, t in each.vetoed if by == side]
        words = [word for word in dict.fromkeys(vetoed) if word]
        if words:
            rest = len(words) - _MOST_VETOES
            more = f" and {rest} more" if rest > 0 else ""
            console.print(plain(f"{side} would veto: {', '.join(words[:_MOST_VETOES])}{more}"))
    console.print(plain(f"Rule that fits: {found.rule} ({found.reason})", "bold"))
