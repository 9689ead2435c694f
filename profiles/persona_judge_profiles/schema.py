"""Which version the tables are at, and bringing them to this one."""

import threading
from collections.abc import Callable

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, column, inspect, select, table
from sqlalchemy.exc import DBAPIError

from persona_judge_llm.errors import ProfileStoreSchemaError
from persona_judge_profiles.failures import is_schema_error, schema_error
from persona_judge_profiles.tables import Base
from persona_judge_profiles.waiting import Turns

HEAD = "0002"
"""The newest revision in `migrations/versions`."""
VERSION_TABLE = "pj_alembic_version"
"""Beside an application's own `alembic_version`, not in it."""

_VERSION = select(table(VERSION_TABLE, column("version_num")).c.version_num)

_UPGRADE_LOCK = 0x706A7570
"""Any number that nobody else locks in the same database."""

# Alembic keeps the migration under way in a global of its own.
_one_at_a_time = threading.Lock()


def current(connection: Connection) -> str | None:
    """Return the revision of the tables, None where there are none."""
    try:
        revision: str | None = connection.scalar(_VERSION)
    except DBAPIError as error:
        if not is_schema_error(error):
            raise
        return None
    return revision


def check_columns(connection: Connection, where: str) -> None:
    """Raise `ProfileStoreSchemaError` unless the tables have the columns of this version."""
    check(connection, where)
    found = inspect(connection)
    for ours in Base.metadata.sorted_tables:
        if not found.has_table(ours.name):
            raise schema_error(where, f"lacks {ours.name}")
        there = {c["name"] for c in found.get_columns(ours.name)}
        for missing in [c.name for c in ours.columns if c.name not in there]:
            raise schema_error(where, f"lacks {ours.name}.{missing}")


def check(connection: Connection, where: str) -> None:
    """Raise `ProfileStoreSchemaError` unless the tables say that they are of this version."""
    found = current(connection)
    if found is None:
        raise schema_error(where, "has no tables yet")
    if found != HEAD:
        raise schema_error(where, f"has the tables of revision {found}, not those of {HEAD}")


def upgrade(connection: Connection) -> None:
    """Run the missing migrations in the transaction of `connection`, one process at a time."""
    _run(connection, command.upgrade)


def stamp(connection: Connection) -> None:
    """Record that the tables are those of this version, without touching them."""
    _run(connection, command.stamp)


def _run(connection: Connection, what: Callable[[Config, str], object]) -> None:
    if connection.dialect.name == "postgresql":
        # SQLite's transaction holds the one write lock already; here nothing would wait.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
    config = Config()
    config.set_main_option("script_location", "persona_judge_profiles:migrations")
    config.attributes["connection"] = connection
    with Turns(on_loop=connection.dialect.is_async, lock=_one_at_a_time):
        try:
            what(config, "head")
        except CommandError as error:  # as of a revision that a later version made
            raise ProfileStoreSchemaError(
                f"the profile tables cannot be brought to revision {HEAD}: {error}; "
                "update persona-judge-llm, or restore the database"
            ) from error
