"""What every test relies on: nothing is fetched, and the same seed gives the same run."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import hypothesis
import pytest
import torch

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer

# The first torch operation of a process takes seconds, which a deadline would call flaky.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

# The models of the tests are small: waiting for a second thread costs more than it gives.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where there is no CUDA device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def postgres_server() -> "Iterator[PostgresServer]":
    """A running PostgreSQL server; skips where there can be none, but fails in CI."""
    from tests.postgres_server import NoServerError, PostgresServer

    try:
        server = PostgresServer()
    except NoServerError as error:
        if os.environ.get("CI", "").lower() not in ("", "false"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: "PostgresServer") -> Iterator[str]:
    """The address of an empty PostgreSQL database, of this test alone."""
    postgres_server.start()  # a test that stopped it may have failed
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.start()
    postgres_server.drop_database(name)
