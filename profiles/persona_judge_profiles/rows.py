"""Between values and rows: every statement of the store, and nothing about connections."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, cast

from sqlalchemy import Connection, Row, Table, bindparam, delete, insert, select, update

from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles.tables import EventRow, PreferenceRow, ProfileRow

Action = Literal["put", "add", "update", "remove"]

# The tables, not the mapped classes: one Core statement costs a fifth of an ORM session.
profiles = cast("Table", ProfileRow.__table__)
preferences = cast("Table", PreferenceRow.__table__)
events = cast("Table", EventRow.__table__)

_OWNER = (profiles.c.tenant == bindparam("tenant"), profiles.c.user_id == bindparam("user"))
_FIELDS = [c for c in preferences.c if c.name not in ("profile_id", "position")]
_GET = (
    select(profiles.c.version, profiles.c.settings, *_FIELDS)
    .select_from(profiles.outerjoin(preferences))
    .where(*_OWNER)
    .order_by(preferences.c.position)
)
_GET_VERSION = select(profiles.c.version).where(*_OWNER)
# Read for writing in two steps: in one join, PostgreSQL would wait for the profile's row and then
# pair its new version with the preferences from before the wait.
_LOCK = select(profiles.c.id).where(*_OWNER).with_for_update()
_DELETE_PREFERENCE = delete(preferences).where(
    preferences.c.profile_id == bindparam("owner"), preferences.c.id == bindparam("preference")
)


@dataclass(frozen=True, slots=True)
class ProfileEvent:
    """One write to a profile."""

    version: int
    """The version that the write made."""
    action: Action
    preference_id: str | None
    """The preference that was added, updated or removed; None for a put."""
    at: datetime


def read(connection: Connection, tenant: str, user_id: str) -> Profile | None:
    """Return the profile, by one statement, or None."""
    found = connection.execute(_GET, {"tenant": tenant, "user": user_id}).all()
    if not found:
        return None
    # A profile without preferences comes as one row whose preference columns are all NULL.
    kept = tuple(_preference(row) for row in found if row.id is not None)
    return Profile(user_id, kept, version=found[0].version, settings=found[0].settings)


def read_version(connection: Connection, tenant: str, user_id: str) -> int | None:
    """Return the profile's version or None."""
    version = connection.scalar(_GET_VERSION, {"tenant": tenant, "user": user_id})
    return None if version is None else int(version)


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


def insert_profile(connection: Connection, tenant: str, profile: Profile) -> int:
    """Insert the profile without its preferences and return the key of its row."""
    row = {"tenant": tenant, "user_id": profile.user_id, **_columns(profile)}
    result = connection.execute(insert(profiles).values(row))
    key = result.inserted_primary_key
    return int(key[0]) if key is not None else 0


def update_profile(connection: Connection, key: int, found_version: int, profile: Profile) -> bool:
    """Move the profile from `found_version` to the new one; False if it is there no longer."""
    statement = (
        update(profiles)
        .where(profiles.c.id == key, profiles.c.version == found_version)
        .values(_columns(profile))
    )
    return connection.execute(statement).rowcount == 1


def replace_preferences(connection: Connection, key: int, old: Profile, new: Profile) -> None:
    """Write what differs between the preferences of `old` and `new`."""
    before = {p.id: (place, p) for place, p in enumerate(old.preferences)}
    after = {p.id: (place, p) for place, p in enumerate(new.preferences)}
    gone = [{"owner": key, "preference": i} for i, v in before.items() if after.get(i) != v]
    if gone:
        connection.execute(_DELETE_PREFERENCE, gone)
    fresh = [_row(key, *value) for i, value in after.items() if before.get(i) != value]
    if fresh:
        connection.execute(insert(preferences), fresh)


def add_event(
    connection: Connection, key: int, version: int, action: Action, preference_id: str | None
) -> None:
    """Record a write."""
    connection.execute(
        insert(events).values(
            profile_id=key,
            version=version,
            action=action,
            preference_id=preference_id,
            at=datetime.now(timezone.utc),
        )
    )


def read_events(connection: Connection, tenant: str, user_id: str) -> list[ProfileEvent] | None:
    """Return the writes to a profile, oldest first, or None where there is no profile."""
    statement = (
        select(events.c.version, events.c.action, events.c.preference_id, events.c.at)
        .select_from(profiles.outerjoin(events))
        .where(*_OWNER)
        .order_by(events.c.version)
    )
    found = connection.execute(statement, {"tenant": tenant, "user": user_id}).all()
    return [ProfileEvent(*row) for row in found if row.version is not None] if found else None


def erase(connection: Connection, key: int) -> None:
    """Delete the profile and all that hangs on it, whether or not foreign keys are enforced."""
    connection.execute(delete(events).where(events.c.profile_id == key))
    connection.execute(delete(preferences).where(preferences.c.profile_id == key))
    connection.execute(delete(profiles).where(profiles.c.id == key))


def _columns(profile: Profile) -> dict[str, Any]:
    return {
        "version": profile.version,
        "settings": dict(profile.settings),
        "updated_at": datetime.now(timezone.utc),
    }


def _row(key: int, place: int, preference: Preference) -> dict[str, Any]:
    fields: dict[str, Any] = {c.name: getattr(preference, c.name) for c in _FIELDS}
    return {**fields, "profile_id": key, "position": place, "opposes": sorted(preference.opposes)}


def _preference(row: Row[Any]) -> Preference:
    fields = {c.name: getattr(row, c.name) for c in _FIELDS}
    fields["opposes"] = frozenset(fields["opposes"])
    return Preference(fields.pop("text"), **fields)
