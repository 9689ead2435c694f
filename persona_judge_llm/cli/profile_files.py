"""`persona-judge profile`: many profiles at once, as lines of JSON."""

import sys
from typing import Annotated, TextIO, cast

import typer

from persona_judge_llm.cli import options, profile_options
from persona_judge_llm.cli.files import STANDARD, reading, reading_shown, told, writing
from persona_judge_llm.cli.opening import opened_store
from persona_judge_llm.cli.screen import line, write_json
from persona_judge_llm.profile_lines import ImportReport

app = typer.Typer()


@app.command(
    epilog=options.example("profile export profiles.jsonl", "profile export | gzip > p.gz")
)
def export(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to, for you alone to read; -: stdout.")
    ] = STANDARD,
    *,
    store: options.Store = None,
) -> None:
    """Write every profile as a line of JSON, in the order of the ids; without its history.

    A file is replaced once all is written, and stays as it was if that fails.
    """
    with opened_store(store) as profiles, told(file, "writable"), writing(file) as target:
        count = profiles.export_jsonl(target)
        target.flush()
    typer.echo(f"{_profiles(count)} exported", err=True)


@app.command(
    "import",
    epilog=options.example(
        "profile import profiles.jsonl --actor ops", "profile import --skip-bad-lines < p.jsonl"
    ),
)
def import_(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Lines as `profile export` writes them; -: stdin."),
    ] = None,
    *,
    skip_bad_lines: Annotated[
        bool,
        typer.Option("--skip-bad-lines", help="Go on after a bad line; exit with 1 at the end."),
    ] = False,
    actor: profile_options.Actor = None,
    json: options.Json = False,
    store: options.Store = None,
) -> None:
    """Store a profile from each line, in the place of what its user had.

    Profiles that are stored like that already are left alone.

    Ends at the first bad line with exit code 1; what stands before is stored.
    With --skip-bad-lines every good line is stored and every bad one listed;
    the exit code is 1 if there was any.
    """
    if file is None and sys.stdin.isatty():
        raise typer.BadParameter("name a file, or pipe lines in")
    with (
        opened_store(store) as profiles,
        told(file or STANDARD, "a file that can be read"),
        reading(file or STANDARD) as source,
        reading_shown(source) as progress,
    ):
        report = profiles.import_jsonl(
            # Lines of bytes: one that is no UTF-8 is told by its number.
            cast("TextIO", source),
            actor=actor,
            on_error="skip" if skip_bad_lines else "raise",
            progress=progress,
        )
    if json:
        write_json(_report_values(report))
    else:
        for bad in report.errors:
            typer.echo(line(f"line {bad.line}: {bad.reason}"), err=True)
        counts = f"{_profiles(report.written)} written, {report.unchanged} unchanged"
        typer.echo(f"{counts}, {len(report.errors)} skipped" if report.errors else counts)
    if report.errors:
        raise typer.Exit(1)


def _profiles(count: int) -> str:
    return f"{count} {'profile' if count == 1 else 'profiles'}"


def _report_values(report: ImportReport) -> dict[str, object]:
    return {
        "written": report.written,
        "unchanged": report.unchanged,
        "errors": [{"line": bad.line, "reason": bad.reason} for bad in report.errors],
    }
