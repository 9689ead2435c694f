"""Profiles between values and rows: statements and nothing about connections."""

import dataclasses
import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    Connection,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    type_coerce,
    update,
)

from persona_judge_llm.preferences import NO_NAMES, Preference, Profile
from persona_judge_profiles.tables import EventRow, FeedbackRow, PreferenceRow, ProfileRow

# The tables, not the mapped classes: one Core statement costs a fifth of an ORM session.
profiles = cast("Table", ProfileRow.__table__)
preferences = cast("Table", PreferenceRow.__table__)
events = cast("Table", EventRow.__table__)
feedback = cast("Table", FeedbackRow.__table__)

OWNER = (profiles.c.tenant == bindparam("tenant"), profiles.c.user_id == bindparam("user"))
_NAMES = tuple(f.name for f in dataclasses.fields(Preference))
# JSON is read as text: most of it is empty, and a type of our own costs more than the query does.
_SETTINGS = type_coerce(profiles.c.settings, Text).label("settings")
_FIELDS = tuple(
    type_coerce(preferences.c.opposes, Text).label(name)
    if name == "opposes"
    else preferences.c[name]
    for name in _NAMES  # in their order, for `_preferences`
)
_STAMP = (profiles.c.incarnation, profiles.c.version)
_GET = (
    select(*_STAMP, _SETTINGS, *_FIELDS)
    .select_from(profiles.outerjoin(preferences))
    .where(*OWNER)
    .order_by(preferences.c.position)
)
_GET_STAMP = select(*_STAMP).where(*OWNER)
# Read for writing in two steps: in one join, PostgreSQL would wait for the profile's row and then
# pair its new version with the preferences from before the wait.
_LOCK = select(profiles.c.id).where(*OWNER).with_for_update()
_ONE = (preferences.c.profile_id == bindparam("owner"), preferences.c.id == bindparam("preference"))
# Made once: to build a statement costs more than to run it.
_INSERT_PROFILE = insert(profiles)
_INSERT_PREFERENCES = insert(preferences)
_MOVE = (
    update(profiles)
    .where(profiles.c.id == bindparam("key"), profiles.c.version == bindparam("found"))
    .values({name: bindparam(f"new_{name}") for name in ("version", "settings", "updated_at")})
)
_DELETE_PREFERENCE = delete(preferences).where(*_ONE)
_UPDATE_PREFERENCE = update(preferences).where(*_ONE)


class Stamp(NamedTuple):
    """Says which state of which life of a profile something is."""

    incarnation: int
    version: int


class Stamped(NamedTuple):
    """A stored profile with its stamp."""

    profile: Profile
    stamp: Stamp


def read(connection: Connection, tenant: str, user_id: str) -> Stamped | None:
    """Return the profile, by one statement, or None."""
    found = connection.execute(_GET, {"tenant": tenant, "user": user_id}).all()
    if not found:
        return None
    incarnation, version, settings = tuple(found[0])[:3]
    profile = Profile(user_id, _preferences(found), version, _json(settings))
    return Stamped(profile, Stamp(incarnation, version))


def read_stamp(connection: Connection, tenant: str, user_id: str) -> Stamp | None:
    """Return the profile's stamp or None."""
    found = connection.execute(_GET_STAMP, {"tenant": tenant, "user": user_id}).one_or_none()
    return None if found is None else Stamp(*found)


def lock(connection: Connection, tenant: str, user_id: str) -> int | None:
    """Return the key of the profile's row, kept from other writers until the transaction ends."""
    key = connection.scalar(_LOCK, {"tenant": tenant, "user": user_id})
    return None if key is None else int(key)


def users_after(connection: Connection, tenant: str, user_id: str, limit: int) -> Sequence[str]:
    """Return the next user ids of the tenant, in order."""
    page = (
        select(profiles.c.user_id)
        .where(profiles.c.tenant == tenant, profiles.c.user_id > user_id)
        .order_by(profiles.c.user_id)
        .limit(limit)
    )
    return connection.scalars(page).all()


def profiles_after(connection: Connection, tenant: str, user_id: str, limit: int) -> list[Profile]:
    """Return the next profiles of the tenant, in the order of their users; two statements."""
    users = users_after(connection, tenant, user_id, limit)
    if not users:
        return []
    statement = (
        select(profiles.c.user_id, profiles.c.version, _SETTINGS, *_FIELDS)
        .select_from(profiles.outerjoin(preferences))
        .where(profiles.c.tenant == tenant, profiles.c.user_id.in_(users))
        .order_by(profiles.c.user_id, preferences.c.position)
    )
    grouped: dict[str, list[Sequence[Any]]] = {}
    for row in connection.execute(statement).all():
        grouped.setdefault(row[0], []).append(row)
    return [
        Profile(user, _preferences(found), found[0][1], _json(found[0][2]))
        for user, found in grouped.items()
    ]


def new_incarnation() -> int:
    """Return the mark of a profile that begins its life."""
    return secrets.randbits(63)


def profile_columns(profile: Profile, now: datetime) -> dict[str, Any]:
    """Return the columns of a profile that every write sets."""
    return {"version": profile.version, "settings": dict(profile.settings), "updated_at": now}


def insert_profile(connection: Connection, tenant: str, profile: Profile) -> tuple[int, int]:
    """Insert the profile without its preferences; return the key of its row, and the mark."""
    mark = new_incarnation()
    row = {"tenant": tenant, "user_id": profile.user_id, "incarnation": mark}
    row |= profile_columns(profile, datetime.now(timezone.utc))
    result = connection.execute(_INSERT_PROFILE, row)
    key = result.inserted_primary_key
    return (int(key[0]) if key is not None else 0), mark


def update_profile(connection: Connection, key: int, found_version: int, profile: Profile) -> bool:
    """Move the profile from `found_version` to the new one; False if it is there no longer."""
    columns = profile_columns(profile, datetime.now(timezone.utc))
    moved = {f"new_{name}": value for name, value in columns.items()}
    given = {"key": key, "found": found_version, **moved}
    return connection.execute(_MOVE, given).rowcount == 1


def replace_preferences(connection: Connection, key: int, old: Profile, new: Profile) -> None:
    """Write what differs between the preferences of `old` and `new`."""
    before = {p.id: (place, p) for place, p in enumerate(old.preferences)}
    after = {p.id: (place, p) for place, p in enumerate(new.preferences)}
    now = datetime.now(timezone.utc)
    gone = [{"owner": key, "preference": i} for i in before if i not in after]
    if gone:
        connection.execute(_DELETE_PREFERENCE, gone)
    changed = [
        {"owner": key, "preference": i} | preference_columns(*value) | {"updated_at": now}
        for i, value in after.items()
        if i in before and before[i] != value
    ]
    if changed:
        connection.execute(_UPDATE_PREFERENCE, changed)
    fresh = [preference_row(key, *value, now) for i, value in after.items() if i not in before]
    if fresh:
        connection.execute(_INSERT_PREFERENCES, fresh)


def erase(connection: Connection, tenant: str, user_id: str) -> bool:
    """Delete the profile and all that hangs on it, also where foreign keys are not enforced.

    Returns False where there is none.
    """
    key = lock(connection, tenant, user_id)
    if key is None:
        return False
    for table in (feedback, events, preferences):
        connection.execute(delete(table).where(table.c.profile_id == key))
    connection.execute(delete(profiles).where(profiles.c.id == key))
    return True


def preference_columns(place: int, preference: Preference) -> dict[str, Any]:
    """Return the columns of a preference that a write sets."""
    fields: dict[str, Any] = {name: getattr(preference, name) for name in _NAMES}
    fields["opposes"] = sorted(preference.opposes)
    fields["position"] = place
    return fields


def preference_row(key: int, place: int, preference: Preference, now: datetime) -> dict[str, Any]:
    """Return the row of a new preference."""
    columns = preference_columns(place, preference)
    return columns | {"profile_id": key, "created_at": now, "updated_at": now}


def _preferences(found: Sequence[Sequence[Any]]) -> tuple[Preference, ...]:
    # By position, behind three columns of the profile: names cost more than all of the rest.
    # A profile without preferences comes as one row whose preference columns are all NULL.
    return tuple(
        [
            Preference(
                text,
                weight=weight,
                kind=kind,
                dimension=dimension,
                active=active,
                opposes=NO_NAMES if opposes == "[]" else frozenset(json.loads(opposes)),
                expires_at=expires_at,
                source=source,
                scope=scope,
                confirmed=confirmed,
                id=name,
            )
            for (
                _,
                _,
                _,
                text,
                weight,
                kind,
                dimension,
                active,
                opposes,
                expires_at,
                source,
                scope,
                confirmed,
                name,
            ) in found
            if text is not None
        ]
    )


def _json(settings: str) -> dict[str, Any]:
    values: dict[str, Any] = {} if settings == "{}" else json.loads(settings)
    return values
