"""Connections to read and to write by, of an engine of our own or of one that a caller lends.

Reads run in AUTOCOMMIT: one statement, no transaction around it. Writes run in one transaction,
which on SQLite begins with BEGIN IMMEDIATE: a transaction that reads first and asks for the
write lock later can lose another writer's change.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from sqlalchemy import Connection, Engine, StaticPool
from sqlalchemy.exc import DBAPIError

from persona_judge_profiles.waiting import Turns

T = TypeVar("T")


class Connections:
    """Hands out connections; one after the other where all share one."""

    def __init__(self, engine: Engine, *, owned: bool) -> None:
        self._engine = engine
        # Of a caller's engine a copy that shares the pool and carries the option.
        self._autocommit = (
            engine if owned else engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        self.on_loop = engine.dialect.is_async
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.only_one = isinstance(engine.pool, StaticPool)
        self._guard: contextlib.AbstractContextManager[object] = (
            Turns(on_loop=self.on_loop) if self.only_one else contextlib.nullcontext()
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
            if getattr(connection.connection.driver_connection, "in_transaction", False):
                # A "begin" hook of the caller's engine has begun one, maybe without the lock.
                connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if not connection.invalidated:  # as SQLAlchemy does when a task is cancelled
                    connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` reads; once more where the connection turned out to be dead."""
        for last in (False, True):
            try:
                with self.reading() as connection:
                    return work(connection)
            except DBAPIError as error:
                if last or not error.connection_invalidated:
                    raise
        raise AssertionError  # the second attempt returned or raised

    def write(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` does in a transaction; once more where the connection was dead.

        Not once the commit was sent: nobody knows then whether it was done.
        """
        for last in (False, True):
            sent = False
            try:
                with self.writing() as connection:
                    made = work(connection)
                    sent = True
            except DBAPIError as error:
                if last or sent or not error.connection_invalidated:
                    raise
            else:
                return made
        raise AssertionError  # the second attempt returned or raised

    def close(self) -> None:
        """Close every connection; only for an engine of our own."""
        with self._guard:
            self._engine.dispose()
