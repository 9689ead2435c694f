"""Writing one profile: what happens within the transaction."""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from persona_judge_llm import changes
from persona_judge_llm.changes import Change
from persona_judge_llm.preferences import Profile
from persona_judge_profiles import at_once, past, rows
from persona_judge_profiles.at_once import Prepared
from persona_judge_profiles.driver import is_direct
from persona_judge_profiles.rows import Stamp, Stamped
from persona_judge_profiles.statements import run

T = TypeVar("T")
Changing: TypeAlias = Callable[[Profile | None], Change]


class OvertakenError(Exception):
    """Another writer came between the read and the write; nothing was written."""


def look(
    connection: Connection,
    tenant: str,
    user_id: str,
    change: Changing,
    expected_version: int | None,
    actor: str | None,
) -> Prepared | None:
    """Read the profile and return a change of it that one statement can do; None: `write` it.

    Whoever listens to the engine sees the transaction of `write`.

    Raises:
        UnknownUserError, ProfileConflictError: as `write` does.
    """
    if not is_direct(connection):
        return None
    found = rows.read(connection, tenant, user_id)
    made = changes.applied(change, user_id, found.profile if found else None, expected_version)
    return at_once.prepare(found, made, actor)


def write(
    connection: Connection,
    tenant: str,
    user_id: str,
    change: Changing | None,
    expected_version: int | None,
    actor: str | None,
) -> Stamped:
    """Read the profile, change it and store it one version on; without a change, undo.

    Raises:
        UnknownUserError: from the change, which knows whether it needs a profile.
        ProfileConflictError: it is not at the expected version.
        OvertakenError: to be tried again.
    """
    found = rows.read_locked(connection, tenant, user_id)
    profile, key = (found.profile, found.key) if found else (None, 0)
    change = change or (
        lambda found: past.step_back(connection, key, changes.known(user_id, found))
    )
    made = changes.applied(change, user_id, profile, expected_version)
    return store(connection, tenant, found, made, actor)


def store(
    connection: Connection,
    tenant: str,
    found: Stamped | None,
    made: Change,
    actor: str | None,
) -> Stamped:
    """Store a changed profile, whose row is locked if there is one."""
    made = changes.moved_on(made, found.profile if found else None)
    stored = made.profile
    steps = []
    if found is None:
        try:
            key, incarnation = rows.insert_profile(connection, tenant, stored)
        except IntegrityError:
            raise OvertakenError from None
        old = Profile(stored.user_id)
    else:
        key, incarnation, old = found.key, found.stamp.incarnation, found.profile
        steps = [rows.moved(key, found.stamp.version, stored)]
    steps += rows.changed_preferences(key, old, stored)
    steps += past.noted(key, made, found.profile if found else None, actor)
    done = run(connection, *steps)
    if found is not None and done[0].changed != 1:
        raise OvertakenError
    return Stamped(stored, Stamp(incarnation, stored.version), key)
