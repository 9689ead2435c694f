"""The laws of profile stores, to be run on a store of your own.

```python
# test_my_store.py
import pytest
from persona_judge_llm.testing.stores import ProfileStoreContract

class TestMyStore(ProfileStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        with MyStore(tmp_path / "profiles") as store:
            yield store
```

A store that can do only a part of it takes the suites of that part, as in
`class TestMyStore(Reads, Writes)`. For an asynchronous store let the fixture yield
`blocking(MyAsyncStore(...))`, and close it.

It runs on pytest and hypothesis: `pip install 'persona-judge-llm[testing]'`.
"""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeVar, cast

from persona_judge_llm.preferences import Profile
from persona_judge_llm.testing.store_suite.bad_lines import BadLines
from persona_judge_llm.testing.store_suite.common import CompleteProfileStore
from persona_judge_llm.testing.store_suite.feedback import Feedback
from persona_judge_llm.testing.store_suite.inferred import Inferred
from persona_judge_llm.testing.store_suite.lines import Lines
from persona_judge_llm.testing.store_suite.many import Many
from persona_judge_llm.testing.store_suite.past import Past
from persona_judge_llm.testing.store_suite.reads import Reads
from persona_judge_llm.testing.store_suite.refusals import Refusals
from persona_judge_llm.testing.store_suite.writes import Writes

__all__ = [
    "BadLines",
    "BlockingProfileStore",
    "CompleteProfileStore",
    "Feedback",
    "Inferred",
    "Lines",
    "Many",
    "Past",
    "ProfileStoreContract",
    "Reads",
    "Refusals",
    "Writes",
    "blocking",
]

T = TypeVar("T")


class ProfileStoreContract(
    Reads, Writes, Refusals, Past, Inferred, Many, Lines, BadLines, Feedback
):
    """Everything that a profile store promises; give it your store by a fixture named `store`.

    The fixture returns an empty store for every test. See the module for an example.
    """


class BlockingProfileStore(CompleteProfileStore, Protocol):
    """What `blocking` returns."""

    def upgrade(self) -> None:
        """Create the tables, as SQL stores can."""
        ...

    def close(self) -> None:
        """Close the store, and stop the loop and its thread."""
        ...


def blocking(async_store: object, *, timeout: float = 60.0) -> BlockingProfileStore:
    """Return an asynchronous store as one whose methods block, for any number of threads.

    It runs on an event loop of its own, in one thread, until it is closed.

    Args:
        async_store: what it cannot do, the returned one cannot either.
        timeout: seconds after which a call is given up, as it would never end.
    """
    return cast("BlockingProfileStore", _Blocking(async_store, timeout))


class _Blocking:
    def __init__(self, store: object, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="blocking profile store", daemon=True
        )
        self._thread.start()

    # These two in words: `isinstance(store, ProfileStore)` does not ask `__getattr__`.
    def get(self, user_id: str) -> Profile:
        return cast("Profile", self.__getattr__("get")(user_id))

    def put(self, profile: Profile, expected_version: int | None = None, **more: Any) -> Profile:  # noqa: ANN401
        return cast("Profile", self.__getattr__("put")(profile, expected_version, **more))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)

        def call(*args: object, **kwargs: object) -> object:
            made = method(*args, **kwargs)
            if inspect.isawaitable(made):
                return self._wait_for(made)
            return self._iterate(made) if isinstance(made, AsyncIterator) else made

        return call

    def close(self) -> None:
        if self._loop.is_closed():
            return
        try:
            if hasattr(self._store, "close"):
                self.__getattr__("close")()
            self._wait_for(self._loop.shutdown_asyncgens())
            self._wait_for(self._loop.shutdown_default_executor())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _wait_for(self, awaitable: Awaitable[T]) -> T:
        async def wait() -> T:
            return await asyncio.wait_for(awaitable, self._timeout)

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result()

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        while True:
            try:
                item = self._wait_for(anext(items))
            except StopAsyncIteration:
                return
            yield item
