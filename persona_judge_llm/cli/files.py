"""Files that a command reads or writes; `-` stands for stdin and stdout."""

import contextlib
import errno
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from rich.progress import BarColumn, Progress, TextColumn

from persona_judge_llm.cli.screen import stderr
from persona_judge_llm.errors import InvalidParameterError

STANDARD = "-"


@contextlib.contextmanager
def told(file: str, expected: str) -> Iterator[None]:
    """Tell what the operating system says of a file as one of our errors."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever reads has read enough
            raise
        raise InvalidParameterError("FILE", file, f"{expected} ({error.strerror})") from error


@contextlib.contextmanager
def writing(name: str) -> Iterator[TextIO]:
    """Open a file to write lines to; it is replaced at the end, if nothing failed until then."""
    path = Path(name)
    if name == STANDARD:
        yield sys.stdout
    elif path.exists() and not path.is_file():  # a pipe or a device
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
    else:
        with _replacing(path.resolve()) as file:
            yield file


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """Open a file that takes the place of `path` at the end; nobody else may read it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".persona-judge-")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123 - a handle
            yield file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def reading(name: str) -> Iterator[BinaryIO]:
    """Open a file to read lines of bytes from."""
    if name == STANDARD:
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield file


@contextlib.contextmanager
def reading_shown(source: BinaryIO) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how much of `source` is done; yields what takes the number of lines."""
    console = stderr()
    size = _size(source)
    bar = Progress(
        TextColumn("reading"),
        BarColumn(),
        TextColumn("line {task.completed}" if size is None else "{task.percentage:.0f}%"),
        console=console,
        transient=True,
        disable=not console.is_interactive,
    )
    with bar:
        task = bar.add_task("", total=size)

        def show(done: int) -> None:
            bar.update(task, completed=done if size is None else source.tell())

        yield show


def _size(source: BinaryIO) -> int | None:
    try:
        found = os.fstat(source.fileno())
    except OSError:  # no file of the operating system
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
