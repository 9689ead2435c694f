"""What the command tells of itself, and how quickly."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import Result

from persona_judge_llm import __version__
from persona_judge_llm.cli import app


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and group."""
    group = group or get_command(app)
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


def test_every_promised_command_is_there() -> None:
    found = {" ".join(words) for words in commands()}
    assert found == {
        "", "demo", "chat", "generate", "plan", "model", "model info",
        "profile", "profile add", "profile list", "profile show", "profile remove",
        "profile history", "profile summary", "profile edit", "profile reorder",
        "profile confirm", "profile reject", "profile undo", "profile export", "profile import",
        "db", "db upgrade", "db check", "db stamp",
        "diagnose", "eval", "eval generate", "eval score", "eval judge", "eval report",
    }  # fmt: skip


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_has_help_with_an_example(
    words: tuple[str, ...], run: Callable[..., Result]
) -> None:
    result = run(*words, "--help")
    assert result.exit_code == 0
    _, found, example = result.stdout.partition("Example:")
    assert found
    assert " ".join(("persona-judge", *words)) in example


@pytest.mark.parametrize("words", [w for w in commands() if w], ids=" ".join)
def test_every_command_says_what_it_does_and_what_its_options_are(words: tuple[str, ...]) -> None:
    command: Any = get_command(app)
    for word in words:
        command = command.commands[word]
    assert command.help
    assert all(getattr(p, "help", None) for p in command.params if p.name != "user")


def test_the_version_is_that_of_the_package(ok: Callable[..., str]) -> None:
    assert ok("--version").strip() == f"persona-judge {__version__}"


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_load_neither_torch_nor_a_database(argument: str) -> None:
    code = (
        "import sys\nfrom persona_judge_llm.cli import main\n"
        f"sys.argv = ['persona-judge', '{argument}']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'sqlalchemy', 'langchain_core'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_does_not_load_torch() -> None:
    code = "import sys, persona_judge_llm; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
