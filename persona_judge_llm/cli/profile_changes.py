"""`persona-judge profile`: changing and removing what is stored."""

from datetime import datetime
from typing import Annotated, Any

import typer

from persona_judge_llm.cli import options, profile_options
from persona_judge_llm.cli.opening import opened_store
from persona_judge_llm.cli.profile_views import tell_written
from persona_judge_llm.cli.screen import line, write_json

app = typer.Typer()


@app.command(
    epilog=options.example(
        "profile edit ana p1 --weight 2 --scope work", "profile edit ana p1 --inactive --no-expiry"
    )
)
def edit(  # noqa: PLR0913 - every option is an argument
    user: profile_options.UserId,
    preference_id: profile_options.PreferenceId,
    *,
    text: Annotated[
        str | None, typer.Option("--text", help="What they like, in their own words.")
    ] = None,
    weight: Annotated[float | None, profile_options.WEIGHT] = None,
    kind: Annotated[profile_options.Kind | None, profile_options.KIND] = None,
    dimension: Annotated[str | None, profile_options.DIMENSION] = None,
    no_dimension: Annotated[
        bool, typer.Option("--no-dimension", help="Take the label away.")
    ] = False,
    scope: Annotated[str | None, profile_options.SCOPE] = None,
    no_scope: Annotated[
        bool, typer.Option("--no-scope", help="Let it count in all calls.")
    ] = False,
    expires: Annotated[datetime | None, profile_options.EXPIRES] = None,
    no_expiry: Annotated[bool, typer.Option("--no-expiry", help="Let it count for good.")] = False,
    active: Annotated[
        bool | None,
        typer.Option("--active/--inactive", help="Let it count, or rest without being removed."),
    ] = None,
    actor: profile_options.Actor = None,
    expected_version: profile_options.ExpectedVersion = None,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """Change fields of one preference; the others stay as they are."""
    wanted = {
        "text": text,
        "weight": weight,
        "kind": kind,
        "dimension": dimension,
        "scope": scope,
        "expires_at": expires,
        "active": active,
    }
    fields: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    # Taken away by a flag, not by an empty text: a script's empty variable is no such wish.
    for name, cleared in (
        ("dimension", no_dimension),
        ("scope", no_scope),
        ("expires_at", no_expiry),
    ):
        if cleared and name in fields:
            raise typer.BadParameter("an option and its --no- form contradict each other")
        if cleared:
            fields[name] = None
    if not fields:
        raise typer.BadParameter("say what to change, such as --weight 2")
    with opened_store(store) as profiles:
        profile = profiles.update(
            user, preference_id, expected_version=expected_version, actor=actor, **fields
        )
    tell_written(profile, f"{preference_id} changed", json=json)


@app.command(epilog=options.example("profile reorder ana p2 p1"))
def reorder(
    user: profile_options.UserId,
    preference_ids: Annotated[
        list[str], typer.Argument(metavar="PREF_ID...", help="All of the user's, each once.")
    ],
    *,
    actor: profile_options.Actor = None,
    expected_version: profile_options.ExpectedVersion = None,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """Bring a user's preferences into another order."""
    with opened_store(store) as profiles:
        profile = profiles.reorder(user, preference_ids, expected_version, actor=actor)
    tell_written(profile, "reordered", json=json)


@app.command(epilog=options.example("profile remove ana p1", "profile remove ana --all"))
def remove(
    user: profile_options.UserId,
    preference_id: Annotated[
        str | None, typer.Argument(metavar="PREF_ID", help="As `profile list USER` shows it.")
    ] = None,
    *,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Erase the user: profile, history and ratings, for good."),
    ] = False,
    actor: profile_options.Actor = None,
    expected_version: profile_options.ExpectedVersion = None,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """Remove one preference, or erase a user."""
    if (preference_id is None) != everything:
        raise typer.BadParameter("give a preference id or --all")
    if everything and (actor is not None or expected_version is not None):
        raise typer.BadParameter("--all leaves nothing behind: no --actor, no --expected-version")
    with opened_store(store) as profiles:
        if preference_id is not None:
            profile = profiles.remove(user, preference_id, expected_version, actor=actor)
            tell_written(profile, f"{preference_id} removed", json=json)
            return
        profiles.erase(user)
    if json:
        write_json({"user_id": user, "erased": True})
    else:
        typer.echo(line(f"{user}: erased"))
