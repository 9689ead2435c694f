"""`SQLProfileStore`: profiles in an SQL database."""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

from sqlalchemy import URL, Engine

from persona_judge_llm import changes
from persona_judge_llm.changes import Action, ProfileEvent
from persona_judge_llm.errors import (
    ProfileImportError,
    ProfileStoreUnavailableError,
    UnknownUserError,
)
from persona_judge_llm.feedback import FeedbackSummary, feedback
from persona_judge_llm.preferences import Profile, check_text, check_user_id
from persona_judge_llm.profile_lines import (
    ImportReport,
    OnError,
    Source,
    Target,
    read_profiles,
    to_line,
    writable,
)
from persona_judge_llm.profile_writes import ProfileWrites
from persona_judge_llm.trace import Generation
from persona_judge_profiles import at_once, bulk, listing, past, ratings, reads, rows, writes
from persona_judge_profiles.cache import ProfileCache
from persona_judge_profiles.database import Database
from persona_judge_profiles.rows import Stamped
from persona_judge_profiles.writes import Changing, OvertakenError

_PAGE = 200
_ATTEMPTS = 20


class SQLProfileStore(ProfileWrites):
    """Profiles in an SQL database: a `ProfileStore` for many threads, processes and tenants.

    Nothing is connected or created before the first call. A SQLite database named by a URL gets
    its tables on first use; any other one by `upgrade()`.

    ```python
    with SQLProfileStore("sqlite:///profiles.db") as store:
        store.add("alice", Preference("Answer briefly"))
    ```

    Every method raises `InvalidPreferenceError` for what cannot be stored, `UnknownUserError`
    where the user must exist, `ProfileStoreUnavailableError` if the database does not answer, and
    `ProfileConflictError` if `expected_version` is given and is not the stored one (0 stands for
    "does not exist yet"); nothing is written then. `actor` says in the history who wrote.

    Args:
        url_or_engine: a SQLAlchemy URL, or an engine of your own, which is neither closed nor
            reconfigured: on SQLite its pragmas, `secure_delete` among them, stay yours to choose.
            After a fork, call its `dispose(close=False)` in the child before this store is used.
        tenant: keeps the users of several applications apart within one database.
        cache_ttl: seconds for which a profile that was read may be served again without asking
            the database; changes by other processes are seen so much later. 0: always ask.
        cache_size: most profiles that are kept for that.

    Raises:
        InvalidParameterError: a URL, tenant or cache setting that cannot be used.
        MissingDependencyError: the database's driver is not installed.
    """

    _on_loop = False

    def __init__(
        self,
        url_or_engine: str | URL | Engine,
        tenant: str = "default",
        *,
        cache_ttl: float = 0.0,
        cache_size: int = 10_000,
    ) -> None:
        self._tenant = check_text("tenant", tenant, 255)
        self._cache = ProfileCache(cache_ttl, cache_size)
        self._database = Database(url_or_engine, on_loop=self._on_loop)

    def get(self, user_id: str) -> Profile:
        """Return the user's profile, or raise `UnknownUserError`."""
        found = self._cache.fresh(user_id)
        if found is not None:
            return found
        check_user_id(user_id)
        found = reads.load(self._database.ask, self._tenant, user_id, self._cache)
        return changes.known(user_id, found)

    def get_version(self, user_id: str) -> int:
        """Return the stored version, or raise `UnknownUserError`."""
        check_user_id(user_id)
        stamp = reads.read_stamp(self._database.ask, self._tenant, user_id)
        if stamp is None:
            raise UnknownUserError(user_id)
        return stamp.version

    def undo(
        self, user_id: str, expected_version: int | None = None, *, actor: str | None = None
    ) -> Profile:
        """Take back the latest write; again: the one before it. That is a write itself.

        Raises `NothingToUndoError` when no write is left.
        """
        return self._write(user_id, None, expected_version, actor)

    def history(self, user_id: str) -> list[ProfileEvent]:
        """Return the writes to the profile, oldest first, or raise `UnknownUserError`."""
        check_user_id(user_id)
        found = self._database.read(lambda c: past.read_events(c, self._tenant, user_id))
        if found is None:
            raise UnknownUserError(user_id)
        return found

    def put_many(self, profiles: Iterable[Profile], *, actor: str | None = None) -> int:
        """Store profiles and return how many were written: those that were not like that yet.

        In transactions of a thousand; of a user who is named twice the later profile counts.
        """
        return sum(self._put_batch(batch, "put", actor) for batch in bulk.batches(profiles))

    def import_jsonl(
        self,
        source: Source,
        *,
        actor: str | None = None,
        on_error: OnError = "raise",
        progress: Callable[[int], object] | None = None,
    ) -> ImportReport:
        """Store a profile from each line; a second import of the same lines writes nothing.

        Args:
            source: a path, a text file, or lines as `export_jsonl` writes them.
            actor: see the class.
            on_error: "raise" stops at the first bad line, "skip" goes on and reports them all.
            progress: called with the number of the line up to which all is stored.

        Raises:
            ProfileImportError: names the first bad line; what stands before it is stored.
        """
        written = total = 0
        errors: list[ProfileImportError] = []
        for batch in bulk.line_batches(read_profiles(source, on_error)):
            written += self._put_batch(batch.profiles, "import", actor)
            total += len(batch.profiles)
            errors += batch.errors
            if progress is not None:
                progress(batch.last_line)
            if batch.stopped_by is not None:
                raise batch.stopped_by
        return ImportReport(written, total - written, tuple(errors))

    def export_jsonl(self, target: Target) -> int:
        """Write every profile as a line of JSON, in the order of the ids; return how many."""
        count = 0
        with writable(target) as file:
            for page in self._pages():
                file.writelines(to_line(profile) + "\n" for profile in page)
                count += len(page)
        return count

    def list_users(self) -> Iterator[str]:
        """Yield the ids of all users in order; a page at a time, no connection held between."""
        last = ""
        while True:
            page = self._users_after(last)
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1]

    def erase(self, user_id: str) -> None:
        """Forget the user, history and ratings included; or raise `UnknownUserError`.

        In a SQLite file opened by URL the bytes are overwritten too, also in its log. A server
        keeps them in its log and its backups for as long as it is set up to.
        """
        check_user_id(user_id)
        try:
            known = self._database.write(lambda c: rows.erase(c, self._tenant, user_id))
        finally:
            self._cache.forget(user_id)
        if not known:
            raise UnknownUserError(user_id)
        self._database.forget_log()

    def record_feedback(
        self, user_id: str, generation: Generation, rating: float, *, actor: str | None = None
    ) -> None:
        """Remember how the user rated an answer, from -1 (bad) to 1 (good); see `feedback`."""
        changes.check_write(user_id, None, actor)
        rated = feedback(user_id, generation, rating, actor)
        self._database.write(lambda c: ratings.add(c, self._tenant, user_id, rated))

    def summary(self, user_id: str) -> FeedbackSummary:
        """Add up the user's ratings."""
        check_user_id(user_id)
        return self._database.read(lambda c: ratings.summary(c, self._tenant, user_id))

    def upgrade(self) -> None:
        """Create the tables or bring them to this version; safe from several processes at once."""
        self._database.upgrade()

    def check(self) -> None:
        """Raise unless the database answers and its tables are those of this version."""
        self._database.check()

    def stamp(self) -> None:
        """Record that the tables are those of this version, where something else made them."""
        self._database.stamp()

    def close(self) -> None:
        """Close the connections, unless the engine is the caller's; the store is of no use then."""
        self._database.close()

    def __enter__(self) -> "SQLProfileStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._database.name!r}, tenant={self._tenant!r})"

    def _users_after(self, last: str) -> list[str]:
        return self._database.read(lambda c: listing.users_after(c, self._tenant, last, _PAGE))

    def _profiles_after(self, last: str) -> list[Profile]:
        return self._database.read(lambda c: listing.profiles_after(c, self._tenant, last, _PAGE))

    def _pages(self) -> Iterator[list[Profile]]:
        last = ""
        while page := self._profiles_after(last):
            yield page
            last = page[-1].user_id

    def _write(
        self,
        user_id: str,
        change: Changing | None,
        expected_version: int | None,
        actor: str | None,
    ) -> Profile:
        changes.check_write(user_id, expected_version, actor)

        def write_at_once(change: Changing) -> Stamped | None:
            return self._database.step(
                lambda connection: writes.look(
                    connection, self._tenant, user_id, change, expected_version, actor
                ),
                at_once.act,
            )

        def write() -> Profile:
            stored = self._database.write(
                lambda connection: writes.write(
                    connection, self._tenant, user_id, change, expected_version, actor
                )
            )
            return stored.profile

        try:
            # A file is locked anyway, and what is undone is looked for in the history.
            quick = None if change is None or self._database.on_sqlite else write_at_once(change)
            return quick.profile if quick else self._repeated(write)
        finally:  # after an error too, as it may have been written all the same
            self._cache.forget(user_id)

    def _put_batch(self, profiles: list[Profile], action: Action, actor: str | None) -> int:
        for profile in profiles:
            changes.check_profile(profile)
        changes.check_write("any", None, actor)

        def put() -> list[str]:
            return self._database.write(
                lambda connection: bulk.put(connection, self._tenant, profiles, action, actor)
            )

        try:
            return len(self._repeated(put))
        finally:
            for profile in profiles:
                self._cache.forget(profile.user_id)

    def _repeated(self, attempt: Callable[[], writes.T]) -> writes.T:
        # One attempt is enough on SQLite. Elsewhere two writers may create a profile at once.
        for _ in range(_ATTEMPTS):
            try:
                return attempt()
            except OvertakenError:
                continue
        raise ProfileStoreUnavailableError(f"{self._database.name} is too busy to write a profile")
