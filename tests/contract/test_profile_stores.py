"""The laws that every profile store keeps, run on each of ours: `persona_judge_llm.testing`."""

import asyncio
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from persona_judge_llm.errors import UnknownUserError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Profile
from persona_judge_llm.testing.stores import CompleteProfileStore, ProfileStoreContract, blocking
from persona_judge_profiles import AsyncSQLProfileStore, SQLProfileStore
from tests.postgres_server import PostgresServer

pytest_plugins = ["pytester"]

STORES = [
    "memory",
    "sqlite file",
    "sqlite memory",
    "sqlite cached",
    "caller's engine",
    "aiosqlite file",
    "aiosqlite memory",
    "postgres",
    "async postgres",
]


@pytest.fixture(scope="module")
def postgres_profiles(postgres_server: PostgresServer) -> Iterator[str]:
    """A database with our tables: its tests have tenants of their own, which is quicker."""
    name = postgres_server.create_database()
    url = postgres_server.url(name)
    with SQLProfileStore(url) as store:
        store.upgrade()
    yield url
    postgres_server.drop_database(name)


@contextmanager
def on_callers_engine(path: Path) -> Iterator[CompleteProfileStore]:
    engine = create_engine(f"sqlite:///{path}")
    with SQLProfileStore(engine) as store:
        store.upgrade()
        yield store
    engine.dispose()


@contextmanager
def on_a_loop(url: str, tenant: str = "default") -> Iterator[CompleteProfileStore]:
    store = blocking(AsyncSQLProfileStore(url, tenant))
    try:
        yield store
    finally:
        store.close()


class TestProfileStores(ProfileStoreContract):
    @pytest.fixture(params=STORES)
    def store(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> Iterator[CompleteProfileStore]:
        sqlite = f"sqlite:///{tmp_path / 'p.db'}"
        tenant = uuid.uuid4().hex
        if request.param == "memory":
            yield InMemoryProfileStore()
            return
        if "postgres" in request.param:
            postgres = request.getfixturevalue("postgres_profiles")
        made: dict[str, Callable[[], AbstractContextManager[CompleteProfileStore]]] = {
            "sqlite file": lambda: SQLProfileStore(sqlite),
            "sqlite memory": lambda: SQLProfileStore("sqlite://"),
            "sqlite cached": lambda: SQLProfileStore(sqlite, cache_ttl=60.0, cache_size=3),
            "caller's engine": lambda: on_callers_engine(tmp_path / "theirs.db"),
            "aiosqlite file": lambda: on_a_loop(sqlite),
            "aiosqlite memory": lambda: on_a_loop("sqlite+aiosqlite://"),
            "postgres": lambda: SQLProfileStore(postgres, tenant),
            "async postgres": lambda: on_a_loop(postgres, tenant),
        }
        with made[request.param]() as store:
            yield store


class Slow:
    """An asynchronous store that shows where and when its calls run."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.left = 0
        self.closed = False

    async def get(self, user_id: str) -> Profile:
        self.threads.add(threading.current_thread().name)
        await asyncio.sleep(0.01)
        if user_id == "nobody":
            raise UnknownUserError(user_id)
        return Profile(user_id)

    async def get_version(self, user_id: str) -> int:
        await asyncio.Event().wait()
        return 1

    async def list_users(self) -> AsyncIterator[str]:
        try:
            for user in "abc":
                await asyncio.sleep(0)
                yield user
        finally:
            self.left += 1

    async def close(self) -> None:
        self.closed = True


def test_blocking_runs_every_call_on_one_thread_of_its_own() -> None:
    slow = Slow()
    before = threading.active_count()
    store = blocking(slow, timeout=0.2)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(store.get, "abcd")) == [Profile(u) for u in "abcd"]
    assert list(store.list_users()) == ["a", "b", "c"]
    assert slow.threads == {"blocking profile store"}
    with pytest.raises(UnknownUserError):
        store.get("nobody")
    with pytest.raises(AttributeError, match="erase"):
        store.erase("ana")
    with pytest.raises(TimeoutError):
        store.get_version("ana")
    assert next(iter(store.list_users())) == "a"
    store.close()
    store.close()
    assert slow.closed
    assert slow.left == 2
    assert threading.active_count() == before


def test_a_failing_assertion_of_the_suites_shows_its_values(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from persona_judge_llm.in_memory import InMemoryProfileStore
        from persona_judge_llm.testing.stores import Many

        class Forgetful(InMemoryProfileStore):
            def put_many(self, profiles, *, actor=None):
                return 17

        class TestForgetful(Many):
            @pytest.fixture
            def store(self):
                return Forgetful()

        class TestNothing(Many):
            pass
        """
    )
    result = pytester.runpytest_subprocess("-k", "test_none_are_none", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(["*give your class a fixture named `store`*", "*assert 17 == 0*"])


@pytest.mark.parametrize("package", ["hypothesis", "pytest"])
def test_without_the_extra_the_error_names_it(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from persona_judge_llm.errors import MissingDependencyError\n"
        "try: import persona_judge_llm.testing.stores\n"
        "except MissingDependencyError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert package in done.stdout
    assert "persona-judge-llm[testing]" in done.stdout
