"""What other processes do to a store at the same time; imports no more than that takes."""

import asyncio
import dataclasses
import os
import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from persona_judge_llm.errors import ProfileConflictError, ProfileStoreUnavailableError
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles import AsyncSQLProfileStore, SQLProfileStore

SECONDS = 600
"""After so long something hangs."""
PAUSE = 0.03
"""How long one whom another overtook waits at most before the next attempt."""
PARTS = 5


class Processes:
    """Starts processes; see the fixture of the same name."""

    def __init__(self, context: BaseContext) -> None:
        self._context: Any = context

    def start(self, work: Callable[..., object], *arguments: object) -> BaseProcess:
        """Start one."""
        process: BaseProcess = self._context.Process(target=work, args=arguments, daemon=True)
        process.start()
        return process

    def pipe(self) -> tuple[Connection, Connection]:
        """Return the two ends, to receive by and to send by."""
        receiver, sender = self._context.Pipe(duplex=False)
        return receiver, sender

    def at_once(self, work: Callable[..., Any], calls: Sequence[tuple[object, ...]]) -> list[Any]:
        """Make each call in a process of its own, from one moment on; return the results."""
        barrier = self._context.Barrier(len(calls))
        pipes = [self.pipe() for _ in calls]
        started = [
            self.start(_answer, answer, barrier, work, call)
            for call, (_, answer) in zip(calls, pipes, strict=True)
        ]
        try:
            for _, answer in pipes:
                answer.close()
            assert all(receiver.poll(SECONDS) for receiver, _ in pipes)
            answers = [receiver.recv() for receiver, _ in pipes]
        finally:
            for process in started:
                process.kill()
                process.join()
            for receiver, _ in pipes:
                receiver.close()
        faults = [fault for _, fault in answers if fault]
        assert not faults, "\n".join(faults)
        return [result for result, _ in answers]


def _answer(
    answer: Connection, barrier: Any, work: Callable[..., object], call: Sequence[object]
) -> None:
    barrier.wait(SECONDS)
    try:
        answer.send((work(*call), None))
    except BaseException:
        answer.send((None, traceback.format_exc()))
        raise


def count_up(url: str, worker: str, times: int, on_a_loop: bool) -> int:
    """Read the profile, count one further in one's own preference and write it all back.

    Returns:
        how often another was quicker.
    """
    if on_a_loop:
        return asyncio.run(_count_up_on_a_loop(url, worker, times))
    conflicts = 0
    with SQLProfileStore(url) as store:
        for _ in range(times):
            while True:
                found = store.get("ana")
                try:
                    store.put(_one_further(found, worker), found.version, actor=worker)
                    break
                except ProfileConflictError:
                    conflicts += 1
                    time.sleep(PAUSE * random.random())
    return conflicts


async def _count_up_on_a_loop(url: str, worker: str, times: int) -> int:
    conflicts = 0
    async with AsyncSQLProfileStore(url) as store:
        for _ in range(times):
            while True:
                found = await store.get("ana")
                try:
                    await store.put(_one_further(found, worker), found.version, actor=worker)
                    break
                except ProfileConflictError:
                    conflicts += 1
                    await asyncio.sleep(PAUSE * random.random())
    return conflicts


def _one_further(found: Profile, worker: str) -> Profile:
    return Profile(
        found.user_id,
        tuple(
            dataclasses.replace(p, text=str(int(p.text) + 1)) if p.id == worker else p
            for p in found.preferences
        ),
    )


def add(url: str, users: list[str], worker: str, times: int) -> None:
    """Append preferences without looking, by turns; the database may have no tables yet."""
    with SQLProfileStore(url) as store:
        for n in range(times):
            user = users[n % len(users)]
            store.add(user, Preference(f"{worker} {n}", active=False), actor=worker)


def upgrade(url: str, worker: str, on_a_loop: bool) -> None:
    """Make the tables and use them at once."""
    if on_a_loop:
        asyncio.run(_upgrade_on_a_loop(url, worker))
        return
    with SQLProfileStore(url) as store:
        store.upgrade()
        store.check()
        store.add(worker, Preference("one"))


async def _upgrade_on_a_loop(url: str, worker: str) -> None:
    async with AsyncSQLProfileStore(url) as store:
        await store.upgrade()
        await store.check()
        await store.add(worker, Preference("one"))


def put_first(url: str, worker: str) -> bool:
    """Try to be the one who makes the profile; tell whether that came about."""
    with SQLProfileStore(url) as store:
        try:
            stored = store.put(Profile("ana", (Preference(worker),)), expected_version=0)
        except ProfileConflictError:
            return False
    return stored.version == 1


def read_in_forks(url: str, forks: int, times: int) -> list[int]:
    """Use a store, fork, and go on with it in every process; return how each of them ended."""
    store = SQLProfileStore(url, cache_ttl=0.001)
    store.upgrade()
    users = [f"user{n}" for n in range(forks + 1)]
    store.put_many(Profile(user, (Preference(user, id="p0"),)) for user in users)
    store.get(users[0])
    children = []
    for user in users[1:]:
        child = os.fork()
        signal.alarm(SECONDS // 20)  # for who waits for an answer that another one took
        if child == 0:
            os._exit(_is_served_as(store, user, times))
        children.append(child)
    ended = [_is_served_as(store, users[0], times)]
    signal.alarm(0)
    return ended + [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _is_served_as(store: SQLProfileStore, user: str, times: int) -> int:
    try:
        for n in range(times):
            if store.get(user).preferences[0].text != user:
                return 2
            store.add(user, Preference(f"{user} {n}", active=False))
        texts = [user, *(f"{user} {n}" for n in range(times))]
        return 0 if [p.text for p in store.get(user).preferences] == texts else 3
    except Exception:  # noqa: BLE001  # it must not go on as the test itself
        traceback.print_exc()
        return 1


def import_lines(url: str, lines: list[str], worker: str) -> int:
    """Import lines; return how many profiles were written."""
    with SQLProfileStore(url) as store:
        return store.import_jsonl(lines, actor=worker).written


def generation(mark: str, *, new_ids: bool, user: str = "ana") -> Profile:
    """Return a profile whose parts all carry the mark."""
    ids = [f"{mark}-{n}" if new_ids else f"p{n}" for n in range(PARTS)]
    parts = tuple(Preference(f"{mark} {'x' * 100}", id=i, scope=mark) for i in ids)
    return Profile(user, parts, settings={"mark": mark})


def assert_whole(profile: Profile) -> None:
    """Fail unless all of the profile is of one generation."""
    (mark,) = {p.scope for p in profile.preferences}
    assert mark is not None
    new_ids = profile.preferences[0].id != "p0"
    expected = generation(mark, new_ids=new_ids, user=profile.user_id)
    assert profile.preferences == expected.preferences
    assert profile.settings == expected.settings


def replace_for_ever(url: str, acknowledge: Connection, name: str) -> None:
    """Replace all of the profile again and again; send each version once it is stored."""
    with SQLProfileStore(url) as store:
        n = 0
        while True:
            n += 1
            stored = store.put(generation(f"{name}.{n}", new_ids=n % 2 == 0), actor=f"{name}.{n}")
            acknowledge.send_bytes(str(stored.version).encode())


def fill_up(url: str, size: int) -> tuple[int, str, set[str], int]:
    """Write until no file may grow larger than `size`, and go on when it may again.

    Returns:
        the last version that was acknowledged, the error, what was stored then, and the version
        that the next write made.
    """
    with SQLProfileStore(url) as store:
        store.upgrade()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        version = 0
        while True:
            text = f"text of write {version + 1}"
            parts = tuple(Preference(text, id=f"{version} {'x' * 200} {n}") for n in range(PARTS))
            try:
                version = store.put(Profile("ana", parts)).version
            except ProfileStoreUnavailableError as error:
                message = str(error)
                break
        texts = {p.text for p in store.get("ana").preferences}
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return version, message, texts, store.add("ana", Preference("after")).version
