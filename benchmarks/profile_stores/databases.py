"""The databases to measure on: files in a folder, and a PostgreSQL server of our own."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from sqlalchemy import Pool, event

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer


Seen: TypeAlias = Callable[[], list[str]]
_LOGGED = re.compile("LOG: +(statement: |execute )")


class NoDatabaseError(Exception):
    """There is no such database here; says why."""


class Databases(Protocol):
    """Makes databases of one kind."""

    name: str

    def create(self) -> str:
        """Make an empty database and return its name."""
        ...

    def url(self, name: str) -> str:
        """Return the address as our stores take it."""
        ...

    def address(self, name: str) -> str:
        """Return the address as LangGraph's stores take it."""
        ...

    def size(self, name: str) -> int:
        """Return the bytes that the database takes."""
        ...

    def settle(self, name: str) -> None:
        """Do now what the database would do by itself soon after so many rows came."""
        ...

    def version(self) -> str:
        """Return the database's version."""
        ...

    def watched(self, name: str) -> AbstractContextManager[Seen]:
        """Give what returns the statements that reached the database on new connections."""
        ...


class SQLite:
    """Files in a folder."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0

    def create(self) -> str:
        """Make no file yet: whoever opens it does."""
        self._made += 1
        return f"profiles{self._made}.db"

    def url(self, name: str) -> str:
        """Return the file's address."""
        return f"sqlite:///{self._folder / name}"

    def address(self, name: str) -> str:
        """Return the file's path."""
        return str(self._folder / name)

    def size(self, name: str) -> int:
        """Return the file's bytes; its log counts."""
        return sum(path.stat().st_size for path in self._folder.glob(f"{name}*"))

    def settle(self, name: str) -> None:
        """Move the log into the file."""
        connection = sqlite3.connect(self._folder / name)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        connection.close()

    def version(self) -> str:
        """Return the library's version."""
        return sqlite3.sqlite_version

    @contextmanager
    def watched(self, name: str) -> Iterator[Seen]:  # noqa: ARG002
        """Have SQLite tell what it runs on connections that are opened from now on."""
        statements: list[str] = []

        def trace(connection: Any, _record: object) -> None:  # noqa: ANN401
            connection.set_trace_callback(statements.append)

        event.listen(Pool, "connect", trace)
        try:
            yield lambda: list(statements)
        finally:
            event.remove(Pool, "connect", trace)


class PostgreSQL:
    """Databases of a server that runs for this alone, with its settings as it comes."""

    name = "PostgreSQL"

    def __init__(self, server: "PostgresServer") -> None:
        self._server = server

    def create(self) -> str:
        """Make an empty database."""
        return self._server.create_database()

    def url(self, name: str) -> str:
        """Return the address as SQLAlchemy takes it."""
        return self._server.url(name)

    def address(self, name: str) -> str:
        """Return the address as psycopg takes it."""
        return self._server.conninfo(name)

    def size(self, name: str) -> int:
        """Return the bytes of its tables and indexes."""
        return int(self._server.psql(f"SELECT pg_database_size('{name}')")[0][0])

    def settle(self, name: str) -> None:
        """Clean up and count, as autovacuum would within a minute, and write all to disk."""
        self._server.psql("VACUUM ANALYZE", database=name)
        self._server.psql("CHECKPOINT", database=name)

    def version(self) -> str:
        """Return the server's version."""
        return str(self._server.psql("SHOW server_version")[0][0])

    @contextmanager
    def watched(self, name: str) -> Iterator[Seen]:
        """Have the server log each statement of connections that are opened from now on."""
        self._server.psql(f"ALTER DATABASE {name} SET log_statement = 'all'")
        before = len(self._server.log())

        def seen() -> list[str]:
            said = self._server.log()[before:].splitlines()
            return [line for line in said if _LOGGED.search(line)]

        try:
            yield seen
        finally:
            self._server.psql(f"ALTER DATABASE {name} RESET log_statement")


@contextmanager
def sqlite(folder: Path) -> Iterator[Databases]:
    """Give files in the folder."""
    yield SQLite(folder)


@contextmanager
def postgresql(folder: Path) -> Iterator[Databases]:  # noqa: ARG001
    """Give a server, which ends with the context.

    Raises:
        NoDatabaseError: no server or no driver is installed.
    """
    try:
        from tests.postgres_server import NoServerError, PostgresServer
    except ModuleNotFoundError as error:
        raise NoDatabaseError(
            f"{error.name} is not installed: pip install psycopg[binary]"
        ) from None
    try:
        server = PostgresServer()
    except NoServerError as error:
        raise NoDatabaseError(f"{error} (Debian: apt-get install postgresql)") from None
    with server:
        yield PostgreSQL(server)
