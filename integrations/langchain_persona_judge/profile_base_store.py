"""`ProfileBaseStore`: a profile store behind LangChain's key-value interface."""

import inspect
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar, cast

from langchain_core.runnables import run_in_executor
from langchain_core.stores import BaseStore

from langchain_persona_judge.profile_values import from_value, to_value
from persona_judge_llm.errors import (
    InvalidParameterError,
    InvalidPreferenceError,
    ProfileStoreError,
    UnknownUserError,
)
from persona_judge_llm.preferences import Profile

_Listed = TypeVar("_Listed")

_PAGE = 500
"""So many keys at a time come out of the thread that lists them."""


class KeptProfiles(Protocol):
    """What `ProfileBaseStore` needs of a store, such as `InMemoryProfileStore`."""

    def get(self, user_id: str, /) -> Profile:
        """Return the user's profile, or raise `UnknownUserError`."""
        ...

    def put(self, profile: Profile, /) -> Profile:
        """Store the profile and return it as stored."""
        ...

    def erase(self, user_id: str, /) -> None:
        """Forget the user; raises `UnknownUserError` if there is none."""
        ...

    def list_users(self) -> Iterator[str]:
        """Yield the ids of all users."""
        ...


class AsyncKeptProfiles(Protocol):
    """The same of a store whose methods are coroutines."""

    async def get(self, user_id: str, /) -> Profile:
        """Return the user's profile, or raise `UnknownUserError`."""
        ...

    async def put(self, profile: Profile, /) -> Profile:
        """Store the profile and return it as stored."""
        ...

    async def erase(self, user_id: str, /) -> None:
        """Forget the user; raises `UnknownUserError` if there is none."""
        ...

    def list_users(self) -> AsyncIterator[str]:
        """Yield the ids of all users."""
        ...


class ProfileBaseStore(BaseStore[str, dict[str, Any]]):
    """A profile store as a LangChain `BaseStore`: user ids are the keys, profiles the values.

    ```python
    values = ProfileBaseStore(SQLProfileStore("sqlite:///profiles.db"))
    values.mset([("ana", {"preferences": [{"text": "Be concise", "id": "p1"}]})])
    values.mget(["ana", "bob"])  # [{"preferences": [{"text": "Be concise", "id": "p1"}]}, None]
    list(values.yield_keys(prefix="a"))  # ["ana"]
    ```

    A value holds "preferences", each a text with those fields that differ from the default, and
    "settings" where there are any; one that is set like that is read back the same. What the
    profile store adds is read back too: ids where none were given, and `active: false` for what
    was inferred and nobody confirmed. Each value that is set is a write of the whole profile, one
    version on; what expects a version calls the profile store itself.

    The methods that begin with "a" await a store of coroutines, and use a thread for any other.

    Args:
        store: where the profiles are kept; its methods may be coroutines.

    Raises:
        InvalidParameterError: a store without get, put, erase and list_users.
    """

    def __init__(self, store: KeptProfiles | AsyncKeptProfiles) -> None:
        for name in ("get", "put", "erase", "list_users"):
            if not callable(getattr(store, name, None)):
                raise InvalidParameterError(
                    "store", type(store).__name__, "a store with get, put, erase and list_users"
                )
        self._store = store
        self._awaited = inspect.iscoroutinefunction(store.get)

    def mget(self, keys: Sequence[str]) -> list[dict[str, Any] | None]:
        """Return the users' profiles as values, None for users who are not known.

        Raises:
            InvalidPreferenceError: a key that cannot be a user id.
            ProfileStoreError: the store's methods are coroutines, or it failed.
        """
        store = self._blocking("mget")
        found: list[dict[str, Any] | None] = []
        for user_id in _list_of("keys", keys):
            try:
                found.append(to_value(store.get(user_id)))
            except UnknownUserError:
                found.append(None)
        return found

    async def amget(self, keys: Sequence[str]) -> list[dict[str, Any] | None]:
        """As `mget`, without blocking the event loop."""
        if not self._awaited:
            return await super().amget(keys)
        store = cast("AsyncKeptProfiles", self._store)
        found: list[dict[str, Any] | None] = []
        for user_id in _list_of("keys", keys):
            try:
                found.append(to_value(await store.get(user_id)))
            except UnknownUserError:
                found.append(None)
        return found

    def mset(self, key_value_pairs: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Replace the users' profiles; all values are checked before the first is written.

        Raises:
            InvalidPreferenceError: a user id or value that cannot be used; nothing is written.
            ProfileStoreError: the store's methods are coroutines, or it failed; the profiles
                before may be written.
        """
        store = self._blocking("mset")
        for profile in _profiles(key_value_pairs):
            store.put(profile)

    async def amset(self, key_value_pairs: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """As `mset`, without blocking the event loop."""
        if not self._awaited:
            return await super().amset(key_value_pairs)
        store = cast("AsyncKeptProfiles", self._store)
        for profile in _profiles(key_value_pairs):
            await store.put(profile)
        return None

    def mdelete(self, keys: Sequence[str]) -> None:
        """Erase the users, with all that the store keeps of them; unknown ones are passed over.

        Raises:
            InvalidPreferenceError: a key that cannot be a user id.
            ProfileStoreError: the store's methods are coroutines, or it failed.
        """
        store = self._blocking("mdelete")
        for user_id in _list_of("keys", keys):
            try:
                store.erase(user_id)
            except UnknownUserError:
                continue

    async def amdelete(self, keys: Sequence[str]) -> None:
        """As `mdelete`, without blocking the event loop."""
        if not self._awaited:
            return await super().amdelete(keys)
        store = cast("AsyncKeptProfiles", self._store)
        for user_id in _list_of("keys", keys):
            try:
                await store.erase(user_id)
            except UnknownUserError:
                continue
        return None

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the ids of all users, or of those that begin with exactly `prefix`."""
        prefix = _check_prefix(prefix)
        for user_id in self._blocking("yield_keys").list_users():
            if user_id.startswith(prefix):
                yield user_id

    async def ayield_keys(  # pyright: ignore[reportIncompatibleMethodOverride]  # as LangChain's own
        self, *, prefix: str | None = None
    ) -> AsyncIterator[str]:
        """As `yield_keys`, without blocking the event loop."""
        if self._awaited:
            prefix = _check_prefix(prefix)
            async for user_id in cast("AsyncKeptProfiles", self._store).list_users():
                if user_id.startswith(prefix):
                    yield user_id
            return
        users = self.yield_keys(prefix=prefix)
        while page := await run_in_executor(None, lambda: list(islice(users, _PAGE))):
            for user_id in page:
                yield user_id

    def _blocking(self, method: str) -> KeptProfiles:
        if self._awaited:
            raise ProfileStoreError(
                f"the methods of {type(self._store).__name__} are coroutines; "
                f"use a{method}() in place of {method}()"
            )
        return cast("KeptProfiles", self._store)


def _profiles(pairs: Iterable[tuple[str, dict[str, Any]]]) -> list[Profile]:
    """Return a profile for each pair of user id and value."""
    profiles = []
    for pair in _list_of("key_value_pairs", pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2:  # noqa: PLR2004
            raise InvalidPreferenceError(
                "key_value_pairs", type(pair).__name__, "pairs of a user id and a value"
            )
        profiles.append(from_value(*pair))
    return profiles


def _list_of(name: str, given: Iterable[_Listed]) -> list[_Listed]:
    # A text would be read letter by letter: users "a", "n" and "a" for "ana".
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidPreferenceError(name, type(given).__name__, "a list")
    return list(given)


def _check_prefix(prefix: object) -> str:
    if prefix is None:
        return ""
    if not isinstance(prefix, str):
        raise InvalidPreferenceError("prefix", prefix, "a string")
    return prefix
