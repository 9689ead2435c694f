"""Storing many profiles in one transaction: new ones without a question for each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import chain, islice
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import await_only

from persona_judge_llm import changes
from persona_judge_llm.changes import Action
from persona_judge_llm.errors import ProfileImportError
from persona_judge_llm.preferences import Profile
from persona_judge_profiles import listing, rows, writes
from persona_judge_profiles.failures import is_overtaken
from persona_judge_profiles.statements import writer
from persona_judge_profiles.writes import OvertakenError

T = TypeVar("T")

BATCH = 1_000
"""Profiles a transaction: larger ones make others wait longer and are not faster."""

_VALUES = 999
"""As many as any version of SQLite takes in one statement."""

_LAST_KEY = select(func.max(rows.profiles.c.id))
_DRAW_KEYS = text(
    "SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :count)"
)
# With PostgreSQL's types: knowing them, the driver sends rows in a seventh of the time.
_PROFILE = {
    "id": "int8",
    "tenant": "varchar",
    "user_id": "varchar",
    "version": "int8",
    "settings": "text",
    "updated_at": "timestamptz",
    "incarnation": "int8",
}
_PREFERENCE = {
    "profile_id": "int8",
    "position": "int4",
    "id": "varchar",
    "text": "text",
    "weight": "float8",
    "kind": "varchar",
    "dimension": "varchar",
    "active": "bool",
    "source": "varchar",
    "scope": "varchar",
    "confirmed": "bool",
    "opposes": "text",
    "expires_at": "timestamptz",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
_EVENT = {
    "profile_id": "int8",
    "version": "int8",
    "action": "varchar",
    "at": "timestamptz",
    "actor": "varchar",
}
_COLUMNS = {"pj_profile": _PROFILE, "pj_preference": _PREFERENCE, "pj_event": _EVENT}
_AS_IT_IS = attrgetter(*list(_PREFERENCE)[2:11])
_Line: TypeAlias = tuple[Any, ...]


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


@dataclass(slots=True)
class LineBatch:
    """What the next lines of an import hold."""

    profiles: list[Profile] = field(default_factory=list)
    errors: list[ProfileImportError] = field(default_factory=list)
    last_line: int = 0
    stopped_by: ProfileImportError | None = None
    """The bad line after these, if the import ends there."""


def line_batches(
    lines: Iterator[tuple[int, Profile | ProfileImportError]], size: int = BATCH
) -> Iterator[LineBatch]:
    """Yield what the lines hold, `size` at a time."""
    while True:
        batch = LineBatch()
        try:
            for batch.last_line, found in islice(lines, size):
                if isinstance(found, Profile):
                    batch.profiles.append(found)
                else:
                    batch.errors.append(found)
        except ProfileImportError as error:
            batch.stopped_by = error
        if batch.last_line or batch.stopped_by:
            yield batch
        if batch.stopped_by or not batch.last_line:
            return


def put(
    connection: Connection,
    tenant: str,
    profiles: Sequence[Profile],
    action: Action,
    actor: str | None,
) -> list[str]:
    """Store the profiles that are not stored like that yet; return their users.

    Where a user is named twice the later profile counts.

    Raises:
        OvertakenError: another writer made one of the users meanwhile; nothing was written.
    """
    wanted = {p.user_id: changes.put(p, action) for p in profiles}
    # In their order, as two that lock in different orders, or send the same new users in
    # different ones, would wait for each other.
    users = sorted(wanted)
    found = listing.read_locked(connection, tenant, users)
    fresh = [wanted[user].profile for user in users if user not in found]
    written = [profile.user_id for profile in fresh]
    if fresh:
        _insert(connection, tenant, fresh, action, actor)
    for user, stored in found.items():
        if not changes.same(stored.profile, wanted[user].profile):
            writes.store(connection, tenant, stored, wanted[user], actor)
            written.append(user)
    return written


def _insert(
    connection: Connection,
    tenant: str,
    fresh: Sequence[Profile],
    action: Action,
    actor: str | None,
) -> None:
    """Insert new profiles as lines of plain values: naming and converting each costs the most."""
    moment = _writer(connection, rows.profiles.c.updated_at.type)
    json_text = _writer(connection, rows.preferences.c.opposes.type)
    now = moment(datetime.now(timezone.utc))
    made: tuple[list[_Line], ...] = ([], [], [])
    for key, profile in zip(_new_keys(connection, len(fresh)), fresh, strict=True):
        settings = json_text(dict(profile.settings)) if profile.settings else "{}"
        mark = rows.new_incarnation()
        made[0].append((key, tenant, profile.user_id, 1, settings, now, mark))
        for place, p in enumerate(profile.preferences):
            opposes = json_text(sorted(p.opposes)) if p.opposes else "[]"
            expires_at = None if p.expires_at is None else moment(p.expires_at)
            made[1].append((key, place, *_AS_IT_IS(p), opposes, expires_at, now, now))
        made[2].append((key, 1, action, now, actor))
    send = _copy if "psycopg" in connection.dialect.driver else _execute
    try:
        for (table, columns), lines in zip(_COLUMNS.items(), made, strict=True):
            if lines:
                send(connection, _named(connection, table), columns, lines)
    except DBAPIError as error:
        if isinstance(error, IntegrityError) or is_overtaken(error):
            raise OvertakenError from None
        raise


def _writer(connection: Connection, kind: TypeEngine[Any]) -> Callable[[Any], Any]:
    return writer(kind, connection.dialect) or (lambda value: value)


def _named(connection: Connection, table: str) -> str:
    """Return the table's name, in the schema that the caller's engine puts it in."""
    schema = (connection.get_execution_options().get("schema_translate_map") or {}).get(None)
    quote = connection.dialect.identifier_preparer.quote
    return f"{quote(schema)}.{table}" if schema else table


def _new_keys(connection: Connection, count: int) -> list[int]:
    if connection.dialect.name == "sqlite":  # the transaction holds the one write lock
        last = connection.scalar(_LAST_KEY)
        return list(range(int(last or 0) + 1, int(last or 0) + 1 + count))
    given = {"table": _named(connection, "pj_profile"), "count": count}
    return [int(key) for key in connection.scalars(_DRAW_KEYS, given)]


def _execute(
    connection: Connection, table: str, columns: Mapping[str, str], lines: list[_Line]
) -> None:
    """Insert many lines by one statement, which takes a quarter less than one statement each."""
    row = f"({', '.join('?' * len(columns))})"
    begin = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608
    for some in batches(lines, _VALUES // len(columns)):
        values = tuple(chain.from_iterable(some))
        connection.exec_driver_sql(begin + ", ".join([row] * len(some)), values)


def _copy(
    connection: Connection, table: str, columns: Mapping[str, str], lines: list[_Line]
) -> None:
    """Send rows by COPY, which SQLAlchemy has no word for."""
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    types = list(columns.values())
    driver: Any = connection.connection.driver_connection
    errors = connection.dialect.loaded_dbapi.Error
    try:
        if connection.dialect.is_async:
            await_only(_copy_async(driver, statement, types, lines))
        else:
            with driver.cursor() as cursor, cursor.copy(statement) as copy:
                copy.set_types(types)
                for line in lines:
                    copy.write_row(line)
    except errors as error:
        raise DBAPIError.instance(
            statement, None, error, errors, hide_parameters=True, dialect=connection.dialect
        ) from error


async def _copy_async(
    driver: Any,  # noqa: ANN401
    statement: str,
    types: list[str],
    lines: list[_Line],
) -> None:
    async with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for line in lines:
            await copy.write_row(line)
