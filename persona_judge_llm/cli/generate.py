"""`persona-judge generate`: one answer."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from persona_judge_llm.cli import options
from persona_judge_llm.cli.answers import answer_values, show_trace
from persona_judge_llm.cli.files import reading, told
from persona_judge_llm.cli.opening import opened_engine_for
from persona_judge_llm.cli.screen import stdout, visible, write_json
from persona_judge_llm.errors import InvalidParameterError

if TYPE_CHECKING:
    from persona_judge_llm.constraints import Constraint


def generate(  # noqa: PLR0913 - every option is an argument
    prompt: Annotated[
        str | None, typer.Argument(help="The question; read from stdin without it.")
    ] = None,
    *,
    user: options.User = None,
    prefer: options.Prefer = None,
    scope: options.Scope = None,
    trace: options.Trace = False,
    as_json: options.Json = False,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    max_new_tokens: options.MaxNewTokens = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    rule: options.Rule = None,
    strength: options.Strength = None,
    num_draft_tokens: options.NumDraftTokens = None,
    placement: options.Placement = None,
    schema: options.Schema = None,
    model: options.Model = None,
    store: options.Store = None,
) -> None:
    """Answer one question in a user's taste."""
    options.check_who(user, prefer)
    question = prompt_or_stdin(prompt)
    constraint = None if schema is None else constraint_from(schema)
    params = options.sampling(temperature, top_k, top_p, max_new_tokens, seed, stop)
    answer = None
    with opened_engine_for(user, model, store) as engine:
        for chunk in engine.stream(
            question,
            user_id=user,
            preferences=prefer or None,
            params=params,
            rule=rule,
            strength=strength,
            num_draft_tokens=num_draft_tokens,
            placement=placement,
            scope=scope,
            constraint=constraint,
        ):
            if not as_json:
                typer.echo(visible(chunk.text), nl=False)
            answer = chunk.generation
    if answer is None:
        raise AssertionError("the last chunk carries the answer")
    if as_json:
        write_json(answer_values(answer))
        return
    typer.echo()
    if trace:
        show_trace(stdout(), answer)


def constraint_from(name: str) -> "Constraint":
    """Return what a file with a JSON Schema holds answers to."""
    from persona_judge_llm.constraints import Constraint

    with told(name, "a file with a JSON Schema"), reading(name) as file:
        text = file.read()
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise InvalidParameterError("--schema", name, f"a file with JSON ({error})") from error
    return Constraint.json_schema(schema)


def prompt_or_stdin(prompt: str | None) -> str:
    """Return the argument, or what is piped in."""
    if prompt is not None:
        return prompt
    if sys.stdin.isatty():
        raise typer.BadParameter("give a question, or pipe one in")
    return sys.stdin.read().rstrip("\n")
