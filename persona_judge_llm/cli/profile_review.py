"""`persona-judge profile`: judging what was inferred, and taking writes back."""

import typer

from persona_judge_llm.cli import options, profile_options
from persona_judge_llm.cli.opening import opened_store
from persona_judge_llm.cli.profile_views import tell_written

app = typer.Typer()


@app.command(epilog=options.example("profile confirm ana p2"))
def confirm(
    user: profile_options.UserId,
    preference_id: profile_options.PreferenceId,
    *,
    actor: profile_options.Actor = None,
    expected_version: profile_options.ExpectedVersion = None,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """Let an inferred preference count."""
    with opened_store(store) as profiles:
        profile = profiles.confirm(user, preference_id, expected_version, actor=actor)
    tell_written(profile, f"{preference_id} confirmed", json=json)


@app.command(epilog=options.example("profile reject ana p2"))
def reject(
    user: profile_options.UserId,
    preference_id: profile_options.PreferenceId,
    *,
    actor: profile_options.Actor = None,
    expected_version: profile_options.ExpectedVersion = None,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """Remove an inferred preference that nobody confirmed."""
    with opened_store(store) as profiles:
        profile = profiles.reject(user, preference_id, expected_version, actor=actor)
    tell_written(profile, f"{preference_id} rejected", json=json)


@app.command(epilog=options.example("profile undo ana"))
def undo(
    user: profile_options.UserId,
    *,
    actor: profile_options.Actor = None,
    expected_version: profile_options.ExpectedVersion = None,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """Take the latest write back; once more: the one before it.

    That is a write itself, with a version of its own.
    """
    with opened_store(store) as profiles:
        profile = profiles.undo(user, expected_version, actor=actor)
        written = {event.version: event for event in profiles.history(user)}
    undone = written.get(written[profile.version].undoes or 0)
    what = "" if undone is None else f" of version {undone.version}: {undone.action}"
    if undone is not None and undone.preference_id is not None:
        what += f" {undone.preference_id}"
    tell_written(profile, f"undo{what}", json=json)
