"""Connections to read and to write by, of an engine of our own or of one that a caller lends.

Reads run in AUTOCOMMIT: one statement, no transaction around it. Writes run in one transaction,
which on SQLite begins with BEGIN IMMEDIATE: a transaction that reads first and asks for the
write lock later can lose another writer's change.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Engine, StaticPool
from sqlalchemy.exc import DBAPIError, OperationalError

from persona_judge_llm.forking import renew_after_fork
from persona_judge_profiles import urls
from persona_judge_profiles.driver import Found
from persona_judge_profiles.statements import Call, ask, run, say
from persona_judge_profiles.waiting import Turns, pause

S = TypeVar("S")
T = TypeVar("T")

_IDLE = 0
"""libpq's word for a connection outside of any transaction."""
_ASK_AGAIN = (0.0005, 0.005)
"""Seconds between two attempts at a lock that another writer holds."""


class Connections:
    """Hands out connections; one after the other where all share one."""

    def __init__(self, engine: Engine, another: Callable[[], Engine] | None) -> None:
        """Keep an engine.

        Args:
            engine: ours or a caller's.
            another: makes one more like it; None for a caller's.
        """
        self._engine = engine
        self._owned = another is not None
        self.on_loop = engine.dialect.is_async
        self.is_sqlite = engine.dialect.name == "sqlite"
        only_one = isinstance(engine.pool, StaticPool)
        self._guard: contextlib.AbstractContextManager[object] = (
            Turns(on_loop=self.on_loop) if only_one else contextlib.nullcontext()
        )
        # A pool that tasks have waited for belongs to their event loop, and another loop that
        # comes after it, as with a second `asyncio.run`, needs one of its own.
        self._another = another if self.on_loop and not only_one else None
        self._by_loop: dict[asyncio.AbstractEventLoop, Engine] = {}
        self._only_one = only_one
        self._asks_alone = self._owned and not only_one and not self.on_loop
        self._parents: list[object] = []
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Leave the connections to the parent: on a shared one, answers reach the wrong process."""
        if not self._owned or self._only_one:
            return  # a caller's pool is the caller's to leave; what is in memory was copied whole
        for engine in {self._engine, *self._by_loop.values()}:
            self._parents.append(engine.pool)  # kept, as to collect them would close them
            engine.dispose(close=False)
        self._by_loop = {}

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection on which each statement stands alone."""
        with self._guard:
            if self._owned:  # made so
                with self._here().connect() as connection:
                    yield connection
            else:
                with _at(self._here(), "AUTOCOMMIT") as connection:
                    yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a connection in a transaction: committed at the end, rolled back on an error."""
        if not (self.is_sqlite or self._owned):
            with _at(self._here(), "READ COMMITTED") as connection, connection.begin():
                yield connection
            return
        # By statements, as to change the level of a connection and to change it back can be
        # cancelled halfway, and then SQLAlchemy gives the connection to nobody.
        with self.reading() as connection:
            connection.begin()
            if self.is_sqlite:
                if _in_transaction(connection):
                    # A "begin" hook of the caller's engine has begun one, maybe without the lock.
                    say(connection, "ROLLBACK")
                self._take_lock(connection)
            else:
                say(connection, "BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                yield connection
            except BaseException:
                # SQLAlchemy closes the connection of a cancelled task, and SQLite rolls back by
                # itself when the disk is full.
                if not connection.invalidated and _in_transaction(connection):
                    say(connection, "ROLLBACK")
                raise
            say(connection, "COMMIT")

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

    def ask(self, call: Call) -> Found:
        """Return what one statement finds that stands alone; see `read`."""
        if self._asks_alone:
            try:
                found = ask(self._engine, call)
                if found is not None:
                    return found
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
        return self.read(lambda connection: run(connection, call)[0])

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

    def step(
        self, look: Callable[[Connection], S | None], act: Callable[[Connection, S], T]
    ) -> T | None:
        """Return what `act` does with what `look` finds; each is a statement that stands alone.

        Once more where the connection was dead, but not once `act` began: it may have been done.
        """
        for last in (False, True):
            found = None
            try:
                with self.reading() as connection:
                    found = look(connection)
                    return None if found is None else act(connection, found)
            except DBAPIError as error:
                if last or found is not None or not error.connection_invalidated:
                    raise
        raise AssertionError  # the second attempt returned or raised

    def close(self) -> None:
        """Close every connection; only for an engine of our own."""
        with self._guard:
            self._engine.dispose()
        for loop in list(self._by_loop):
            self._by_loop.pop(loop).dispose()

    def _take_lock(self, connection: Connection) -> None:
        """Begin a transaction with SQLite's write lock; all who wait have the same chance."""
        if not self._owned:
            _begin(connection)  # how long to wait is set on a caller's engine
            return
        # SQLite's own waiting starves whoever has waited longest: they ask the least often.
        deadline = time.monotonic() + urls.BUSY_SECONDS
        say(connection, "PRAGMA busy_timeout=0")
        try:
            while True:
                try:
                    _begin(connection)
                except OperationalError as error:
                    if "locked" not in str(error.orig) or time.monotonic() > deadline:
                        raise
                else:
                    return
                pause(random.uniform(*_ASK_AGAIN), on_loop=self.on_loop)  # noqa: S311
        finally:
            milliseconds = int(urls.BUSY_SECONDS * 1000)
            say(connection, f"PRAGMA busy_timeout={milliseconds}")

    def _here(self) -> Engine:
        if self._another is None:
            return self._engine
        here = asyncio.get_running_loop()
        engine = self._by_loop.get(here)
        if engine is None:
            ended = [loop for loop in list(self._by_loop) if loop.is_closed()]
            used = [self._by_loop.pop(loop) for loop in ended]
            engine = used[0] if used else self._another() if self._by_loop else self._engine
            pools = [each.pool for each in used]
            # At once, before another task of this loop comes here while the old ones are closed.
            for each in used:
                each.dispose(close=False)
            self._by_loop[here] = engine
            for pool in pools:
                pool.dispose()
        return engine


def _begin(connection: Connection) -> None:
    say(connection, "BEGIN IMMEDIATE")


@contextlib.contextmanager
def _at(engine: Engine, level: Literal["AUTOCOMMIT", "READ COMMITTED"]) -> Iterator[Connection]:
    """Open a connection of a caller's engine at an isolation level."""
    with engine.connect() as connection:
        try:
            connection.execution_options(isolation_level=level)
        except BaseException:
            connection.invalidate()  # nobody knows at which level it is
            raise
        yield connection


def _in_transaction(connection: Connection) -> bool:
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        return bool(driver.in_transaction)
    return not driver.closed and driver.info.transaction_status != _IDLE
