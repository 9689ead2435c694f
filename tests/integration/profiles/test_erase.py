"""Who was erased is nowhere in the database: in no file of SQLite's, in no row of PostgreSQL's."""

import logging
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from persona_judge_llm.errors import UnknownUserError
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.store_suite.common import answer
from persona_judge_llm.testing.stores import blocking
from persona_judge_profiles import AsyncSQLProfileStore, SQLProfileStore
from tests.integration.profiles.databases import is_sqlite, postgres, sqlite

SECRET = "sentinel-5d1e-must-not-be-seen"


@pytest.fixture(params=["sync", "async"])
def store(request: pytest.FixtureRequest, database: str) -> Iterator[Any]:
    """A store of each kind on a database of each kind, with somebody who stays."""
    if request.param == "sync":
        made: Any = SQLProfileStore(database, cache_ttl=60.0)
    else:
        made = blocking(AsyncSQLProfileStore(database, cache_ttl=60.0))
    made.upgrade()
    made.put(Profile("ben", (Preference("stays", id="p1"),)))
    yield made
    made.close()


def contents(url: str) -> bytes:
    """All that the database keeps."""
    if is_sqlite(url):
        folder = Path(make_url(url).database or "").parent
        return b"".join(p.read_bytes() for p in folder.iterdir())
    with postgres(url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'pj%' AND relkind = 'r'"
        ).fetchall()
        assert len(tables) == 5
        rows = [connection.execute(f"SELECT t::text FROM {t} t").fetchall() for (t,) in tables]
    return repr(rows).encode()


def parts(n: int) -> tuple[Preference, ...]:
    """Preferences with the secret in each of their fields."""
    fields: dict[str, Any] = {"dimension": SECRET, "scope": SECRET, "opposes": frozenset({SECRET})}
    return (
        Preference(f"{SECRET} {'x' * (n * 97 % 1_800)}", id=f"{SECRET}{n}", **fields),
        Preference(f"{n} {SECRET}", source="inferred", **fields),
        Preference(SECRET, expires_at=datetime.now(timezone.utc)),
    )


def put(store: Any, user: str) -> None:
    store.put(Profile(user, parts(0), settings={SECRET: [SECRET] * 50}), actor=SECRET)


def change_in_every_way(store: Any, user: str) -> None:
    for n in range(1, 8):
        store.put(Profile(user, parts(n), settings={"note": SECRET}))
        store.add(user, Preference(f"{SECRET} once more"), actor=SECRET)
        store.update(user, f"{SECRET}{n}", text=f"{SECRET} changed")
        store.confirm(user, "p1")
        store.remove(user, f"{SECRET}{n}")
        store.undo(user, actor=SECRET)


def many(store: Any, user: str) -> None:
    store.put_many([Profile(user, parts(n)) for n in range(3)], actor=SECRET)
    store.put_many([Profile(user, parts(9))], actor=SECRET)


def imported(store: Any, user: str) -> None:
    line = f'{{"user_id": "{user}", "preferences": [{{"text": "{SECRET}", "id": "{SECRET}"}}]}}'
    store.import_jsonl([line], actor=SECRET)


def rated(store: Any, user: str) -> None:
    store.put(Profile(user, parts(0)))
    generation = answer(user, parts(1), parts(2), parts(3))
    for _ in range(30):
        store.record_feedback(user, generation, 0.5, actor=SECRET)


def large(store: Any, user: str) -> None:
    # Over many pages, some of which were given back and taken anew on the way.
    for n in (200, 10, 120, 1):
        texts = (f"{SECRET} {p} {'y' * 1_500}" for p in range(n))
        store.put(Profile(user, tuple(Preference(text, active=False) for text in texts)))


@pytest.mark.parametrize("user", ["ana", SECRET], ids=["ana", "secret"])
@pytest.mark.parametrize("live", [put, change_in_every_way, many, imported, rated, large])
def test_nothing_is_left_of_who_was_erased(
    store: Any, database: str, live: Callable[[Any, str], None], user: str
) -> None:
    live(store, user)
    assert SECRET.encode() in contents(database)
    store.erase(user)
    assert SECRET.encode() not in contents(database)
    for call in (store.get, store.history, store.summary, store.undo, store.erase):
        with pytest.raises(UnknownUserError):
            call(user)
    assert store.get("ben").preferences[0].text == "stays"
    assert list(store.list_users()) == ["ben"]


def test_nothing_is_left_of_one_among_many(store: Any, database: str) -> None:
    users = [f"user{n}" for n in range(60)]
    random.Random(7).shuffle(users)
    for n, user in enumerate(users):
        put(store, user) if n % 2 else store.put(Profile(user, (Preference("harmless"),)))
    for n, user in enumerate(users):
        if n % 2:
            store.erase(user)
    assert SECRET.encode() not in contents(database)
    assert len(list(store.list_users())) == 31


def test_a_reader_of_the_file_keeps_the_log_and_that_is_told(
    sqlite_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_judge_profiles.urls.BUSY_SECONDS", 0.1)
    with SQLProfileStore(sqlite_url) as store:
        put(store, SECRET)
        with sqlite(sqlite_url) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM pj_profile").fetchall()
            store.erase(SECRET)
        assert "stays in its write-ahead log" in caplog.text
        assert SECRET not in caplog.text
        with pytest.raises(UnknownUserError):
            store.get(SECRET)
        store.put(Profile("ana"))
        store.erase("ana")
        assert SECRET.encode() not in contents(sqlite_url)


def test_a_refused_erase_forgets_nothing(store: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UnknownUserError):
        store.erase("ana")
    assert store.get("ben").version == 1
