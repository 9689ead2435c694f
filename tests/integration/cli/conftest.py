"""The command line on a tiny model with random weights and a store in a temporary folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from persona_judge_llm.cli import app
from persona_judge_llm.testing import tiny_model, tiny_tokenizer

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def store_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Also the store of every command of the test that names none."""
    url = f"sqlite:///{tmp_path / 'profiles.db'}"
    monkeypatch.setenv("PERSONA_JUDGE_STORE", url)
    return url


@pytest.fixture
def run(store_url: str) -> Run:
    """Runs a command; one that fails otherwise than by exiting fails the test."""

    def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def ok(run: Run) -> Callable[..., str]:
    """Runs a command that must succeed and returns what it wrote to stdout."""

    def ok(*arguments: str, stdin: str | bytes | None = None) -> str:
        result = run(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return ok
