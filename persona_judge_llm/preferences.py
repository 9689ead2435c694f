"""What is known of a user's taste: `Preference`, `Profile`, and where profiles come from."""

import dataclasses
import json
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from persona_judge_llm.errors import (
    InvalidPreferenceError,
    ProfileConflictError,
    UnknownUserError,
)

PreferenceKind = Literal["prefer", "must"]
PreferenceSource = Literal["user", "import", "inferred"]

MAX_TEXT_LENGTH = 2_000
MAX_USER_ID_LENGTH = 255
MAX_ACTIVE_PREFERENCES = 64


def check_text(name: str, value: object, max_length: int) -> str:
    """Return `value` if it is 1 to `max_length` characters of valid Unicode without NUL."""
    if not isinstance(value, str):
        raise InvalidPreferenceError(name, value, "a string")
    if not value.strip():
        raise InvalidPreferenceError(name, value, "a string that is not empty")
    shown = f"text of {len(value)} characters"  # what a user wrote is in no error
    if len(value) > max_length:
        raise InvalidPreferenceError(name, shown, f"at most {max_length} characters long")
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise InvalidPreferenceError(name, shown, "valid Unicode without NUL or lone surrogates")
    return value


def _check_moment(name: str, value: object) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidPreferenceError(name, value, "a time with a time zone")
    try:
        value.astimezone(timezone.utc)
    except OverflowError:
        raise InvalidPreferenceError(name, value, "within the years 1 to 9999 in UTC") from None


def check_user_id(value: object) -> str:
    """Return `value` if it can name a user: 1 to 255 characters, no NUL, no lone surrogate."""
    return check_text("user_id", value, MAX_USER_ID_LENGTH)


@dataclass(frozen=True, slots=True)
class Preference:
    """One thing that a user likes or demands of answers.

    Raises:
        InvalidPreferenceError: a field that cannot be used, named.
    """

    text: str
    """What is wanted, in the user's words: 1 to 2,000 characters."""
    _: KW_ONLY
    weight: float = 1.0
    """How much it matters beside the others; above 0, finite."""
    kind: PreferenceKind = "prefer"
    """`must` goes to both sides of a split and is never dropped; `prefer` to one side."""
    dimension: str | None = None
    """A label such as "tone" or "length", used by the `by_dimension` splitter."""
    active: bool = True
    opposes: frozenset[str] = frozenset()
    """Ids of preferences that this one conflicts with."""
    expires_at: datetime | None = None
    """When it stops counting; must carry a time zone."""
    source: PreferenceSource = "user"
    id: str | None = None
    """Unique within a profile; stores assign one where it is None."""

    def __post_init__(self) -> None:
        """Refuse what no store or prompt could carry."""
        check_text("preference text", self.text, MAX_TEXT_LENGTH)
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float):
            raise InvalidPreferenceError("weight", self.weight, "a number")
        # Compared, not asked for being finite: a whole number too large for a float would overflow.
        if not 0 < self.weight <= sys.float_info.max:
            raise InvalidPreferenceError("weight", self.weight, "finite and above 0")
        if self.kind not in get_args(PreferenceKind):
            raise InvalidPreferenceError("kind", self.kind, "'prefer' or 'must'")
        if self.source not in get_args(PreferenceSource):
            raise InvalidPreferenceError("source", self.source, "'user', 'import' or 'inferred'")
        if not isinstance(self.active, bool):
            raise InvalidPreferenceError("active", self.active, "True or False")
        for name in ("dimension", "id"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name), MAX_USER_ID_LENGTH)
        if (
            isinstance(self.opposes, str)
            or not isinstance(self.opposes, Iterable)
            or not all(isinstance(o, str) for o in self.opposes)
        ):
            raise InvalidPreferenceError("opposes", self.opposes, "a set of preference ids")
        object.__setattr__(self, "opposes", frozenset(self.opposes))
        if self.expires_at is not None:
            _check_moment("expires_at", self.expires_at)

    def in_force(self, now: datetime | None = None) -> bool:
        """Tell whether it counts at `now` (default: the present): active and not expired."""
        if not self.active:
            return False
        return self.expires_at is None or self.expires_at > (now or datetime.now(timezone.utc))


@dataclass(frozen=True, slots=True)
class Profile:
    """A user's preferences at one version; immutable.

    Raises:
        InvalidPreferenceError: a bad user id, two preferences with one id, or more than 64
            active preferences.
    """

    user_id: str
    preferences: tuple[Preference, ...] = ()
    version: int = 0
    """0 for a profile that no store has seen; stores count from 1."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Whatever the application keeps with the user; JSON values. The engine does not read it."""

    def __post_init__(self) -> None:
        """Refuse what no store could carry; freeze the containers."""
        check_user_id(self.user_id)
        if not isinstance(self.preferences, Iterable):
            raise InvalidPreferenceError("preferences", self.preferences, "Preference objects")
        preferences = tuple(self.preferences)
        for preference in preferences:
            if not isinstance(preference, Preference):
                raise InvalidPreferenceError("preferences", preference, "Preference objects")
        ids = [p.id for p in preferences if p.id is not None]
        if len(ids) != len(set(ids)):
            raise InvalidPreferenceError("preferences", ids, "preferences with distinct ids")
        active = sum(p.active for p in preferences)
        if active > MAX_ACTIVE_PREFERENCES:
            raise InvalidPreferenceError(
                "preferences", active, f"at most {MAX_ACTIVE_PREFERENCES} active preferences"
            )
        if isinstance(self.version, bool) or not isinstance(self.version, int) or self.version < 0:
            raise InvalidPreferenceError("version", self.version, "a whole number, 0 or more")
        object.__setattr__(self, "preferences", preferences)
        object.__setattr__(self, "settings", MappingProxyType(_json_copy(self.settings)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let profiles be copied and sent to other processes, which a frozen mapping cannot."""
        return Profile, (self.user_id, self.preferences, self.version, dict(self.settings))


def _json_copy(settings: object) -> dict[str, Any]:
    """Return a deep copy of `settings` if JSON can carry it and gives the same back."""
    expected = "a mapping of JSON values"
    if not isinstance(settings, Mapping):
        raise InvalidPreferenceError("settings", settings, expected)
    given = dict(settings)
    try:
        copy: dict[str, Any] = json.loads(json.dumps(given, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise InvalidPreferenceError("settings", given, expected) from None
    if copy != given:
        raise InvalidPreferenceError("settings", given, expected)
    return copy


@runtime_checkable
class ProfileStore(Protocol):
    """The port through which the engine reads profiles; stores also write through it."""

    def get(self, user_id: str) -> Profile:
        """Return the user's profile, or raise `UnknownUserError`."""
        ...

    def put(self, profile: Profile, expected_version: int | None = None) -> Profile:
        """Store `profile` and return it as stored, one version on.

        Raises `ProfileConflictError` if `expected_version` is given and is not the stored one
        (0 stands for "does not exist yet").
        """
        ...


class InMemoryProfileStore:
    """Profiles in a dictionary; safe to use from many threads. For tests and small programs."""

    def __init__(self, profiles: tuple[Profile, ...] | list[Profile] = ()) -> None:
        self._lock = threading.Lock()
        self._profiles: dict[str, Profile] = {}
        for profile in profiles:
            self.put(profile)

    def get(self, user_id: str) -> Profile:
        """Return the user's profile, or raise `UnknownUserError`."""
        check_user_id(user_id)
        with self._lock:
            try:
                return self._profiles[user_id]
            except KeyError:
                raise UnknownUserError(user_id) from None

    def get_version(self, user_id: str) -> int:
        """Return the stored version, or raise `UnknownUserError`."""
        return self.get(user_id).version

    def put(self, profile: Profile, expected_version: int | None = None) -> Profile:
        """Store `profile` and return it as stored: one version on, every preference with an id."""
        with self._lock:
            return self._put(profile, expected_version)

    def add(
        self, user_id: str, preference: Preference, expected_version: int | None = None
    ) -> Profile:
        """Append one preference; creates the profile if there is none."""
        check_user_id(user_id)
        with self._lock:
            found = self._profiles.get(user_id, Profile(user_id))
            return self._put(
                dataclasses.replace(found, preferences=(*found.preferences, preference)),
                expected_version,
            )

    def update(
        self,
        user_id: str,
        preference_id: str,
        *,
        expected_version: int | None = None,
        **changes: Any,  # noqa: ANN401
    ) -> Profile:
        """Change fields of one preference (`text=`, `weight=`, `active=`, ...)."""
        check_changes(changes)
        with self._lock:
            found, position = self._find(user_id, preference_id)
            preferences = list(found.preferences)
            preferences[position] = dataclasses.replace(preferences[position], **changes)
            return self._put(
                dataclasses.replace(found, preferences=tuple(preferences)), expected_version
            )

    def remove(
        self, user_id: str, preference_id: str, expected_version: int | None = None
    ) -> Profile:
        """Remove one preference."""
        with self._lock:
            found, position = self._find(user_id, preference_id)
            preferences = found.preferences[:position] + found.preferences[position + 1 :]
            return self._put(dataclasses.replace(found, preferences=preferences), expected_version)

    def list_users(self) -> Iterator[str]:
        """Yield the ids of all users in order."""
        with self._lock:
            users = sorted(self._profiles)
        yield from users

    def erase(self, user_id: str) -> None:
        """Forget the user; raises `UnknownUserError` if there is none."""
        check_user_id(user_id)
        with self._lock:
            if self._profiles.pop(user_id, None) is None:
                raise UnknownUserError(user_id)

    def _find(self, user_id: str, preference_id: str) -> tuple[Profile, int]:
        found = self._profiles.get(check_user_id(user_id))
        if found is None:
            raise UnknownUserError(user_id)
        for position, preference in enumerate(found.preferences):
            if preference.id == preference_id:
                return found, position
        raise InvalidPreferenceError("preference_id", preference_id, "one of the profile's ids")

    def _put(self, profile: Profile, expected_version: int | None) -> Profile:
        found = self._profiles.get(profile.user_id)
        found_version = found.version if found else 0
        if expected_version is not None and expected_version != found_version:
            raise ProfileConflictError(profile.user_id, expected_version, found_version)
        stored = dataclasses.replace(
            profile, preferences=with_ids(profile.preferences), version=found_version + 1
        )
        self._profiles[profile.user_id] = stored
        return stored


def check_changes(changes: Mapping[str, object]) -> None:
    """Refuse, by name, changes that are not fields of a preference (its id never changes)."""
    allowed = {f.name for f in dataclasses.fields(Preference)} - {"id"}
    for name in changes:
        if name not in allowed:
            raise InvalidPreferenceError("change", name, f"one of {sorted(allowed)}")


def with_ids(preferences: tuple[Preference, ...]) -> tuple[Preference, ...]:
    """Give each preference without an id the first free one of p1, p2, ..."""
    taken = {p.id for p in preferences}
    free = (f"p{n}" for n in range(1, len(preferences) + len(taken) + 1) if f"p{n}" not in taken)
    return tuple(
        p if p.id is not None else dataclasses.replace(p, id=next(free)) for p in preferences
    )
