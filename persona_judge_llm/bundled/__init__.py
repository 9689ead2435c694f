"""The small model that ships with the package; a demonstration and a test instrument."""

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

NAME = "persona-judge-bundled"


@cache
def path() -> Path:
    """Return the folder of the bundled model."""
    with as_file(files(__name__)) as folder:
        return folder
