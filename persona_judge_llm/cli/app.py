"""The command with all its subcommands."""

from typing import Annotated

import typer

from persona_judge_llm import __version__
from persona_judge_llm.cli import chat, db, demo, diagnose, evaluate, generate, model, plan, profile
from persona_judge_llm.cli.failures import OneLineErrors
from persona_judge_llm.cli.options import example

app = typer.Typer(
    name="persona-judge",
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=example(
        "demo", 'profile add ana "Be concise"', 'generate "How do I cook pancakes?" --user ana'
    ),
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"persona-judge {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Answers in each user's own taste, from a local language model."""


app.command(epilog=example("demo", "demo --json"))(demo.demo)
app.command(epilog=example("chat --user ana", 'chat --prefer "Be concise"'))(chat.chat)
app.command(
    epilog=example(
        'generate "How do I cook pancakes?" --user ana --trace', "generate < question.txt"
    )
)(generate.generate)
app.command(epilog=example('plan "How do I cook pancakes?" --user ana'))(plan.plan)
app.command(epilog=example('diagnose "How do I cook pancakes?" --user ana'))(diagnose.diagnose)
app.add_typer(
    profile.app,
    name="profile",
    help="Who likes what: add, list, change, undo, import and export preferences.",
    epilog=example("profile list"),
)
app.add_typer(
    db.app,
    name="db",
    help="Make, upgrade and check the tables of a database of profiles.",
    epilog=example("db upgrade --store postgresql://me@host/profiles"),
)
app.add_typer(
    model.app, name="model", help="See what a model is like.", epilog=example("model info")
)
app.add_typer(
    evaluate.app,
    name="eval",
    help="Compare ways to answer by the paper's protocol: generate, score, judge, report.",
    epilog=example("eval generate --prompts prompts.txt --out runs/mine"),
)
