"""Errors of the package, told in one line on stderr."""

import shlex
import typing

import typer
from typer.core import TyperGroup

from persona_judge_llm.cli.screen import visible
from persona_judge_llm.errors import (
    PersonaJudgeError,
    ProfileImportError,
    ProfileStoreSchemaError,
    UnknownUserError,
)


class OneLineErrors(TyperGroup):
    """Ends a command that raised one of our errors with that error's sentence and code 1."""

    def invoke(self, ctx: typing.Any) -> typing.Any:  # noqa: ANN401
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PersonaJudgeError as error:
            tell(error)
            raise typer.Exit(1) from None


def tell(error: PersonaJudgeError) -> None:
    """Write the error's sentence to stderr."""
    typer.echo(f"error: {visible(sentence(error))}", err=True)


def sentence(error: PersonaJudgeError) -> str:
    """Return what went wrong, and the way out where the command line has one."""
    if isinstance(error, UnknownUserError):
        user = shlex.quote(error.user_id)
        return (
            f"no profile for user {error.user_id!r}; "
            f'add one: persona-judge profile add {user} "Be concise"'
        )
    told = " ".join(str(error).split())
    if isinstance(error, ProfileStoreSchemaError):
        fault, found, _ = told.rpartition("; call ")
        return f"{fault}; with the same --store, run: persona-judge db upgrade" if found else told
    if isinstance(error, ProfileImportError):
        return (
            f"{told}; the lines before it are stored, it and the rest are not: "
            "mend it and import again, or use --skip-bad-lines"
        )
    return told
