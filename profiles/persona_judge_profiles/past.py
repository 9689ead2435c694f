"""What was done to a profile: reading and writing its events, and the way back."""

from collections.abc import Iterator

from sqlalchemy import Connection, bindparam, insert, null, select, update

from persona_judge_llm import changes
from persona_judge_llm.changes import Change, ProfileEvent
from persona_judge_llm.preferences import Profile
from persona_judge_llm.profile_lines import profile_from, profile_values
from persona_judge_profiles.rows import OWNER, events, profiles
from persona_judge_profiles.statements import Call, Statement

_FIELDS = ("version", "action", "preference_id", "at", "actor", "undoes")
_EVENT = [events.c[name] for name in _FIELDS]

COLUMNS = (*_FIELDS, "before")
_INSERT = Statement(insert(events), ("profile_id", *COLUMNS))
_FORGET = Statement(
    update(events)
    .where(events.c.profile_id == bindparam("key"), events.c.version == bindparam("too_old"))
    .values(before=null())
)


def noted(key: int, made: Change, found: Profile | None, actor: str | None) -> Iterator[Call]:
    """Yield what records a write, and forgets the snapshot that is too old to return to."""
    event = changes.event(made, made.profile.version, actor)
    row = {name: getattr(event, name) for name in _FIELDS}
    # An undo is never undone, and what was before the first write is nothing.
    keep = found is not None and made.action != "undo"
    before = profile_values(found) if keep and found is not None else None
    yield Call(_INSERT, {**row, "profile_id": key, "before": before})
    too_old = event.version - changes.KEPT_SNAPSHOTS
    if too_old > 0:
        yield Call(_FORGET, {"key": key, "too_old": too_old})


def read_events(connection: Connection, tenant: str, user_id: str) -> list[ProfileEvent] | None:
    """Return the writes to a profile, oldest first, or None where there is no profile."""
    statement = (
        select(*_EVENT)
        .select_from(profiles.outerjoin(events))
        .where(*OWNER)
        .order_by(events.c.version)
    )
    found = connection.execute(statement, {"tenant": tenant, "user": user_id}).all()
    return [ProfileEvent(*row) for row in found if row.version is not None] if found else None


def step_back(connection: Connection, key: int, found: Profile) -> Change:
    """Return the change that takes back the latest write that is not undone.

    Raises:
        NothingToUndoError: there is none, or it is too old.
    """
    oldest = found.version - changes.KEPT_SNAPSHOTS
    recent = connection.execute(
        select(*_EVENT)
        .where(events.c.profile_id == key, events.c.version > oldest)
        .order_by(events.c.version.desc())
    )
    version = changes.to_undo(ProfileEvent(*row) for row in recent.all())
    if version is None:
        raise changes.nothing_to_undo(found.user_id)
    before = connection.scalar(
        select(events.c.before).where(events.c.profile_id == key, events.c.version == version)
    )
    if before is None:  # the first write, or one too old
        raise changes.nothing_to_undo(found.user_id)
    return changes.undo(profile_from(found.user_id, before), version)
