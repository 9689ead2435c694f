"""Profiles as JSON: one object a line, as import and export of the stores have it.

    {"user_id": "ana", "preferences": [{"text": "Be concise", "id": "p1", "weight": 2.0}]}

Fields of a preference that have their default are left out, so equal profiles are equal lines.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, NoReturn, TextIO, TypeAlias

from persona_judge_llm.errors import InvalidParameterError, InvalidPreferenceError
from persona_judge_llm.errors import ProfileImportError as LineError
from persona_judge_llm.preferences import Preference, Profile

Source: TypeAlias = "str | Path | TextIO | Iterable[str]"
Target: TypeAlias = "str | Path | TextIO"
OnError = Literal["raise", "skip"]

_DEFAULTS: dict[str, Any] = {
    f.name: f.default for f in dataclasses.fields(Preference) if f.name not in ("text", "opposes")
}
_FIELDS = frozenset((*_DEFAULTS, "text", "opposes"))
_PROFILE_FIELDS = frozenset(("user_id", "preferences", "settings"))


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did."""

    written: int = 0
    """Profiles that were made or replaced."""
    unchanged: int = 0
    """Profiles that were stored like that already."""
    errors: tuple[LineError, ...] = ()
    """The lines that were skipped, with `on_error="skip"`."""


def preference_values(preference: Preference) -> dict[str, Any]:
    """Return a preference as JSON values: its text, and what differs from the defaults."""
    values: dict[str, Any] = {"text": preference.text}
    for name, default in _DEFAULTS.items():
        value = getattr(preference, name)
        if value != default:
            # In UTC, as databases keep it: equal profiles are to be equal lines.
            moment = isinstance(value, datetime)
            values[name] = value.astimezone(timezone.utc).isoformat() if moment else value
    if preference.opposes:
        values["opposes"] = sorted(preference.opposes)
    return values


def preference_from(values: object) -> Preference:
    """Return the preference.

    Raises:
        InvalidPreferenceError: an unknown field, or a value that cannot be used.
    """
    if not isinstance(values, Mapping):
        raise InvalidPreferenceError("preference", type(values).__name__, "an object with a text")
    if not values.keys() <= _FIELDS:
        unknown = next(name for name in values if name not in _FIELDS)
        raise InvalidPreferenceError("field of a preference", unknown, f"one of {sorted(_FIELDS)}")
    fields = {"text": None, **values}
    if fields.get("expires_at") is not None:
        fields["expires_at"] = _moment(fields["expires_at"])
    if "opposes" in fields:
        fields["opposes"] = _names(fields["opposes"])
    return Preference(**fields)


def profile_values(profile: Profile) -> dict[str, Any]:
    """Return what a profile holds as JSON values, without its user and version."""
    values: dict[str, Any] = {"preferences": [preference_values(p) for p in profile.preferences]}
    if profile.settings:
        values["settings"] = dict(profile.settings)
    return values


def profile_from(user_id: object, values: object) -> Profile:
    """Return the profile of a user, at version 0.

    Raises:
        InvalidPreferenceError: see `preference_from`.
    """
    if not isinstance(values, Mapping):
        raise InvalidPreferenceError("profile", type(values).__name__, "an object")
    if not _PROFILE_FIELDS.issuperset(values):
        unknown = next(name for name in values if name not in _PROFILE_FIELDS)
        raise InvalidPreferenceError("field", unknown, f"one of {sorted(_PROFILE_FIELDS)}")
    listed = values.get("preferences", ())
    if not isinstance(listed, list | tuple):
        raise InvalidPreferenceError("preferences", type(listed).__name__, "a list")
    preferences = tuple(map(preference_from, listed))
    return Profile(user_id, preferences, settings=values.get("settings", {}))  # type: ignore[arg-type]


def to_line(profile: Profile) -> str:
    """Return the profile as one line of JSON, in ASCII and without an end."""
    return json.dumps({"user_id": profile.user_id, **profile_values(profile)}, allow_nan=False)


def from_line(line: str) -> Profile:
    """Return the profile that a line holds.

    Raises:
        InvalidPreferenceError: not a JSON object, or one that is no profile.
    """
    try:
        values = _JSON.decode(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "numbers or nesting that cannot be read")
        raise InvalidPreferenceError("line", "other text", f"JSON ({reason})") from None
    if not isinstance(values, Mapping) or "user_id" not in values:
        raise InvalidPreferenceError("line", "another value", 'an object with a "user_id"')
    return profile_from(values["user_id"], values)


def read_profiles(source: Source, on_error: OnError) -> Iterator[tuple[int, Profile | LineError]]:
    """Yield the number of each line with its profile, or with what is wrong with it.

    A user who is named twice is an error: which of the two would count?

    Raises:
        InvalidParameterError: a source or a policy that cannot be used.
        ProfileImportError: the first bad line, unless it is to be skipped.
    """
    if on_error not in ("raise", "skip"):
        raise InvalidParameterError("on_error", on_error, "'raise' or 'skip'")
    seen: set[int] = set()  # hashes, as a million ids would need a lot of memory
    with _opened(source) as lines:
        for number, line in enumerate(lines, 1):
            try:
                profile = _profile(line, seen)
            except InvalidPreferenceError as error:
                # Without the value: reports of imports go where no user's words belong.
                bad = LineError(number, f"{error.name} must be {error.expected}")
                if on_error == "raise":
                    raise bad from None
                yield number, bad
            else:
                if profile is not None:
                    yield number, profile


@contextlib.contextmanager
def writable(target: Target) -> Iterator[TextIO]:
    """Open a path to write lines to, or pass a file through.

    Raises:
        InvalidParameterError: neither of the two, or a path that cannot be written.
    """
    if not isinstance(target, str | Path):
        if not hasattr(target, "write"):
            raise InvalidParameterError("target", type(target).__name__, "a path or a text file")
        yield target
        return
    try:
        file = Path(target).open("w", encoding="utf-8", newline="\n")  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise InvalidParameterError("target", target, "a file that can be written") from error
    with file:
        yield file


@contextlib.contextmanager
def _opened(source: object) -> Iterator[Iterable[object]]:
    if not isinstance(source, str | Path):
        if not isinstance(source, Iterable) or isinstance(source, bytes | Mapping):
            raise InvalidParameterError(
                "source", type(source).__name__, "a path, a text file or lines"
            )
        yield source
        return
    try:
        # As bytes: a line that is no UTF-8 is to be told by its number.
        file = Path(source).open("rb")  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise InvalidParameterError("source", source, "a file that can be read") from error
    with file:
        yield file


def _profile(line: object, seen: set[int]) -> Profile | None:
    text = _text(line)
    if not text or text.isspace():
        return None
    profile = from_line(text)
    mark = hash(profile.user_id)
    if mark in seen:
        raise InvalidPreferenceError("user_id", "named before", "named once")
    seen.add(mark)
    return profile


def _text(line: object) -> str:
    if isinstance(line, bytes):
        try:
            line = line.decode()
        except UnicodeDecodeError:
            raise InvalidPreferenceError("line", "other bytes", "UTF-8") from None
    if not isinstance(line, str):
        raise InvalidPreferenceError("line", type(line).__name__, "text")
    return line.removeprefix("\ufeff")


def _moment(value: object) -> datetime:
    text = str(value)
    if text.endswith("Z"):  # which Python 3.10 does not know
        text = text[:-1] + "+00:00"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidPreferenceError("expires_at", "other text", "a time in ISO 8601") from None


def _names(value: object) -> frozenset[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise InvalidPreferenceError("opposes", type(value).__name__, "a list of preference ids")
    return frozenset(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_JSON = json.JSONDecoder(parse_constant=_refuse)  # once: one a line is a tenth of an import
