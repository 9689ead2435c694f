"""Profiles between values and rows: statements and nothing about connections."""

import dataclasses
import json
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from operator import itemgetter
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    Connection,
    Table,
    bindparam,
    delete,
    insert,
    select,
    type_coerce,
    update,
)
from sqlalchemy.types import NullType

from persona_judge_llm.preferences import NO_NAMES, Preference, Profile
from persona_judge_profiles.statements import Call, Statement, run
from persona_judge_profiles.tables import EventRow, FeedbackRow, PreferenceRow, ProfileRow, moment

# The tables, not the mapped classes: one Core statement costs a fifth of an ORM session.
profiles = cast("Table", ProfileRow.__table__)
preferences = cast("Table", PreferenceRow.__table__)
events = cast("Table", EventRow.__table__)
feedback = cast("Table", FeedbackRow.__table__)

OWNER = (profiles.c.tenant == bindparam("tenant"), profiles.c.user_id == bindparam("user"))
_NAMES = tuple(f.name for f in dataclasses.fields(Preference))
_STAMP = (profiles.c.incarnation, profiles.c.version)
# As the driver gives them: most JSON is empty and most moments are not there, and to let types
# turn a column into values costs more than to look at each.
_AS_FOUND = NullType()
HEAD = (profiles.c.id, *_STAMP, type_coerce(profiles.c.settings, _AS_FOUND).label("settings"))
"""What `stamped` wants to be found of the profile, before `FIELDS`."""
FIELDS = tuple(
    type_coerce(preferences.c[name], _AS_FOUND).label("preference_id" if name == "id" else name)
    for name in ("position", *_NAMES)  # in their order, for `_preferences`
)
_GET = Statement(select(*HEAD, *FIELDS).select_from(profiles.outerjoin(preferences)).where(*OWNER))
_GET_STAMP = Statement(select(*_STAMP).where(*OWNER))
_LOCK = Statement(select(profiles.c.id).where(*OWNER).with_for_update())
_ONE = (preferences.c.profile_id == bindparam("owner"), preferences.c.id == bindparam("preference"))
_INSERT_PROFILE = insert(profiles)
# Not the id: SQLite writes an index anew for each column of it that is set, also to the same value.
CHANGING = ("position", *(name for name in _NAMES if name != "id"), "updated_at")
INSERT_PREFERENCE = Statement(insert(preferences), ("profile_id", "id", *CHANGING, "created_at"))
MOVE = (
    update(profiles)
    .where(profiles.c.id == bindparam("key"), profiles.c.version == bindparam("found"))
    .values({name: bindparam(f"new_{name}") for name in ("version", "settings", "updated_at")})
)
_MOVE = Statement(MOVE)
DELETE_PREFERENCE = Statement(delete(preferences).where(*_ONE))
UPDATE_PREFERENCE = Statement(update(preferences).where(*_ONE), CHANGING)


_POSITION = itemgetter(len(HEAD))


class Stamp(NamedTuple):
    """Says which state of which life of a profile something is."""

    incarnation: int
    version: int


class Stamped(NamedTuple):
    """A stored profile with its stamp, and the key of its row."""

    profile: Profile
    stamp: Stamp
    key: int


def get(tenant: str, user_id: str) -> Call:
    """Return what finds the rows of a profile, for `stamped`; none where there is no profile."""
    return Call(_GET, {"tenant": tenant, "user": user_id})


def get_stamp(tenant: str, user_id: str) -> Call:
    """Return what finds the fields of a profile's `Stamp`."""
    return Call(_GET_STAMP, {"tenant": tenant, "user": user_id})


def read(connection: Connection, tenant: str, user_id: str) -> Stamped | None:
    """Return the profile, by one statement, or None."""
    found = run(connection, get(tenant, user_id))[0].rows
    return stamped(user_id, found) if found else None


def lock(connection: Connection, tenant: str, user_id: str) -> int | None:
    """Return the key of the profile's row, kept from other writers until the transaction ends."""
    found = _LOCK.rows(connection, {"tenant": tenant, "user": user_id})
    return int(found[0][0]) if found else None


def read_locked(connection: Connection, tenant: str, user_id: str) -> Stamped | None:
    """Return the profile, kept from other writers until the transaction ends, or None."""
    if connection.dialect.name == "sqlite":  # the transaction began with the one lock there is
        return read(connection, tenant, user_id)
    # In two steps: in one join, PostgreSQL would wait for the profile's row and then pair its new
    # version with the preferences from before the wait.
    given = {"tenant": tenant, "user": user_id}
    locked, found = run(connection, Call(_LOCK, given), Call(_GET, given))
    # Made by somebody else between the two, and not locked: to be found by who inserts it.
    return stamped(user_id, found.rows) if locked.rows else None


def stamped(user_id: str, found: Sequence[Sequence[Any]]) -> Stamped:
    """Return the profile whose rows were found: `HEAD` and `FIELDS` of each preference."""
    key, incarnation, version, settings = found[0][:4]
    if len(found) > 1:  # here, as a database sorts a few rows as it would sort millions
        found = sorted(found, key=_POSITION)
    profile = Profile(user_id, _preferences(found), version, _json(settings))
    return Stamped(profile, Stamp(incarnation, version), key)


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


def moved(key: int, found_version: int, profile: Profile) -> Call:
    """Return what moves the profile from `found_version` to its own: changes one row or none."""
    columns = profile_columns(profile, datetime.now(timezone.utc))
    new = {f"new_{name}": value for name, value in columns.items()}
    return Call(_MOVE, {"key": key, "found": found_version, **new})


def changed_preferences(key: int, old: Profile, new: Profile) -> Iterator[Call]:
    """Yield what writes the differences between the preferences of `old` and `new`."""
    before = {p.id: (place, p) for place, p in enumerate(old.preferences)}
    after = {p.id: (place, p) for place, p in enumerate(new.preferences)}
    now = datetime.now(timezone.utc)
    for name in before:
        if name not in after:
            yield Call(DELETE_PREFERENCE, {"owner": key, "preference": name})
    for name, (place, preference) in after.items():
        if name not in before:
            yield Call(INSERT_PREFERENCE, preference_row(key, place, preference, now))
        elif before[name] != (place, preference):
            row = preference_columns(place, preference) | {"updated_at": now}
            yield Call(UPDATE_PREFERENCE, {**row, "owner": key, "preference": name})


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
    # By position, behind the columns of the profile: names cost more than all of the rest.
    # A profile without preferences comes as one row whose preference columns are all NULL.
    return tuple(
        [
            Preference(
                text,
                weight=weight,
                kind=kind,
                dimension=dimension,
                active=bool(active),
                opposes=NO_NAMES if opposes == "[]" else frozenset(json.loads(opposes)),
                expires_at=None if expires_at is None else moment(expires_at),
                source=source,
                scope=scope,
                confirmed=bool(confirmed),
                id=name,
            )
            for (
                _,
                _,
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
