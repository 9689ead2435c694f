"""Writing one profile: what happens within the transaction."""

import dataclasses
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from persona_judge_llm import changes
from persona_judge_llm.changes import Change
from persona_judge_llm.preferences import Profile
from persona_judge_profiles import past, rows
from persona_judge_profiles.rows import Stamp, Stamped

T = TypeVar("T")
Changing: TypeAlias = Callable[[Profile | None], Change]


class OvertakenError(Exception):
    """Another writer came between the read and the write; nothing was written."""


def is_deadlock(error: DBAPIError) -> bool:
    """Tell whether the server ended this transaction, so that another one could go on."""
    return getattr(error.orig, "sqlstate", None) in ("40P01", "40001")


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
    key = rows.lock(connection, tenant, user_id)
    found = None if key is None else rows.read(connection, tenant, user_id)
    profile = found.profile if found else None
    change = change or (
        lambda found: past.step_back(connection, key or 0, changes.known(user_id, found))
    )
    made = changes.applied(change, user_id, profile, expected_version)
    return store(connection, tenant, key, found, made, actor)


def store(
    connection: Connection,
    tenant: str,
    key: int | None,
    found: Stamped | None,
    made: Change,
    actor: str | None,
) -> Stamped:
    """Store a changed profile, whose row is locked if there is one."""
    version = found.stamp.version if found else 0
    stored = dataclasses.replace(made.profile, version=version + 1)
    made = dataclasses.replace(made, profile=stored)
    if key is None or found is None:
        try:
            key, incarnation = rows.insert_profile(connection, tenant, stored)
        except IntegrityError:
            raise OvertakenError from None
        before = Profile(stored.user_id)
    else:
        if not rows.update_profile(connection, key, version, stored):
            raise OvertakenError
        incarnation, before = found.stamp.incarnation, found.profile
    rows.replace_preferences(connection, key, before, stored)
    past.add_event(connection, key, made, found.profile if found else None, actor)
    return Stamped(stored, Stamp(incarnation, stored.version))
