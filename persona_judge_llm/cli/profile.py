"""`persona-judge profile`: who likes what."""

import dataclasses
from typing import Annotated, Any, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from persona_judge_llm.cli import options
from persona_judge_llm.cli.opening import opened_store
from persona_judge_llm.cli.screen import plain, stdout, visible, write_json
from persona_judge_llm.cli.splits import preference_values
from persona_judge_llm.preferences import Preference, Profile

app = typer.Typer(no_args_is_help=True)

_UserId = Annotated[str, typer.Argument(metavar="USER", help="Any id that you use for them.")]


@app.command(epilog=options.example('profile add ana "Be concise" --weight 2'))
def add(
    user: _UserId,
    text: Annotated[str, typer.Argument(help="What they like, in their own words.")],
    *,
    weight: Annotated[float, typer.Option(help="How much it matters beside the others.")] = 1.0,
    kind: Annotated[
        Literal["must", "prefer"],
        typer.Option(help="must: holds for every token; prefer: one side asks for it."),
    ] = "prefer",
    dimension: Annotated[str | None, typer.Option(help='A label, such as "tone".')] = None,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """Add a preference to a user's profile; makes the profile if there is none."""
    preference = Preference(text, weight=weight, kind=kind, dimension=dimension)
    with opened_store(store) as profiles:
        profile = profiles.add(user, preference)
    if json:
        write_json(profile_values(profile))
        return
    added = profile.preferences[-1]
    typer.echo(visible(f"{user}: {added.id} added, version {profile.version}"))


@app.command("list", epilog=options.example("profile list", "profile list ana"))
def list_(
    user: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="Whose preferences; else all users.")
    ] = None,
    *,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """List all users, or the preferences of one."""
    with opened_store(store) as profiles:
        lines = list(profiles.list_users()) if user is None else None
        profile = None if user is None else profiles.get(user)
    if json:
        write_json(lines if profile is None else profile_values(profile))
        return
    if profile is not None:
        lines = [f"{p.id}  {p.text}" for p in profile.preferences]
    for line in lines or ():
        typer.echo(visible(line))
    if not lines:
        hint = "no users yet" if profile is None else "no preferences"
        typer.echo(f'{hint}; add one: persona-judge profile add USER "Be concise"', err=True)


@app.command(epilog=options.example("profile show ana"))
def show(user: _UserId, *, json: options.Json = False, store: options.Store = None) -> None:
    """Show a user's profile and its history."""
    with opened_store(store) as profiles:
        profile = profiles.get(user)
        history = profiles.history(user)
    if json:
        events = [{**dataclasses.asdict(e), "at": e.at.isoformat()} for e in history]
        write_json({**profile_values(profile), "history": events})
        return
    console = stdout()
    console.print(plain(f"{user}, version {profile.version}", "bold"))
    table = Table("id", box=SIMPLE_HEAD, expand=True)
    table.add_column("preference", ratio=1)
    for name in ("weight", "kind", "dimension", "active"):
        table.add_column(name)
    for p in profile.preferences:
        cells = (p.id or "", p.text, f"{p.weight:g}", p.kind, p.dimension or "")
        table.add_row(*(plain(cell) for cell in cells), "yes" if p.active else "no")
    console.print(table)
    for e in history:
        what = f"version {e.version}  {e.at:%Y-%m-%d %H:%M}  {e.action} {e.preference_id or ''}"
        console.print(plain(what.rstrip(), "dim"))


@app.command(epilog=options.example("profile remove ana p1", "profile remove ana --all"))
def remove(
    user: _UserId,
    preference_id: Annotated[
        str | None, typer.Argument(metavar="[PREF_ID]", help="As `profile list USER` shows it.")
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Erase the user: profile and history, for good.")
    ] = False,
    store: options.Store = None,
) -> None:
    """Remove one preference, or erase a user."""
    if (preference_id is None) != everything:
        raise typer.BadParameter("give a preference id or --all")
    with opened_store(store) as profiles:
        if preference_id is None:
            profiles.erase(user)
            typer.echo(visible(f"{user}: erased"))
        else:
            profile = profiles.remove(user, preference_id)
            left = f"{user}: {preference_id} removed, version {profile.version}"
            typer.echo(visible(left))


def profile_values(profile: Profile) -> dict[str, Any]:
    """Return a profile for JSON."""
    return {
        "user_id": profile.user_id,
        "version": profile.version,
        "preferences": [preference_values(p) for p in profile.preferences],
        "settings": dict(profile.settings),
    }
