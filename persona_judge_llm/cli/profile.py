"""`persona-judge profile`: who likes what; reading and adding."""

import shlex
from datetime import datetime
from typing import Annotated

import typer

from persona_judge_llm.cli import (
    options,
    profile_changes,
    profile_files,
    profile_options,
    profile_review,
)
from persona_judge_llm.cli.opening import opened_store
from persona_judge_llm.cli.profile_views import (
    event_line,
    history_values,
    preference_line,
    preference_table,
    profile_values,
    rating_line,
    rating_table,
    summary_values,
    tell_written,
)
from persona_judge_llm.cli.screen import line, plain, stdout, write_json
from persona_judge_llm.preferences import Preference

app = typer.Typer(no_args_is_help=True)
for part in (profile_changes, profile_review, profile_files):
    app.add_typer(part.app)


@app.command(
    epilog=options.example(
        'profile add ana "Be concise" --weight 2',
        'profile add ana "Answer formally" --scope work --expires 30d',
    )
)
def add(
    user: profile_options.UserId,
    text: Annotated[str, typer.Argument(help="What they like, in their own words.")],
    *,
    weight: Annotated[float, profile_options.WEIGHT] = 1.0,
    kind: Annotated[profile_options.Kind, profile_options.KIND] = "prefer",
    dimension: Annotated[str | None, profile_options.DIMENSION] = None,
    scope: Annotated[str | None, profile_options.SCOPE] = None,
    expires: Annotated[datetime | None, profile_options.EXPIRES] = None,
    inferred: Annotated[
        bool,
        typer.Option("--inferred", help="A guess: counts only after `profile confirm USER ID`."),
    ] = False,
    actor: profile_options.Actor = None,
    expected_version: profile_options.ExpectedVersion = None,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """Add a preference to a user's profile; makes the profile if there is none."""
    preference = Preference(
        text,
        weight=weight,
        kind=kind,
        dimension=dimension,
        scope=scope,
        expires_at=expires,
        source="inferred" if inferred else "user",
    )
    with opened_store(store) as profiles:
        profile = profiles.add(user, preference, expected_version, actor=actor)
    added = profile.preferences[-1]
    tell_written(profile, f"{added.id} added", json=json)
    if added.pending:
        words = f"{shlex.quote(user)} {shlex.quote(added.id or '')}"
        typer.echo(line(f"to let it count: persona-judge profile confirm {words}"), err=True)


@app.command("list", epilog=options.example("profile list", "profile list ana"))
def list_(
    user: Annotated[
        str | None, typer.Argument(metavar="USER", help="Whose preferences; else all users.")
    ] = None,
    *,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """List all users, or the preferences of one."""
    with opened_store(store) as profiles:
        users = list(profiles.list_users()) if user is None else []
        profile = None if user is None else profiles.get(user)
    if json:
        write_json(users if profile is None else profile_values(profile))
        return
    lines = map(line, users) if profile is None else map(preference_line, profile.preferences)
    for shown in lines:
        typer.echo(shown)
    if not (users if profile is None else profile.preferences):
        hint = "no users yet" if profile is None else "no preferences"
        typer.echo(f'{hint}; add one: persona-judge profile add USER "Be concise"', err=True)


@app.command(epilog=options.example("profile show ana"))
def show(
    user: profile_options.UserId, *, json: options.Json = False, store: options.Store = None
) -> None:
    """Show a user's profile and its history."""
    with opened_store(store) as profiles:
        profile = profiles.get(user)
        history = profiles.history(user)
    if json:
        write_json({**profile_values(profile), "history": history_values(history)})
        return
    console = stdout()
    console.print(plain(line(f"{user}, version {profile.version}"), "bold"))
    if profile.preferences:
        console.print(preference_table(profile.preferences))
    for event in history:
        console.print(plain(event_line(event), "dim"))


@app.command(epilog=options.example("profile history ana", "profile history ana --json"))
def history(
    user: profile_options.UserId, *, json: options.Json = False, store: options.Store = None
) -> None:
    """List the writes to a user's profile, oldest first: what, when and by whom."""
    with opened_store(store) as profiles:
        found = profiles.history(user)
    if json:
        write_json(history_values(found))
        return
    for event in found:
        typer.echo(event_line(event))


@app.command(epilog=options.example("profile summary ana"))
def summary(
    user: profile_options.UserId, *, json: options.Json = False, store: options.Store = None
) -> None:
    """Show how a user rated answers, and which preferences took part in them."""
    with opened_store(store) as profiles:
        profile = profiles.get(user)
        found = profiles.summary(user)
    if json:
        write_json(summary_values(user, found))
        return
    typer.echo(rating_line(user, found))
    if found.by_preference:
        stdout().print(rating_table(profile, found))
