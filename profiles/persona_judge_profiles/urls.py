"""Engines of our own, made from a URL; nothing is connected yet."""

import sqlite3
import time
from typing import Any

from sqlalchemy import URL, Engine, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine

from persona_judge_llm.errors import InvalidParameterError, MissingDependencyError
from persona_judge_profiles.waiting import pause

BUSY_SECONDS = 30.0
"""How long a writer waits for the others of a SQLite file."""
CONNECT_SECONDS = 2
LOCK_SECONDS = 5
"""How long a writer waits for another one of the same profile on a server."""
POOL_SECONDS = 2.0
_PRAGMAS = ("foreign_keys=ON", "secure_delete=ON", "synchronous=NORMAL")
_DRIVERS = {
    False: {"postgresql": "postgresql+psycopg"},
    True: {
        "sqlite": "sqlite+aiosqlite",
        "sqlite+pysqlite": "sqlite+aiosqlite",
        "postgresql": "postgresql+psycopg",
    },
}


def parse_url(text: str | URL, *, on_loop: bool) -> URL:
    """Return the URL, with the driver that is meant where it names none.

    Raises:
        InvalidParameterError: not a database URL, or one of a driver of the other kind.
        MissingDependencyError: the database's driver is not installed.
    """
    try:
        url = make_url(text)
        url = url.set(drivername=_DRIVERS[on_loop].get(url.drivername, url.drivername))
        asynchronous = url.get_dialect(_is_async=on_loop).is_async
    except (ArgumentError, ValueError):
        raise _bad_url() from None
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    if asynchronous != on_loop:
        kind = "an asynchronous" if on_loop else "a synchronous"
        raise InvalidParameterError("url_or_engine", url.drivername, f"{kind} driver's URL")
    return url


def open_engine(url: URL, *, on_loop: bool) -> Engine:
    """Make an engine of our own; it connects when it is first used."""
    options: dict[str, Any] = {"hide_parameters": True, "isolation_level": "AUTOCOMMIT"}
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite:
        options["connect_args"] = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    if sqlite and in_memory(url):
        options["poolclass"] = StaticPool
    else:
        options["pool_timeout"] = POOL_SECONDS
    if "psycopg" in url.drivername:
        # A server that is gone is noticed in time, also by a connection that was open before.
        limits = {
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": CONNECT_SECONDS * 1000,
            "options": f"-c lock_timeout={LOCK_SECONDS}s",
        }
        options["connect_args"] = {k: v for k, v in limits.items() if k not in url.query}
    try:
        if on_loop:
            engine = create_async_engine(url, **options).sync_engine
        else:
            engine = create_engine(url, **options)
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    except ArgumentError:
        raise _bad_url() from None
    if sqlite:
        event.listen(engine, "connect", _set_up_loop if on_loop else _set_up)
    return engine


def in_memory(url: URL) -> bool:
    """Tell whether a SQLite URL names a database that lives in one connection."""
    return url.database in (None, "", ":memory:") or "mode=memory" in str(url)


def _bad_url() -> InvalidParameterError:
    # Does not show what was given: a mistyped URL still holds the password.
    return InvalidParameterError("url_or_engine", "***", "a URL such as 'sqlite:///profiles.db'")


def _missing(error: ModuleNotFoundError) -> MissingDependencyError:
    extra = "profiles" if error.name == "aiosqlite" else "postgres"
    return MissingDependencyError(extra, error.name)


def _set_up(connection: Any, _record: object) -> None:  # noqa: ANN401
    _set_up_sqlite(connection, on_loop=False)


def _set_up_loop(connection: Any, _record: object) -> None:  # noqa: ANN401
    _set_up_sqlite(connection, on_loop=True)


def _set_up_sqlite(connection: Any, *, on_loop: bool) -> None:  # noqa: ANN401
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()
    # Turning WAL on needs the file alone and does not wait for it as other statements do.
    deadline = time.monotonic() + BUSY_SECONDS
    while not _turned_wal_on(connection) and time.monotonic() < deadline:
        pause(0.01, on_loop=on_loop)


def _turned_wal_on(connection: Any) -> bool:  # noqa: ANN401
    try:
        connection.execute("PRAGMA journal_mode=WAL").close()
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    return True
