"""Opening what a command works with: the profile store and the engine."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_judge_llm.cli.screen import stderr
from persona_judge_llm.errors import ProfileStoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy import URL

    from persona_judge_llm.engine import PersonaJudge
    from persona_judge_profiles import SQLProfileStore


_SMALL = 50_000_000
"""Parameters of a model that one thread serves best."""


def data_folder() -> Path:
    """Return where this platform keeps a user's data of this program."""
    home = Path.home()
    if os.name == "nt":
        root = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = home / "Library" / "Application Support"
    else:
        root = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return root / "persona-judge"


@contextlib.contextmanager
def opened_store(url: str | None) -> Iterator["SQLProfileStore"]:
    """Open the store at `url`, or the user's own one."""
    # First, as it tells which extra is missing.
    from persona_judge_profiles import SQLProfileStore

    with SQLProfileStore(_own_database() if url is None else url) as store:
        yield store


def _own_database() -> "URL":
    from sqlalchemy import URL

    folder = data_folder()
    try:
        # Preferences are personal: nobody else on the machine may read them.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ProfileStoreUnavailableError(
            f"the data folder {str(folder)!r} cannot be made ({error.strerror}); use --store"
        ) from error
    return URL.create("sqlite", database=str(folder / "profiles.db"))


@contextlib.contextmanager
def opened_engine(
    model: str | None,
    **settings: Any,  # noqa: ANN401
) -> Iterator["PersonaJudge"]:
    """Open a model, the bundled one by default, with a sign of life on stderr meanwhile."""
    # Loading from disk takes seconds and needs one line; a download keeps the hub's own bars.
    local = model is None or Path(model).exists()
    if local:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    waiting = stderr().status(f"Loading {model or 'the bundled model'} ...")
    with waiting if local else contextlib.nullcontext():
        from persona_judge_llm.engine import PersonaJudge

        if model is None:
            engine = PersonaJudge.bundled(**settings)
        else:
            engine = PersonaJudge.from_pretrained(model, **settings)
        _choose_threads(engine)
    with engine:
        yield engine


def _choose_threads(engine: "PersonaJudge") -> None:
    import torch

    size = sum(p.numel() for p in getattr(engine.model, "parameters", tuple)())
    # A small model's threads mostly wait for each other: on a busy machine one is 15 times faster.
    if size < _SMALL and engine.language_model.device.type == "cpu":
        torch.set_num_threads(1)


@contextlib.contextmanager
def opened_engine_for(
    user: str | None, model: str | None, store: str | None
) -> Iterator["PersonaJudge"]:
    """Open a model and, where a user is named, the profiles too; an unknown user fails first."""
    if user is None:
        with opened_engine(model) as engine:
            yield engine
        return
    with opened_store(store) as profiles:
        profiles.get_version(user)
        with opened_engine(model, profiles=profiles) as engine:
            yield engine
