"""`Database`: connections with errors translated and the tables known to be there."""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from persona_judge_llm.errors import InvalidParameterError, ProfileStoreUnavailableError
from persona_judge_profiles import schema
from persona_judge_profiles.connections import Connections
from persona_judge_profiles.failures import translated
from persona_judge_profiles.statements import Call
from persona_judge_profiles.urls import open_engine, parse_url
from persona_judge_profiles.waiting import Turns

S = TypeVar("S")
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Database:
    """What the store reads and writes through, and the life of its engine."""

    def __init__(self, url_or_engine: object, *, on_loop: bool) -> None:
        another = None
        if isinstance(url_or_engine, str | URL):
            url = parse_url(url_or_engine, on_loop=on_loop)
            another = functools.partial(open_engine, url, on_loop=on_loop)
        engine = another() if another else _lent(url_or_engine, on_loop=on_loop)
        self._owned = another is not None
        self.name = engine.url.render_as_string(hide_password=True)
        """The database as it may be shown: without the password."""
        self._connections = Connections(engine, another)
        self._lock = Turns(on_loop=on_loop)
        self._checked = False
        self._closed = False

    @property
    def on_sqlite(self) -> bool:
        """Whether it is a SQLite database."""
        return self._connections.is_sqlite

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` reads on a connection on which each statement stands alone."""
        return self._translating(lambda: self._with_tables().read(work))

    def ask(self, call: Call) -> Sequence[Sequence[Any]]:
        """Return the rows that one statement finds that stands alone."""
        return self._translating(lambda: self._with_tables().ask(call).rows)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` does in a transaction that other writers wait for."""
        return self._translating(lambda: self._with_tables().write(work))

    def step(
        self, look: Callable[[Connection], S | None], act: Callable[[Connection, S], T]
    ) -> T | None:
        """Return what `act` does with what `look` finds, without a transaction around the two."""
        return self._translating(lambda: self._with_tables().step(look, act))

    def upgrade(self) -> None:
        """Run the missing migrations; others who start at the same time wait."""
        self._translating(lambda: self._connections.write(schema.upgrade))
        self._checked = True

    def stamp(self) -> None:
        """Say that the tables are those of this version, without looking at them."""
        self._translating(lambda: self._connections.write(schema.stamp))
        self._checked = True

    def check(self) -> None:
        """Raise unless the database answers and its tables are those of this version."""
        self._translating(
            lambda: self._connections.read(lambda c: schema.check_columns(c, self.name))
        )

    def forget_log(self) -> None:
        """Empty the write-ahead log of a SQLite file of our own, which still holds old pages."""
        if not (self._owned and self._connections.is_sqlite):
            return
        checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)"
        if self._translating(
            lambda: self._connections.read(lambda c: c.exec_driver_sql(checkpoint).scalar())
        ):
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

    def _with_tables(self) -> Connections:
        if not self._checked:
            self._look_at_tables()
        return self._connections

    def _look_at_tables(self) -> None:
        with self._lock:
            if self._checked:
                return
            empty = self._connections.read(schema.current) is None
            # A server's tables are for whoever runs it to create, a file's for us.
            if empty and self._owned and self._connections.is_sqlite:
                self.upgrade()
            else:
                self._connections.read(lambda connection: schema.check(connection, self.name))
            self._checked = True

    def _translating(self, call: Callable[[], T]) -> T:
        if self._closed:
            raise ProfileStoreUnavailableError(f"the profile store {self.name} is closed")
        try:
            return call()
        except SQLAlchemyError as error:
            raise translated(error, self.name) from error


def _lent(given: object, *, on_loop: bool) -> Engine:
    engine = given.sync_engine if isinstance(given, AsyncEngine) else given
    if not isinstance(engine, Engine) or engine.dialect.is_async != on_loop:
        kind = "AsyncEngine" if on_loop else "Engine"
        other = "SQLProfileStore" if on_loop else "AsyncSQLProfileStore"
        raise InvalidParameterError(
            "url_or_engine",
            type(given).__name__,
            f"a database URL or a SQLAlchemy {kind} (for another engine use {other})",
        )
    return engine
