"""Connections to read and to write by: engines of our own, and engines that a caller lends.

Reads run in AUTOCOMMIT: one statement, no transaction around it. Writes run in one transaction,
which on SQLite begins with BEGIN IMMEDIATE: a transaction that reads first and asks for the
write lock later can lose another writer's change.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from persona_judge_llm.errors import InvalidParameterError, MissingDependencyError

BUSY_SECONDS = 10.0
_PRAGMAS = ("foreign_keys=ON", "secure_delete=ON", "synchronous=NORMAL")


def parse_url(text: str | URL) -> URL:
    """Return the URL.

    Raises:
        InvalidParameterError: not a database URL, or one of an asynchronous driver.
        MissingDependencyError: the database's driver is not installed.
    """
    try:
        url = make_url(text)
        asynchronous = url.get_dialect().is_async
    except (ArgumentError, ValueError):
        raise _bad_url() from None
    except ModuleNotFoundError as error:
        raise MissingDependencyError("postgres", error.name) from None
    if asynchronous:
        raise InvalidParameterError("url_or_engine", url.drivername, "a synchronous driver's URL")
    return url


def in_memory(url: URL) -> bool:
    """Tell whether a SQLite URL names a database that lives in one connection."""
    return url.database in (None, "", ":memory:") or "mode=memory" in str(url)


def open_engine(url: URL) -> Engine:
    """Make an engine of our own; it connects when it is first used."""
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(
                url, hide_parameters=True, pool_pre_ping=True, isolation_level="AUTOCOMMIT"
            )
        engine = create_engine(
            url,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
            **({"poolclass": StaticPool} if in_memory(url) else {}),
        )
    except ModuleNotFoundError as error:
        raise MissingDependencyError("postgres", error.name) from None
    except ArgumentError:
        raise _bad_url() from None
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _bad_url() -> InvalidParameterError:
    # Does not show what was given: a mistyped URL still holds the password.
    return InvalidParameterError("url_or_engine", "***", "a URL such as 'sqlite:///profiles.db'")


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    # Turning WAL on needs the file alone and does not wait for it as other statements do.
    deadline = time.monotonic() + BUSY_SECONDS
    while not _turned_wal_on(connection) and time.monotonic() < deadline:
        time.sleep(0.01)


def _turned_wal_on(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    return True


class Connections:
    """Hands out connections; one lock where all threads share one connection."""

    def __init__(self, engine: Engine, *, owned: bool) -> None:
        self._engine = engine
        # Of a caller's engine a copy that shares the pool and carries the option.
        self._autocommit = (
            engine if owned else engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._guard: contextlib.AbstractContextManager[object] = (
            threading.RLock() if isinstance(engine.pool, StaticPool) else contextlib.nullcontext()
        )

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection on which each statement stands alone."""
        with self._guard, self._autocommit.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a connection in a transaction: committed at the end, rolled back on an error."""
        if not self.is_sqlite:
            engine = self._engine.execution_options(isolation_level="READ COMMITTED")
            with engine.begin() as connection:
                yield connection
            return
        with self.reading() as connection:
            connection.begin()
            if getattr(connection.connection.dbapi_connection, "in_transaction", False):
                # A "begin" hook of the caller's engine has begun one, maybe without the lock.
                connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

    def close(self) -> None:
        """Close every connection; only for an engine of our own."""
        with self._guard:
            self._engine.dispose()
