"""Many processes on one database: no write is lost, and nobody meets an error."""

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection

from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles import SQLProfileStore, bulk
from tests.integration.profiles import workers
from tests.integration.profiles.workers import Processes

WORKERS = [f"w{n}" for n in range(8)]
TIMES = 100
ROUNDS = 3

pytestmark = pytest.mark.slow


def make_tables(url: str) -> None:
    # A server's are made by whoever runs it; a file's come with its first use.
    if not url.startswith("sqlite"):
        with SQLProfileStore(url) as store:
            store.upgrade()


def test_no_read_modify_write_is_lost(database: str, processes: Processes) -> None:
    with SQLProfileStore(database) as store:
        store.upgrade()
        store.put(Profile("ana", tuple(Preference("0", id=w) for w in WORKERS)))
        conflicts = processes.at_once(
            workers.count_up, [(database, w, TIMES, n % 2 == 1) for n, w in enumerate(WORKERS)]
        )
        profile = store.get("ana")
        events = store.history("ana")
    assert {p.id: p.text for p in profile.preferences} == dict.fromkeys(WORKERS, str(TIMES))
    assert profile.version == 1 + len(WORKERS) * TIMES
    assert [e.version for e in events] == list(range(1, profile.version + 1))
    writers = [e.actor for e in events[1:]]
    assert {w: writers.count(w) for w in WORKERS} == dict.fromkeys(WORKERS, TIMES)
    assert sum(conflicts) > 0  # they did come in each other's way


def test_no_addition_is_lost(database: str, processes: Processes) -> None:
    make_tables(database)
    users = ["ana", "ben", "cleo", "dora"]
    processes.at_once(workers.add, [(database, users, w, TIMES) for w in WORKERS])
    with SQLProfileStore(database) as store:
        for place, user in enumerate(users):
            profile = store.get(user)
            events = store.history(user)
            texts = {p.id: p.text for p in profile.preferences}
            turns = range(place, TIMES, len(users))
            assert sorted(texts.values()) == sorted(f"{w} {n}" for w in WORKERS for n in turns)
            assert [e.version for e in events] == list(range(1, len(WORKERS) * len(turns) + 1))
            assert profile.version == len(events)
            for worker in WORKERS:  # each one's writes came in its own order
                ids = [e.preference_id for e in events if e.actor == worker]
                assert [texts[i] for i in ids] == [f"{worker} {n}" for n in turns]


def test_the_tables_can_be_made_by_many_at_once(
    new_database: Callable[[], str], processes: Processes
) -> None:
    for _ in range(ROUNDS):
        url = new_database()
        processes.at_once(workers.upgrade, [(url, w, n % 2 == 1) for n, w in enumerate(WORKERS)])
        with SQLProfileStore(url) as store:
            store.check()
            assert list(store.list_users()) == WORKERS


def test_of_many_first_writes_one_wins(database: str, processes: Processes) -> None:
    make_tables(database)
    names = [f"w{n}" for n in range(20)]
    won = processes.at_once(workers.put_first, [(database, name) for name in names])
    assert won.count(True) == 1
    with SQLProfileStore(database) as store:
        profile = store.get("ana")
        assert len(store.history("ana")) == 1
    assert profile.version == 1
    assert profile.preferences[0].text == names[won.index(True)]


def test_a_store_goes_on_after_a_fork(database: str, processes: Processes) -> None:
    # As of servers that load the application and fork their workers then.
    make_tables(database)
    assert processes.at_once(workers.read_in_forks, [(database, 4, 25)]) == [[0] * 5]


def test_imports_of_the_same_users_in_opposite_orders_do_not_wait_for_each_other(
    database: str, processes: Processes
) -> None:
    make_tables(database)
    lines = [
        json.dumps({"user_id": f"user{n:04}", "preferences": [{"text": "one", "id": "p1"}]})
        for n in range(1_500)
    ]
    calls = [(database, lines[::step], f"w{step}") for step in (1, -1, 1, -1)]
    written = processes.at_once(workers.import_lines, calls)
    assert sum(written) == len(lines)
    with SQLProfileStore(database) as store:
        assert len(list(store.list_users())) == len(lines)
        assert {store.get_version(f"user{n:04}") for n in range(0, 1_500, 100)} == {1}


def test_imports_that_cross_in_the_middle_do_not_fail(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each sends half of its new users, and the rest when the other has sent its half, or waits.
    make_tables(postgres_url)
    profiles = [Profile(f"user{n}", (Preference("one"),)) for n in range(100)]
    half_sent = threading.Barrier(2)
    send = bulk._copy

    def send_halves(
        connection: Connection, table: str, columns: Mapping[str, str], lines: list[Any]
    ) -> None:
        if table != "pj_profile" or half_sent.broken:
            send(connection, table, columns, lines)
            return
        send(connection, table, columns, lines[:50])
        with contextlib.suppress(threading.BrokenBarrierError):
            half_sent.wait(1.0)
            half_sent.abort()
        send(connection, table, columns, lines[50:])

    def write(given: list[Profile]) -> int:
        with SQLProfileStore(postgres_url) as store:
            return store.put_many(given)

    monkeypatch.setattr(bulk, "_copy", send_halves)
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(write, [profiles, profiles[::-1]])) == len(profiles)
