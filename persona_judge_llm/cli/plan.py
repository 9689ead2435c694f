"""`persona-judge plan`: what an answer would be made from, without making one."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel

from persona_judge_llm.cli import options
from persona_judge_llm.cli.generate import prompt_or_stdin
from persona_judge_llm.cli.opening import opened_engine_for
from persona_judge_llm.cli.screen import plain, stdout, write_json
from persona_judge_llm.cli.splits import split_table, split_values

if TYPE_CHECKING:
    from persona_judge_llm.planning import PreparedCall


def plan(
    question: Annotated[
        str | None, typer.Argument(help="The question; read from stdin without it.")
    ] = None,
    *,
    user: options.User = None,
    prefer: options.Prefer = None,
    scope: options.Scope = None,
    json: options.Json = False,
    max_new_tokens: options.MaxNewTokens = None,
    rule: options.Rule = None,
    strength: options.Strength = None,
    placement: options.Placement = None,
    model: options.Model = None,
    store: options.Store = None,
) -> None:
    """Show the split and both prompts of a question; nothing is generated."""
    options.check_who(user, prefer)
    prompt = prompt_or_stdin(question)
    params = options.sampling(None, None, None, max_new_tokens, None, None)
    with opened_engine_for(user, model, store) as engine:
        planned = engine.plan(
            prompt,
            user_id=user,
            preferences=prefer or None,
            params=params,
            rule=rule,
            strength=strength,
            placement=placement,
            scope=scope,
        )
    if json:
        write_json(plan_values(planned))
    else:
        show_plan(stdout(), planned)


def plan_values(planned: "PreparedCall") -> dict[str, Any]:
    """Return the plan for JSON."""
    ids_b = planned.prompt_ids_b
    return {
        "split": split_values(planned.split),
        "rule": planned.rule,
        "turns": list(planned.turns),
        "prompt_tokens": planned.prompt_tokens,
        "prompt_a": planned.prompt_a,
        "prompt_tokens_a": len(planned.prompt_ids_a),
        "prompt_b": planned.prompt_b,
        "prompt_tokens_b": None if ids_b is None else len(ids_b),
        "max_new_tokens": planned.params.max_new_tokens,
        "profile_version": planned.profile_version,
    }


def show_plan(console: Console, planned: "PreparedCall") -> None:
    """Show the plan on a terminal."""
    console.print(Panel(split_table(planned.split), title="split", title_align="left"))
    if planned.prompt_b is None or planned.prompt_ids_b is None:
        _show_prompt(console, "prompt (one for both sides)", planned.prompt_a, planned.prompt_ids_a)
    else:
        _show_prompt(console, "prompt of A", planned.prompt_a, planned.prompt_ids_a)
        _show_prompt(console, "prompt of B", planned.prompt_b, planned.prompt_ids_b)
    rest = f"{planned.prompt_tokens} tokens without preferences, rule {planned.rule}"
    console.print(plain(rest, "dim"))


def _show_prompt(console: Console, title: str, text: str, ids: tuple[int, ...]) -> None:
    title = f"{title}, {len(ids)} tokens"
    console.print(Panel(plain(text.rstrip("\n")), title=title, title_align="left"))
