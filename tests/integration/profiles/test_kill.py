"""A writer that is killed leaves whole profiles, and everything that it was told is stored."""

import random
import time
from multiprocessing.connection import Connection

import pytest

from persona_judge_profiles import SQLProfileStore
from tests.integration.profiles import workers
from tests.integration.profiles.databases import integrity, is_sqlite
from tests.integration.profiles.workers import Processes

KILLS = 200

pytestmark = pytest.mark.slow


def versions(acknowledged: Connection, *, wait: float) -> list[int]:
    """Everything that was acknowledged by now."""
    found: list[int] = []
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
            workers.assert_whole(profile)
            assert profile.version >= acknowledged
        assert acknowledged > KILLS

        # The store goes on as if nothing had been, and so does its history.
        done = store.put(workers.generation("last.1", new_ids=False), actor="last.1")
        assert store.get("ana") == done
        events = store.history("ana")
        assert [e.version for e in events] == list(range(1, done.version + 1))
        workers.assert_whole(store.undo("ana"))
        store.check()
    if is_sqlite(database):
        assert integrity(database) == "ok"
