"""`persona-judge db`: the tables that profiles are kept in."""

import typer

from persona_judge_llm.cli import options
from persona_judge_llm.cli.opening import opened_store

app = typer.Typer(no_args_is_help=True)

_SERVER = "--store postgresql://me@host/profiles"


@app.command(epilog=options.example(f"db upgrade {_SERVER}"))
def upgrade(*, store: options.Store = None) -> None:
    """Create the tables, or bring them to this version and keep what they hold.

    A server's database needs this once, and after updates of this package.
    A SQLite file gets its tables by itself and needs this after updates only.
    """
    with opened_store(store) as profiles:
        profiles.upgrade()
    typer.echo("upgraded: the tables are those of this version")


@app.command(epilog=options.example(f"db check {_SERVER}"))
def check(*, store: options.Store = None) -> None:
    """Exit with 1 unless the database answers and its tables are those of this version."""
    with opened_store(store) as profiles:
        profiles.check()
    typer.echo("checked: the tables are those of this version")


@app.command(epilog=options.example(f"db stamp {_SERVER}"))
def stamp(*, store: options.Store = None) -> None:
    """Record that the tables are those of this version, without looking at them.

    For tables that something else made, such as migrations of your own.
    """
    with opened_store(store) as profiles:
        profiles.stamp()
    typer.echo("stamped: the tables are recorded as those of this version")
