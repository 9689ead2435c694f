"""The driver's own cursors under a SQLAlchemy connection: what they find, and how they fail."""

import contextlib
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from sqlalchemy import Connection, Engine, PoolProxiedConnection
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only, is_exit_exception

# Not aiosqlite: past SQLAlchemy, writers and a checkpoint were seen to wait for each other.
_DRIVERS = frozenset(("pysqlite", "psycopg"))
CANCEL_SECONDS = 2.0
"""How long a server may take to end a statement that nobody waits for any more."""


class Asked(NamedTuple):
    """A statement as the driver takes it."""

    text: str
    given: Any = None
    """Its parameters; None where it has none."""
    finds: bool = False
    """Whether it is to bring rows."""
    described: bool = False
    """Whether the columns are to be described, which psycopg takes longer for than for the rows."""


class Found(NamedTuple):
    """What a statement brought."""

    rows: Sequence[Sequence[Any]]
    changed: int
    """How many rows were changed."""
    columns: Sequence[Sequence[Any]] | None = None
    """What the driver says of the columns; the second thing is their type."""


def is_direct(connection: Connection) -> bool:
    """Tell whether the driver may be used past SQLAlchemy.

    It must be one that is known here, nobody may listen, and no table may have another schema.
    """
    options = connection.get_execution_options()
    return not options.get("schema_translate_map") and _is_unheard(connection.engine)


def may_ask(engine: Engine) -> bool:
    """Tell whether `ask` may be used: as `is_direct`, and nobody waits for connections to come."""
    return not engine.dispatch.engine_connect and _is_unheard(engine)


def _is_unheard(engine: Engine) -> bool:
    dialect = engine.dialect
    return (
        dialect.driver in _DRIVERS
        and not engine.logger.isEnabledFor(logging.INFO)
        # The engine's, as to join a connection's costs half a query.
        and not _is_heard(engine.dispatch, dialect.dispatch)
    )


def _is_heard(engine: Any, dialect: Any) -> bool:  # noqa: ANN401
    # A transaction of SQLAlchemy's is what "begin" and its like wait for, to set a role, say.
    return bool(
        engine.before_cursor_execute
        or engine.after_cursor_execute
        or engine.before_execute
        or engine.after_execute
        or engine.begin
        or engine.commit
        or engine.rollback
        or dialect.do_execute
        or dialect.do_execute_no_params
        or dialect.handle_error
    )


def run(connection: Connection, *asked: Asked) -> list[Found]:
    """Run statements one after the other; on PostgreSQL they are sent together.

    Raises:
        DBAPIError: as SQLAlchemy does.
    """
    dialect = connection.dialect
    try:
        if len(asked) == 1 or not _pipelines(dialect):
            return [_run(connection.connection, dialect, one) for one in asked]
        driver: Any = connection.connection.driver_connection
        if dialect.is_async:
            return await_only(_pipeline_async(driver, asked))
        return _pipeline(driver, asked)
    except dialect.loaded_dbapi.Error as error:
        _fail(connection, error)
    except BaseException as error:
        _give_up(connection, error)
        raise


def ask(engine: Engine, asked: Asked) -> Found:
    """Run one statement that stands alone on a connection of the engine's pool.

    The engine must be one whose connections commit each statement.

    Raises:
        DBAPIError: as SQLAlchemy does.
    """
    dialect = engine.dialect
    try:
        pooled = engine.raw_connection()
    except dialect.loaded_dbapi.Error as error:
        raise _wrapped(dialect, error) from error
    try:
        found = _run(pooled, dialect, asked)
    except BaseException as error:
        # SQLAlchemy's own connection costs as much as the pool's, so it is made where it is needed.
        with Connection(engine, pooled) as connection:
            if isinstance(error, dialect.loaded_dbapi.Error):
                _fail(connection, error)
            _give_up(connection, error)
            raise
    pooled.close()
    return found


def _give_up(connection: Connection, error: BaseException) -> None:
    """End a connection on which a task was cancelled, or a time limit or Ctrl-C came between."""
    dialect = connection.dialect
    on_server = dialect.driver == "psycopg"
    try:
        if on_server and not dialect.is_async:
            # Or the server would go on, and write although the caller was told otherwise. For
            # tasks, and for Ctrl-C, psycopg does it.
            driver: Any = connection.connection.driver_connection
            with contextlib.suppress(dialect.loaded_dbapi.Error):
                driver.cancel_safe(timeout=CANCEL_SECONDS)
    finally:
        if on_server or is_exit_exception(error):
            connection.invalidate()


def _pipelines(dialect: Dialect) -> bool:
    driver: Any = dialect.loaded_dbapi
    return dialect.driver == "psycopg" and bool(driver.Pipeline.is_supported())


def _run(pooled: PoolProxiedConnection, dialect: Dialect, asked: Asked) -> Found:
    cursor: Any = pooled.cursor()
    try:
        if asked.given is None:
            cursor.execute(asked.text)
        else:
            cursor.execute(asked.text, asked.given)
        found = _found(asked, cursor, cursor.fetchall() if asked.finds else ())
    except Exception:
        # While it is open, what failed still reads a SQLite file, and keeps others waiting.
        with contextlib.suppress(dialect.loaded_dbapi.Error):
            cursor.close()
        raise
    cursor.close()
    return found


def _pipeline(driver: Any, asked: Sequence[Asked]) -> list[Found]:  # noqa: ANN401
    with driver.pipeline():
        cursors = [driver.cursor().execute(each.text, each.given) for each in asked]
    return [
        _found(each, cursor, cursor.fetchall() if each.finds else ())
        for each, cursor in zip(asked, cursors, strict=True)
    ]


async def _pipeline_async(driver: Any, asked: Sequence[Asked]) -> list[Found]:  # noqa: ANN401
    async with driver.pipeline():
        cursors = [await driver.cursor().execute(each.text, each.given) for each in asked]
    return [
        _found(each, cursor, await cursor.fetchall() if each.finds else ())
        for each, cursor in zip(asked, cursors, strict=True)
    ]


def _found(asked: Asked, cursor: Any, rows: Sequence[Sequence[Any]]) -> Found:  # noqa: ANN401
    return Found(rows, cursor.rowcount, cursor.description if asked.described else None)


def _fail(connection: Connection, error: Exception) -> NoReturn:
    dialect = connection.dialect
    if dialect.is_disconnect(error, connection.connection, None):  # type: ignore[arg-type]
        # Fails, too: so SQLAlchemy learns that all connections from before are of no use.
        connection.exec_driver_sql("SELECT 1")
    raise _wrapped(dialect, error) from error


def _wrapped(dialect: Dialect, error: Exception) -> BaseException:
    base = dialect.loaded_dbapi.Error
    return DBAPIError.instance(None, None, error, base, hide_parameters=True, dialect=dialect)
