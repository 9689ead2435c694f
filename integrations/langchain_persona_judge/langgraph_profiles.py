"""`LangGraphProfileStore`: the engine's profiles in the store that a LangGraph graph has."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langgraph.store.base import BaseStore, Item

from langchain_persona_judge.profile_values import from_value, to_value
from persona_judge_llm import changes
from persona_judge_llm.errors import (
    InvalidParameterError,
    InvalidPreferenceError,
    ProfileStoreSchemaError,
    ProfileStoreUnavailableError,
    UnknownUserError,
)
from persona_judge_llm.preferences import Profile, check_user_id


class LangGraphProfileStore:
    """Profiles in a LangGraph store, the one that nodes and tools have as `runtime.store`.

    ```python
    memory = InMemoryStore()  # or PostgresStore, AsyncPostgresStore, ...
    engine = PersonaJudge.bundled(profiles=LangGraphProfileStore(memory))
    chat = ChatPersonaJudge(engine=engine)
    graph = builder.compile(store=memory)

    @tool
    def answer_in(style: str, runtime: ToolRuntime) -> str:
        user_id = runtime.config["configurable"]["user_id"]
        LangGraphProfileStore(runtime.store).put(Profile(user_id, (Preference(style),)))
        return "noted"
    ```

    Each user is one item: its namespace is `namespace` for everybody, its key the user's id, and
    its value `{"preferences": [{"text": ...}], "settings": {...}, "version": 1}`. It is read by
    that exact key, never searched for, and is not indexed: no preference reaches an embedding
    model. Stores with a default time to live forget profiles, too.

    LangGraph's stores cannot compare and write in one step. So of two writers at once the last
    one wins, without notice, and both may be told the same version; `expected_version`, whose
    promise could not be kept, is refused. Keep profiles that several writers change in an
    `SQLProfileStore`.

    From the event loop of an async store, await `aget` and `aput`. The engine's own async methods
    read in another thread, where `get` works with such a store, too.

    Args:
        store: a LangGraph store. None, as `runtime.store` is where the graph was compiled without
            one, is refused.
        namespace: where the items are; a name for each application or tenant.

    Raises:
        InvalidParameterError: a store or namespace that cannot be used.
    """

    def __init__(self, store: BaseStore | None, namespace: tuple[str, ...] = ("profiles",)) -> None:
        if not isinstance(store, BaseStore):
            raise InvalidParameterError(
                "store", type(store).__name__, "a LangGraph store, as in `compile(store=...)`"
            )
        self._store = store
        self._namespace = _check_namespace(namespace)

    def get(self, user_id: str) -> Profile:
        """Return the user's profile.

        Raises:
            InvalidPreferenceError: a user id that cannot be one.
            UnknownUserError: the store has no item with this key.
            ProfileStoreSchemaError: the item is no profile; the error quotes nothing of it.
            ProfileStoreUnavailableError: the store failed.
        """
        check_user_id(user_id)
        with _reading():
            item = self._store.get(self._namespace, user_id)
        return self._profile(user_id, item)

    async def aget(self, user_id: str) -> Profile:
        """As `get`, without blocking the event loop."""
        check_user_id(user_id)
        with _reading():
            item = await self._store.aget(self._namespace, user_id)
        return self._profile(user_id, item)

    def put(self, profile: Profile, expected_version: int | None = None) -> Profile:
        """Store `profile` and return it as stored: one version on, every preference with an id.

        Raises:
            InvalidParameterError: an `expected_version`; these stores cannot hold to it.
            InvalidPreferenceError: what is no profile.
            ProfileStoreUnavailableError: the store failed.
        """
        _check_put(profile, expected_version)
        with _reading():
            item = self._store.get(self._namespace, profile.user_id)
        stored = self._next(profile, item)
        with _writing():
            self._store.put(self._namespace, stored.user_id, _with_version(stored), index=False)
        return stored

    async def aput(self, profile: Profile, expected_version: int | None = None) -> Profile:
        """As `put`, without blocking the event loop."""
        _check_put(profile, expected_version)
        with _reading():
            item = await self._store.aget(self._namespace, profile.user_id)
        stored = self._next(profile, item)
        with _writing():
            await self._store.aput(
                self._namespace, stored.user_id, _with_version(stored), index=False
            )
        return stored

    def _own(self, user_id: str, item: Item | None) -> Item | None:
        # A store that compares keys loosely would return the item of somebody with a similar id.
        if item is None or item.key != user_id or item.namespace != self._namespace:
            return None
        return item

    def _profile(self, user_id: str, item: Item | None) -> Profile:
        found = self._own(user_id, item)
        if found is None:
            raise UnknownUserError(user_id)
        try:
            return _from_item(user_id, found.value)
        except InvalidPreferenceError as error:
            unusable = error.name
        # Here, where the error above, which quotes what a user wrote, is no longer its context.
        raise ProfileStoreSchemaError(
            f"the LangGraph store holds no profile under the user's id: its {unusable} cannot be "
            "used; put() a profile in its place"
        )

    def _next(self, profile: Profile, item: Item | None) -> Profile:
        found = self._own(profile.user_id, item)
        made = changes.put(profile).profile
        return dataclasses.replace(made, version=1 + (_version(found.value) if found else 0))


def _from_item(user_id: str, value: object) -> Profile:
    if not isinstance(value, Mapping):
        raise InvalidPreferenceError("value", type(value).__name__, "an object")
    profile = from_value(user_id, {name: value[name] for name in value if name != "version"})
    version: Any = value.get("version")  # checked by the profile
    return dataclasses.replace(profile, version=version)


def _with_version(profile: Profile) -> dict[str, Any]:
    return {**to_value(profile), "version": profile.version}


def _version(value: object) -> int:
    """Return an item's version, 0 if it has none: the item is replaced whatever it is."""
    version = value.get("version") if isinstance(value, Mapping) else None
    if isinstance(version, bool) or not isinstance(version, int):
        return 0
    return max(version, 0)


def _check_put(profile: object, expected_version: object) -> None:
    changes.check_profile(profile)
    if expected_version is not None:
        raise InvalidParameterError(
            "expected_version",
            expected_version,
            "None, for a LangGraph store cannot compare and write in one step; "
            "an SQLProfileStore can",
        )


def _check_namespace(namespace: object) -> tuple[str, ...]:
    labels = namespace if isinstance(namespace, tuple) else ()
    fine = (isinstance(n, str) and n and not {".", "\0"} & set(n) for n in labels)
    if not labels or not all(fine) or labels[0] == "langgraph":
        raise InvalidParameterError(
            "namespace",
            namespace,
            "a tuple of names that are not empty and have no dot; the first is not 'langgraph'",
        )
    return labels


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ProfileStoreUnavailableError(
            f"the LangGraph store failed with {type(error).__name__}; no profile was read"
        ) from error


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  # its message may quote the item
        raise ProfileStoreUnavailableError(
            f"the LangGraph store failed with {type(error).__name__}; perhaps nothing was written"
        ) from None
