"""A writer that is killed leaves whole profiles, and everything that it was told is stored."""

import random
import sqlite3
import time
from multiprocessing.connection import Connection

import pytest

from persona_judge_llm.preferences import Profile
from persona_judge_profiles import SQLProfileStore
from tests.integration.profiles import workers
from tests.integration.profiles.workers import PARTS, Processes

KILLS = 200

pytestmark = pytest.mark.slow


def assert_whole(profile: Profile) -> None:
    """All of it is of one write."""
    (mark,) = {p.scope for p in profile.preferences}
    assert mark is not None
    new_ids = int(mark.split(".")[1]) % 2 == 0
    expected = workers.generation(mark, new_ids=new_ids)
    assert profile.preferences == expected.preferences
    assert profile.settings == expected.settings
    assert len(profile.preferences) == PARTS


def versions(acknowledged: Connection, *, wait: float) -> list[int]:
    """Everything that was acknowledged by now."""
    found = []
    try:
        while acknowledged.poll(wait if not found else 0):
            found.append(int(acknowledged.recv_bytes()))
    except EOFError:
        pass
    return found


def kill_a_writer(url: str, processes: Processes, name: str, chance: random.Random) -> int:
    """Let a writer write, kill it, and return the last version that it was sure of."""
    acknowledged, acknowledge = processes.pipe()
    with acknowledged:
        writer = processes.start(workers.replace_for_ever, url, acknowledge, name)
        acknowledge.close()
        seen = 0
        # Some die while they connect, most at any moment of a later write.
        for _ in range(chance.randrange(4)):
            seen = (versions(acknowledged, wait=workers.SECONDS) or [0])[-1]
        time.sleep(chance.uniform(0, 0.01))
        writer.kill()
        writer.join()
        assert writer.exitcode == -9
        return max([seen, *versions(acknowledged, wait=0)])


def test_no_kill_tears_a_profile_or_loses_what_was_acknowledged(
    database: str, processes: Processes
) -> None:
    chance = random.Random(7)
    with SQLProfileStore(database) as store:
        store.upgrade()
        store.put(workers.generation("first.1", new_ids=False), actor="first.1")
        acknowledged = 1
        for n in range(KILLS):
            last = kill_a_writer(database, processes, f"writer{n}", chance)
            acknowledged = max(acknowledged, last)
            profile = store.get("ana")
            assert_whole(profile)
            assert profile.version >= acknowledged
        assert acknowledged > KILLS

        # The store goes on as if nothing had been, and so does its history.
        done = store.put(workers.generation("last.1", new_ids=False), actor="last.1")
        assert store.get("ana") == done
        events = store.history("ana")
        assert [e.version for e in events] == list(range(1, done.version + 1))
        assert_whole(store.undo("ana"))
        store.check()
    if database.startswith("sqlite"):
        with sqlite3.connect(database.removeprefix("sqlite:///")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
