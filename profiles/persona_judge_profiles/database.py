"""`Database`: connections with errors translated and the tables known to be there."""

import contextlib
import logging
import threading
from collections.abc import Iterator

from sqlalchemy import URL, Connection, Engine

from persona_judge_llm.errors import InvalidParameterError, ProfileStoreUnavailableError
from persona_judge_profiles import schema
from persona_judge_profiles.connections import Connections, open_engine, parse_url
from persona_judge_profiles.failures import translated

_log = logging.getLogger(__name__)


class Database:
    """What the store reads and writes through, and the life of its engine."""

    def __init__(self, url_or_engine: str | URL | Engine) -> None:
        self._owned = not isinstance(url_or_engine, Engine)
        if isinstance(url_or_engine, Engine):
            engine = url_or_engine
        elif isinstance(url_or_engine, str | URL):
            engine = open_engine(parse_url(url_or_engine))
        else:
            raise InvalidParameterError(
                "url_or_engine", type(url_or_engine), "a database URL or a SQLAlchemy Engine"
            )
        self.name = engine.url.render_as_string(hide_password=True)
        """The database as it may be shown: without the password."""
        self._connections = Connections(engine, owned=self._owned)
        self._lock = threading.Lock()
        self._checked = False
        self._closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection on which each statement stands alone."""
        with self._translated():
            self._make_sure_of_tables()
            with self._connections.reading() as connection:
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a connection in a transaction that other writers wait for."""
        with self._translated():
            self._make_sure_of_tables()
            with self._connections.writing() as connection:
                yield connection

    def upgrade(self) -> None:
        """Run the missing migrations; others who start at the same time wait."""
        with self._translated(), self._connections.writing() as connection:
            schema.upgrade(connection)
        self._checked = True

    def check(self) -> None:
        """Raise unless the database answers and its tables are those of this version."""
        with self._translated(), self._connections.reading() as connection:
            schema.check(connection, self.name)

    def forget_log(self) -> None:
        """Empty the write-ahead log of a SQLite file of our own, which still holds old pages."""
        if not (self._owned and self._connections.is_sqlite):
            return
        with self._translated(), self._connections.reading() as connection:
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
        if busy:
            _log.warning(
                "%s is being read: what was erased stays in its write-ahead log until the next "
                "checkpoint",
                self.name,
            )

    def close(self) -> None:
        """Close the connections of an engine of our own."""
        self._closed = True
        if self._owned:
            self._connections.close()

    def _make_sure_of_tables(self) -> None:
        if self._checked:
            return
        with self._lock:
            if self._checked:
                return
            with self._connections.reading() as connection:
                empty = schema.current(connection) is None
            # A server's tables are for whoever runs it to create, a file's for us.
            if empty and self._owned and self._connections.is_sqlite:
                self.upgrade()
            else:
                self.check()
            self._checked = True

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        if self._closed:
            raise ProfileStoreUnavailableError(f"the profile store {self.name} is closed")
        with translated(self.name):
            yield
