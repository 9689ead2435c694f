"""Files of JSON Lines that only grow, and survive whatever kills the process that writes them."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from persona_judge_llm.errors import DataFileError

if sys.platform != "win32":
    import fcntl


class Records:
    """Appends records to a file, each on the disk before the next one is made.

    A torn last line, as a kill or a full disk leaves it, is cut off when the file is opened.

    Raises:
        DataFileError: the file cannot be opened, holds what is not ours, or another process
            writes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            raise DataFileError(path, f"cannot be written ({error.strerror})") from error
        try:
            self._lock()
            self.found, length = _parse(path, self._read())
            self._file.truncate(length)
        except BaseException:
            self._file.close()
            raise

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record, and return when it is on the disk.

        Raises:
            DataFileError: the disk is full, or failed.
        """
        # ASCII: a text that cannot be encoded, such as a lone surrogate, ends no run.
        line = json.dumps(record) + "\n"
        try:
            self._file.write(line.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DataFileError(self._path, f"cannot be written ({error.strerror})") from error

    def __enter__(self) -> "Records":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def _read(self) -> bytes:
        self._file.seek(0)
        return self._file.read()

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFileError(self._path, "another process is writing it") from None
        except OSError:  # a file system without locks
            return


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file, without a torn last line; none if there is no file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataFileError(path, f"cannot be read ({error.strerror})") from error
    return _parse(path, data)[0]


def write_whole(path: Path, text: str) -> None:
    """Replace a file by another at once.

    Raises:
        DataFileError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise DataFileError(path, f"cannot be written ({error.strerror})") from error


def _parse(path: Path, data: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the records, and how many bytes they take."""
    *lines, torn = data.split(b"\n")
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            found.append(record)
        elif number < len(lines):
            raise DataFileError(path, "not a record of an evaluation", line=number)
        else:
            torn = line + b"\n" + torn
    return found, len(data) - len(torn)
