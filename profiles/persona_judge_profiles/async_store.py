"""`AsyncSQLProfileStore`: the same store for programs that run on an event loop."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from persona_judge_llm.changes import Action, ProfileEvent
from persona_judge_llm.errors import ProfileImportError
from persona_judge_llm.feedback import FeedbackSummary
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.profile_lines import (
    ImportReport,
    OnError,
    Source,
    Target,
    read_profiles,
    to_line,
    writable,
)
from persona_judge_llm.trace import Generation
from persona_judge_profiles import bulk
from persona_judge_profiles.store import SQLProfileStore

T = TypeVar("T")
P = ParamSpec("P")

_BATCH = 200
"""Profiles a transaction: in between, other tasks of the loop get their turn."""


class _OnLoop(SQLProfileStore):
    """The store on an asynchronous driver; its methods run in greenlets of a task."""

    _on_loop = True

    @property
    def on_sqlite(self) -> bool:
        """Whether it is a SQLite database."""
        return self._database.on_sqlite

    def cached(self, user_id: str) -> Profile | None:
        """Return the profile if it may be served without asking the database."""
        return self._cache.fresh(user_id)

    def put_batch(self, profiles: list[Profile], action: Action, actor: str | None) -> int:
        """Store profiles in one transaction and return how many were written."""
        return self._put_batch(profiles, action, actor)

    def users_after(self, last: str) -> list[str]:
        """Return the next page of user ids."""
        return self._users_after(last)

    def profiles_after(self, last: str) -> list[Profile]:
        """Return the next page of profiles."""
        return self._profiles_after(last)


class AsyncSQLProfileStore:
    """`SQLProfileStore` with every method awaitable; arguments and errors are the same.

    It has no event loop and no thread of its own: each call runs on the caller's loop, through
    aiosqlite or psycopg. A cancelled call gives its connection back before it ends.

    ```python
    async with AsyncSQLProfileStore("postgresql://localhost/app") as store:
        await store.upgrade()
        await store.add("alice", Preference("Answer briefly"))
    ```

    Args:
        url_or_engine: a SQLAlchemy URL (`sqlite:///...`, `postgresql://...`), or an `AsyncEngine`
            of your own, which is neither closed nor reconfigured.
        tenant: see `SQLProfileStore`, as for the cache settings.
        cache_ttl: see there.
        cache_size: see there.
    """

    def __init__(
        self,
        url_or_engine: str | URL | AsyncEngine,
        tenant: str = "default",
        *,
        cache_ttl: float = 0.0,
        cache_size: int = 10_000,
    ) -> None:
        self._store = _OnLoop(
            url_or_engine,  # type: ignore[arg-type]  # which takes AsyncEngines where on a loop
            tenant,
            cache_ttl=cache_ttl,
            cache_size=cache_size,
        )

    async def get(self, user_id: str) -> Profile:
        """Return the user's profile, or raise `UnknownUserError`."""
        found = self._store.cached(user_id)
        return found if found is not None else await self._run(self._store.get, user_id)

    async def get_version(self, user_id: str) -> int:
        """Return the stored version, or raise `UnknownUserError`."""
        return await self._run(self._store.get_version, user_id)

    async def put(
        self, profile: Profile, expected_version: int | None = None, *, actor: str | None = None
    ) -> Profile:
        """Store `profile` and return it as stored: one version on, every preference with an id."""
        return await self._run(self._store.put, profile, expected_version, actor=actor)

    async def add(
        self,
        user_id: str,
        preference: Preference,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Append one preference; creates the profile if there is none."""
        return await self._run(self._store.add, user_id, preference, expected_version, actor=actor)

    async def update(
        self,
        user_id: str,
        preference_id: str,
        *,
        expected_version: int | None = None,
        actor: str | None = None,
        **fields: Any,  # noqa: ANN401
    ) -> Profile:
        """Change fields of one preference (`text=`, `weight=`, `active=`, ...)."""
        return await self._run(
            self._store.update,
            user_id,
            preference_id,
            expected_version=expected_version,
            actor=actor,
            **fields,
        )

    async def remove(
        self,
        user_id: str,
        preference_id: str,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Remove one preference."""
        return await self._run(
            self._store.remove, user_id, preference_id, expected_version, actor=actor
        )

    async def reorder(
        self,
        user_id: str,
        preference_ids: Iterable[str],
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Bring the preferences into the order of `preference_ids`, which names each once."""
        return await self._run(
            self._store.reorder, user_id, preference_ids, expected_version, actor=actor
        )

    async def confirm(
        self,
        user_id: str,
        preference_id: str,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Let an inferred preference count from now on."""
        return await self._run(
            self._store.confirm, user_id, preference_id, expected_version, actor=actor
        )

    async def reject(
        self,
        user_id: str,
        preference_id: str,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Remove an inferred preference that nobody confirmed."""
        return await self._run(
            self._store.reject, user_id, preference_id, expected_version, actor=actor
        )

    async def undo(
        self, user_id: str, expected_version: int | None = None, *, actor: str | None = None
    ) -> Profile:
        """Take back the latest write; again: the one before it. That is a write itself."""
        return await self._run(self._store.undo, user_id, expected_version, actor=actor)

    async def history(self, user_id: str) -> list[ProfileEvent]:
        """Return the writes to the profile, oldest first, or raise `UnknownUserError`."""
        return await self._run(self._store.history, user_id)

    async def put_many(self, profiles: Iterable[Profile], *, actor: str | None = None) -> int:
        """Store profiles and return how many were written: those that were not like that yet."""
        written = 0
        for batch in bulk.batches(profiles, _BATCH):
            written += await self._run(self._store.put_batch, batch, "put", actor)
        return written

    async def import_jsonl(
        self,
        source: Source,
        *,
        actor: str | None = None,
        on_error: OnError = "raise",
        progress: Callable[[int], object] | None = None,
    ) -> ImportReport:
        """Store a profile from each line; reads the source in a thread."""
        written = total = 0
        errors: list[ProfileImportError] = []
        batches = _Steps(bulk.line_batches(read_profiles(source, on_error), _BATCH))
        while (batch := await asyncio.to_thread(batches.next)) is not None:
            written += await self._run(self._store.put_batch, batch.profiles, "import", actor)
            total += len(batch.profiles)
            errors += batch.errors
            if progress is not None:
                progress(batch.last_line)
            if batch.stopped_by is not None:
                raise batch.stopped_by
        return ImportReport(written, total - written, tuple(errors))

    async def export_jsonl(self, target: Target) -> int:
        """Write every profile as a line of JSON, in the order of the ids; return how many."""
        count, last = 0, ""
        with writable(target) as file:
            while page := await self._run(self._store.profiles_after, last):
                lines = "".join(to_line(profile) + "\n" for profile in page)
                await asyncio.to_thread(file.write, lines)
                count += len(page)
                last = page[-1].user_id
        return count

    async def list_users(self) -> AsyncIterator[str]:
        """Yield the ids of all users in order; a page at a time, no connection held between."""
        last = ""
        while page := await self._run(self._store.users_after, last):
            for user_id in page:
                yield user_id
            last = page[-1]

    async def erase(self, user_id: str) -> None:
        """Forget the user, history and ratings included; or raise `UnknownUserError`."""
        await self._run(self._store.erase, user_id)

    async def record_feedback(
        self, user_id: str, generation: Generation, rating: float, *, actor: str | None = None
    ) -> None:
        """Remember how the user rated an answer, from -1 (bad) to 1 (good); see `feedback`."""
        await self._run(self._store.record_feedback, user_id, generation, rating, actor=actor)

    async def summary(self, user_id: str) -> FeedbackSummary:
        """Add up the user's ratings."""
        return await self._run(self._store.summary, user_id)

    async def upgrade(self) -> None:
        """Create the tables or bring them to this version; safe from several processes at once."""
        await self._run(self._store.upgrade)

    async def check(self) -> None:
        """Raise unless the database answers and its tables are those of this version."""
        await self._run(self._store.check)

    async def stamp(self) -> None:
        """Record that the tables are those of this version, where something else made them."""
        await self._run(self._store.stamp)

    async def close(self) -> None:
        """Close the connections, unless the engine is the caller's; the store is of no use then."""
        await self._run(self._store.close)

    async def __aenter__(self) -> "AsyncSQLProfileStore":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the store's own code on this loop; a cancelled call cleans up before it ends."""
        task = asyncio.ensure_future(greenlet_spawn(functools.partial(work, *args, **kwargs)))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # A call to SQLite is let end: aiosqlite goes on with what a cancelled task began, which
            # may hold the lock of the file, and to close the connection loses one in memory.
            if not self._store.on_sqlite:
                task.cancel()
            # A second cancellation while it rolls back would leave a connection in no known state.
            while not task.done():
                try:
                    await asyncio.wait({task})
                except asyncio.CancelledError:
                    continue
            if not task.cancelled():
                task.exception()  # nobody is left to whom it could be told
            raise

    def __repr__(self) -> str:
        return repr(self._store).replace("_OnLoop", "AsyncSQLProfileStore", 1)


class _Steps(Generic[T]):
    """An iterator that tells its end by None, as StopIteration cannot leave a thread."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items

    def next(self) -> T | None:
        return next(self._items, None)
