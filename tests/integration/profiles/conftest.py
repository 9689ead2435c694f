"""The databases of these tests, and processes that start quickly."""

import itertools
import multiprocessing
import multiprocessing.forkserver
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.profiles import workers
from tests.integration.profiles.workers import Processes
from tests.postgres_server import PostgresServer


@pytest.fixture(params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes an empty database at each call and returns its address; of each kind."""
    if request.param == "sqlite":
        numbers = itertools.count(1)
        (tmp_path / "sqlite").mkdir()
        yield lambda: f"sqlite:///{tmp_path / 'sqlite' / f'{next(numbers)}.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    server.start()  # a test that stopped it may have failed
    made: list[str] = []

    def make() -> str:
        made.append(server.create_database())
        return server.url(made[-1])

    yield make
    server.start()
    for name in made:
        server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of an SQLite file, in a folder of its own, that is not there yet."""
    (tmp_path / "sqlite").mkdir(exist_ok=True)
    return f"sqlite:///{tmp_path / 'sqlite' / 'profiles.db'}"


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    """The address of an empty database of each kind."""
    return new_database()


@pytest.fixture(scope="session")
def processes() -> Processes:
    """Processes forked from one that has imported everything and has no threads."""
    multiprocessing.forkserver.set_forkserver_preload([workers.__name__])
    with pytest.MonkeyPatch.context() as patch:
        # The server of the forks imports before it is told where our modules lie.
        patch.setenv("PYTHONPATH", os.pathsep.join(str(Path(p).resolve()) for p in sys.path))
        multiprocessing.forkserver.ensure_running()
    return Processes(multiprocessing.get_context("forkserver"))
