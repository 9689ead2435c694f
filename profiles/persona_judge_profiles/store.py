"""`SQLProfileStore`: profiles in an SQL database."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import IntegrityError

from persona_judge_llm.errors import (
    ProfileConflictError,
    ProfileStoreUnavailableError,
    UnknownUserError,
)
from persona_judge_llm.preferences import Preference, Profile, check_text, check_user_id
from persona_judge_profiles import changes, rows
from persona_judge_profiles.changes import Change
from persona_judge_profiles.database import Database
from persona_judge_profiles.rows import ProfileEvent

_Found = TypeVar("_Found")

_PAGE = 500
_ATTEMPTS = 20


class SQLProfileStore:
    """Profiles in an SQL database: a `ProfileStore` for many threads, processes and tenants.

    Nothing is connected or created before the first call. A SQLite database named by a URL gets
    its tables on first use; any other one by `upgrade()`.

    ```python
    with SQLProfileStore("sqlite:///profiles.db") as store:
        store.add("alice", Preference("Answer briefly"))
    ```

    Args:
        url_or_engine: a SQLAlchemy URL, or an engine of your own, which is neither closed nor
            reconfigured: on SQLite its pragmas, `secure_delete` among them, stay yours to choose.
        tenant: keeps the users of several applications apart within one database.

    Raises:
        InvalidParameterError: a URL or tenant that cannot be used.
        MissingDependencyError: the database's driver is not installed.
    """

    def __init__(self, url_or_engine: str | URL | Engine, tenant: str = "default") -> None:
        self._tenant = check_text("tenant", tenant, 255)
        self._database = Database(url_or_engine)

    def get(self, user_id: str) -> Profile:
        """Return the user's profile, or raise `UnknownUserError`."""
        check_user_id(user_id)
        with self._database.reading() as connection:
            return _known(user_id, rows.read(connection, self._tenant, user_id))

    def get_version(self, user_id: str) -> int:
        """Return the stored version, or raise `UnknownUserError`."""
        check_user_id(user_id)
        with self._database.reading() as connection:
            return _known(user_id, rows.read_version(connection, self._tenant, user_id))

    def put(self, profile: Profile, expected_version: int | None = None) -> Profile:
        """Store `profile` and return it as stored: one version on, every preference with an id.

        Raises `ProfileConflictError` if `expected_version` is given and is not the stored one
        (0 stands for "does not exist yet"); nothing is written then.
        """
        return self._write(profile.user_id, lambda _: changes.put(profile), expected_version)

    def add(
        self, user_id: str, preference: Preference, expected_version: int | None = None
    ) -> Profile:
        """Append one preference; creates the profile if there is none."""
        changes.check_preference(preference)
        empty = Profile(user_id)
        return self._write(
            user_id, lambda found: changes.add(found or empty, preference), expected_version
        )

    def update(
        self,
        user_id: str,
        preference_id: str,
        *,
        expected_version: int | None = None,
        **fields: Any,  # noqa: ANN401
    ) -> Profile:
        """Change fields of one preference (`text=`, `weight=`, `active=`, ...)."""
        changes.check_fields(fields)
        return self._write(
            user_id,
            lambda found: changes.update(_known(user_id, found), preference_id, fields),
            expected_version,
        )

    def remove(
        self, user_id: str, preference_id: str, expected_version: int | None = None
    ) -> Profile:
        """Remove one preference."""
        return self._write(
            user_id,
            lambda found: changes.remove(_known(user_id, found), preference_id),
            expected_version,
        )

    def list_users(self) -> Iterator[str]:
        """Yield the ids of all users in order; a page at a time, no connection held between."""
        last = ""
        while True:
            with self._database.reading() as connection:
                page = rows.users_after(connection, self._tenant, last, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1]

    def history(self, user_id: str) -> list[ProfileEvent]:
        """Return the writes to the profile, oldest first, or raise `UnknownUserError`."""
        check_user_id(user_id)
        with self._database.reading() as connection:
            return _known(user_id, rows.read_events(connection, self._tenant, user_id))

    def erase(self, user_id: str) -> None:
        """Forget the user, history included; raises `UnknownUserError` if there is none.

        In a SQLite file opened by URL the bytes are overwritten too, also in its log.
        """
        check_user_id(user_id)
        with self._database.writing() as connection:
            rows.erase(connection, _known(user_id, rows.lock(connection, self._tenant, user_id)))
        self._database.forget_log()

    def upgrade(self) -> None:
        """Create the tables or bring them to this version; safe from several processes at once."""
        self._database.upgrade()

    def check(self) -> None:
        """Raise unless the database answers and its tables are those of this version."""
        self._database.check()

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
        return f"SQLProfileStore({self._database.name!r}, tenant={self._tenant!r})"

    def _write(
        self,
        user_id: str,
        change: Callable[[Profile | None], Change],
        expected_version: int | None,
    ) -> Profile:
        check_user_id(user_id)
        # One attempt is enough on SQLite. Elsewhere two writers may create a profile at once.
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(_OvertakenError), self._database.writing() as connection:
                return self._write_once(connection, user_id, change, expected_version)
        raise ProfileStoreUnavailableError(f"{self._database.name} is too busy to write a profile")

    def _write_once(
        self,
        connection: Connection,
        user_id: str,
        change: Callable[[Profile | None], Change],
        expected_version: int | None,
    ) -> Profile:
        key = rows.lock(connection, self._tenant, user_id)
        found = None if key is None else rows.read(connection, self._tenant, user_id)
        version = found.version if found else 0
        made = change(found)
        if expected_version is not None and expected_version != version:
            raise ProfileConflictError(user_id, expected_version, version)
        stored = dataclasses.replace(made.profile, version=version + 1)
        if key is None or found is None:
            try:
                key = rows.insert_profile(connection, self._tenant, stored)
            except IntegrityError:
                raise _OvertakenError from None
        elif not rows.update_profile(connection, key, version, stored):
            raise _OvertakenError
        rows.replace_preferences(connection, key, found or Profile(user_id), stored)
        rows.add_event(connection, key, stored.version, made.action, made.preference_id)
        return stored


class _OvertakenError(Exception):
    """Another writer came between the read and the write; nothing was written."""


def _known(user_id: str, found: _Found | None) -> _Found:
    if found is None:
        raise UnknownUserError(user_id)
    return found
