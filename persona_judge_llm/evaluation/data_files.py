"""Reading files that users name: every failure is one sentence about the file."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from persona_judge_llm.errors import DataFileError, MissingDependencyError


def read_text(file: str | Path) -> str:
    """Return the text of a UTF-8 file; of a `.gz` one, what is packed in it.

    Raises:
        DataFileError: it cannot be read.
    """
    path = Path(file)
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataFileError(file, "not UTF-8 text") from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataFileError(file, f"cannot be read ({reason})") from None


def read_json(file: str | Path) -> Any:  # noqa: ANN401  # any JSON
    """Return what a file of JSON holds.

    Raises:
        DataFileError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(read_text(file))
    except ValueError as error:
        raise DataFileError(file, f"not JSON ({error})") from None


def json_lines(file: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file of JSON Lines with their line numbers; empty lines are skipped.

    Raises:
        DataFileError: a line is no JSON object.
    """
    # Not splitlines: it breaks at U+2028, which JSON may hold.
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            raise DataFileError(file, "not JSON", line=number) from None
        if not isinstance(value, dict):
            raise DataFileError(file, "not a JSON object", line=number)
        yield number, value


def missing(error: ModuleNotFoundError) -> MissingDependencyError:
    """Return the error that names the extra of evaluations."""
    return MissingDependencyError("eval", error.name)
