"""Progress bars of `persona-judge eval`."""

import contextlib
from collections.abc import Iterator

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from persona_judge_llm.cli.screen import line, stderr
from persona_judge_llm.evaluation.progress import Progress as Told


@contextlib.contextmanager
def progress_shown(what: str) -> Iterator[Told]:
    """Show a bar on a terminal; yields what is told how far the work is."""
    console = stderr()
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[now]}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_interactive,
    )
    with bar:
        task = bar.add_task(what, total=None, now="")

        def show(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, now=line(what))

        yield show
