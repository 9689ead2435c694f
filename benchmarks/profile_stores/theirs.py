"""LangGraph's stores with the same users, opened as its documentation says.

In two layouts, as users of LangGraph have them: an item for each user, read by `get`, and an item
for each preference in a namespace of the user's own, read by `search`. The rows are put into its
tables directly, as nobody times that.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.profile_stores import people
from benchmarks.profile_stores.databases import Databases
from benchmarks.profile_stores.timing import THREADS

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

NAMESPACE = "profiles"
_PACKAGES = {"SQLite": "langgraph-checkpoint-sqlite", "PostgreSQL": "langgraph-checkpoint-postgres"}
_MODULES = {"SQLite": "langgraph.store.sqlite", "PostgreSQL": "langgraph.store.postgres"}
_CLASSES = {"SQLite": "SqliteStore", "PostgreSQL": "PostgresStore"}
# The columns that have no default of their own.
_COLUMNS = "prefix, key, value"


class NotInstalledError(Exception):
    """LangGraph's store is not installed; says how to."""


def name(databases: Databases) -> str:
    """Return what the store is called."""
    return f"LangGraph {_CLASSES[databases.name]}"


def package(databases: Databases) -> str:
    """Return what it comes in."""
    return _PACKAGES[databases.name]


def store_class(databases: Databases) -> Any:  # noqa: ANN401
    """Return the class of LangGraph's store.

    Raises:
        NotInstalledError: it is not there.
    """
    try:
        return getattr(import_module(_MODULES[databases.name]), _CLASSES[databases.name])
    except ModuleNotFoundError:
        raise NotInstalledError(f"pip install {_PACKAGES[databases.name]}") from None


@contextmanager
def opened(databases: Databases, database: str, *, pooled: bool = False) -> "Iterator[BaseStore]":
    """Open the store; on PostgreSQL with a connection for each thread, where they are many."""
    options = {"min_size": THREADS, "max_size": THREADS}
    pool = {"pool_config": options} if pooled and databases.name == "PostgreSQL" else {}
    made = store_class(databases).from_conn_string(databases.address(database), **pool)
    with made as store:
        store.setup()
        if databases.name == "SQLite":
            relax(store)
        yield store


def relax(store: Any) -> None:  # noqa: ANN401
    """Give a SQLite store the settings that ours makes, without which each write waits for disk."""
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        store.conn.execute(f"PRAGMA {pragma}").close()


def harden(store: Any) -> None:  # noqa: ANN401
    """Give it back those with which it comes."""
    for pragma in ("journal_mode=DELETE", "synchronous=FULL"):
        store.conn.execute(f"PRAGMA {pragma}").close()


def fill(databases: Databases, users: int, *, by_user: bool) -> str:
    """Make a database with all users in it and return its name."""
    database = databases.create()
    with opened(databases, database):
        pass
    rows = _by_user(users) if by_user else _by_preference(users)
    if databases.name == "SQLite":
        _insert(databases.address(database), rows)
    else:
        _copy(databases.address(database), rows)
    databases.settle(database)
    return database


def _by_user(users: int) -> Iterator[tuple[str, str, str]]:
    for number in range(users):
        yield NAMESPACE, people.user_id(number), _json(people.values(number))


def _by_preference(users: int) -> Iterator[tuple[str, str, str]]:
    for number in range(users):
        namespace = f"{NAMESPACE}.{people.user_id(number)}"
        for preference in people.values(number)["preferences"]:
            yield namespace, preference["id"], _json(preference)


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"))  # as orjson has it, which LangGraph uses


def _insert(path: str, rows: Iterable[tuple[str, str, str]]) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=OFF").close()
    with connection:
        connection.executemany(
            f"INSERT INTO store ({_COLUMNS}) VALUES (?, ?, ?)",
            ((prefix, key, value.encode()) for prefix, key, value in rows),
        )
    connection.close()


def _copy(conninfo: str, rows: Iterable[tuple[str, str, str]]) -> None:
    import psycopg

    with (
        psycopg.connect(conninfo) as connection,
        connection.cursor() as cursor,
        cursor.copy(f"COPY store ({_COLUMNS}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)
