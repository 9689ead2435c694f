"""A change of one preference as one statement of PostgreSQL, where each one is a round trip.

Nothing is locked between reading and writing. The statement moves the profile on from the version
that was read, and the rest of it hangs on that: where another writer came first it does nothing.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    Connection,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    insert,
    null,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from persona_judge_llm import changes
from persona_judge_llm.changes import Change
from persona_judge_profiles import past, rows
from persona_judge_profiles.failures import is_overtaken
from persona_judge_profiles.rows import Stamp, Stamped, events, preferences
from persona_judge_profiles.statements import Call, Statement, run

_moved = rows.MOVE.returning(rows.profiles.c.id).cte("moved")
_ITS = (preferences.c.profile_id == _moved.c.id, preferences.c.id == bindparam("p_preference"))


def _added(table: Table, columns: tuple[str, ...], prefix: str) -> Insert:
    row = select(_moved.c.id, *(bindparam(prefix + c, type_=table.c[c].type) for c in columns))
    return insert(table).from_select(["profile_id", *columns], row)


def _set() -> Update:
    values: dict[str, Any] = {name: bindparam(f"p_{name}") for name in rows.CHANGING}
    return update(preferences).where(*_ITS).values(values)


def _whole(change: CTE) -> Statement:
    noted = _added(events, past.COLUMNS, "e_").cte("noted")
    too_old = (events.c.profile_id == _moved.c.id, events.c.version == bindparam("too_old"))
    forgotten = update(events).where(*too_old).values(before=null()).cte("forgotten")
    moved: Select[Any] = select(_moved.c.id)
    return Statement(moved.add_cte(change, noted, forgotten))


_INSERTED = ("id", *rows.CHANGING, "created_at")
_WHOLE = {
    rows.INSERT_PREFERENCE: _whole(_added(preferences, _INSERTED, "p_").cte("changed")),
    rows.UPDATE_PREFERENCE: _whole(_set().cte("changed")),
    rows.DELETE_PREFERENCE: _whole(delete(preferences).where(*_ITS).cte("changed")),
}


class Prepared(NamedTuple):
    """A write that one statement can do."""

    call: Call
    stored: Stamped
    """What is stored once it is done."""


def prepare(found: Stamped | None, made: Change, actor: str | None) -> Prepared | None:
    """Return the write, or None where it takes more than one row of preferences."""
    if found is None:
        return None
    stored = changes.moved_on(made, found.profile)
    steps = list(rows.changed_preferences(found.key, found.profile, stored.profile))
    if len(steps) != 1:
        return None
    event = next(past.noted(found.key, stored, found.profile, actor))
    move = rows.moved(found.key, found.stamp.version, stored.profile)
    parameters = {
        **move.parameters,
        **_named("p_", steps[0].parameters),
        **_named("e_", event.parameters),
        "too_old": stored.profile.version - changes.KEPT_SNAPSHOTS,
    }
    stamp = Stamp(found.stamp.incarnation, stored.profile.version)
    call = Call(_WHOLE[steps[0].statement], parameters)
    return Prepared(call, Stamped(stored.profile, stamp, found.key))


def act(connection: Connection, prepared: Prepared) -> Stamped | None:
    """Do it and return what is stored; None: another writer came first, and nothing was done."""
    try:
        (done,) = run(connection, prepared.call)
    except DBAPIError as error:
        if is_overtaken(error):  # by default, this server sees to order more strictly
            return None
        raise
    return prepared.stored if done.rows else None


def _named(prefix: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in parameters.items()}
