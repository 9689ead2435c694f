"""Arguments and options that several commands of `persona-judge profile` have."""

import re
from datetime import datetime, timedelta, timezone
from typing import Annotated, Literal, TypeAlias

import typer

_AHEAD = re.compile("([0-9]{1,6})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def future(text: str) -> datetime:
    """Return the moment that is meant: so far ahead, or in ISO 8601, in local time without a zone.

    Raises:
        typer.BadParameter: no moment, or one that is over.
    """
    now = datetime.now(timezone.utc)
    ahead = _AHEAD.fullmatch(text)
    try:
        if ahead:
            moment = now.replace(microsecond=0) + int(ahead[1]) * _UNITS[ahead[2]]
        else:
            # Python 3.10 knows no "Z".
            moment = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text))
            moment = moment.astimezone(timezone.utc)
    except (OSError, OverflowError, ValueError):
        raise typer.BadParameter(
            "not a time: use 12h, 30d, 4w, or ISO 8601 such as 2030-12-31T18:00+01:00"
        ) from None
    if moment <= now:
        raise typer.BadParameter("this time is over")
    return moment


UserId: TypeAlias = Annotated[
    str, typer.Argument(metavar="USER", help="Any id that you use for them.")
]
PreferenceId: TypeAlias = Annotated[
    str, typer.Argument(metavar="PREF_ID", help="As `profile list USER` shows it.")
]
Kind: TypeAlias = Literal["must", "prefer"]

WEIGHT = typer.Option("--weight", help="How much it matters beside the others.")
KIND = typer.Option("--kind", help="must: holds for every token; prefer: one side asks for it.")
DIMENSION = typer.Option("--dimension", metavar="LABEL", help='A label, such as "tone".')
SCOPE = typer.Option(
    "--scope", metavar="NAME", help='Counts only in calls with this scope, such as "work".'
)
EXPIRES = typer.Option(
    "--expires",
    metavar="WHEN",
    parser=future,
    help="When it stops counting: 12h, 30d, 4w, or an ISO time (local time without a zone).",
)
Actor: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--actor", metavar="NAME", help="Who writes, for the history; by default it names nobody."
    ),
]
ExpectedVersion: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--expected-version",
        min=0,
        metavar="N",
        help="Write only if the profile is at version N; 0: only if there is none.",
    ),
]
