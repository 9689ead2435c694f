"""The same rows through SQLAlchemy alone: no checked preferences, no history, no cache.

It is the least that a store of these tables could do in SQLAlchemy's own way, so it tells how
fast the machine is on which the other figures were measured.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, TypeAlias

from sqlalchemy import Engine, create_engine, event, func, insert, make_url, select

from benchmarks.profile_stores.bench import Bench
from benchmarks.profile_stores.timing import Call
from persona_judge_llm.preferences import Profile
from persona_judge_profiles import rows

READ = "SQLAlchemy alone: the same query, unchecked rows"
WRITE = "SQLAlchemy alone: executemany of ready rows, no history"
Ready: TypeAlias = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""Rows of profiles and of their preferences."""


@contextmanager
def reader(bench: Bench) -> Iterator[Call]:
    """Yield what reads the rows of a user, each statement standing alone."""
    with _opened(bench, isolation_level="AUTOCOMMIT", pool_pre_ping=True) as engine:

        def read(user: str) -> None:
            call = rows.get("default", user)
            with engine.connect() as connection:
                connection.execute(call.statement.core, call.parameters).all()

        yield read


@contextmanager
def writer(bench: Bench) -> Iterator[Callable[[Ready], object]]:
    """Yield what inserts rows in one transaction."""
    with _opened(bench) as engine:

        def write(ready: Ready) -> None:
            with engine.begin() as connection:
                for table, lines in zip((rows.profiles, rows.preferences), ready, strict=True):
                    connection.execute(insert(table), lines)

        yield write


def ready(bench: Bench, profiles: Sequence[Profile]) -> Ready:
    """Return the rows of new profiles, with keys of which there are none yet."""
    with _opened(bench) as engine, engine.connect() as connection:
        first = (connection.scalar(select(func.max(rows.profiles.c.id))) or 0) + 1_000_000
    now = datetime.now(timezone.utc)
    made: Ready = ([], [])
    for key, profile in enumerate(profiles, first):
        columns = {"id": key, "tenant": "alone", "user_id": profile.user_id, "incarnation": key}
        made[0].append({**columns, **rows.profile_columns(profile, now), "version": 1})
        for place, preference in enumerate(profile.preferences):
            made[1].append(rows.preference_row(key, place, preference, now))
    return made


@contextmanager
def _opened(bench: Bench, **options: Any) -> Iterator[Engine]:  # noqa: ANN401
    url = make_url(bench.url)
    if bench.databases.name == "PostgreSQL":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, **options)
    if bench.databases.name == "SQLite":
        event.listen(engine, "connect", _relax)
    yield engine
    engine.dispose()


def _relax(connection: Any, _record: object) -> None:  # noqa: ANN401
    # As our own connections are: or each commit waits for the disk.
    connection.execute("PRAGMA synchronous=NORMAL").close()
