"""Looking at a database past the store, and keeping it from the store."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine, make_url

from persona_judge_profiles import SQLProfileStore
from persona_judge_profiles.cache import ProfileCache
from persona_judge_profiles.database import Database


def is_sqlite(url: str) -> bool:
    """Tell which of the two kinds it is."""
    return url.startswith("sqlite")


def sqlite(url: str) -> "closing[sqlite3.Connection]":
    """Open a SQLite file, without a transaction."""
    return closing(sqlite3.connect(make_url(url).database or "", isolation_level=None))


def postgres(url: str) -> "psycopg.Connection[Any]":
    """Connect to a PostgreSQL database."""
    parts = make_url(url)
    conninfo = f"host={parts.query['host']} user={parts.username} dbname={parts.database}"
    return psycopg.connect(conninfo)


def integrity(url: str) -> str:
    """Return what SQLite finds wrong with a file, "ok" if that is nothing."""
    with sqlite(url) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return "\n".join(row[0] for row in connection.execute("PRAGMA integrity_check"))


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep all writers out of a SQLite file, or from all profiles of a PostgreSQL database."""
    if is_sqlite(url):
        with sqlite(url) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
        return
    with postgres(url) as connection:
        connection.execute("SELECT * FROM pj_profile FOR UPDATE")
        yield


def database_of(store: Any) -> Database:
    """Return the connections of a store of any kind."""
    return _inner(store)._database


def engines_of(store: Any) -> list[Engine]:
    """Return the engines of a store of any kind: an asynchronous one has one for each loop."""
    connections = database_of(store)._connections
    return [connections._engine, *connections._by_loop.values()]


def cache_of(store: Any) -> ProfileCache:
    """Return the cache of a store of any kind."""
    return _inner(store)._cache


def _inner(store: Any) -> SQLProfileStore:
    while not isinstance(store, SQLProfileStore):
        store = store._store
    return store
