"""What is known of a user's taste: `Preference`, `Profile`, and the port for stores of them."""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from datetime import datetime, timezone
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from persona_judge_llm.errors import InvalidPreferenceError

PreferenceKind = Literal["prefer", "must"]
PreferenceSource = Literal["user", "import", "inferred"]

_KINDS = frozenset(get_args(PreferenceKind))
_SOURCES = frozenset(get_args(PreferenceSource))

_MOST = sys.float_info.max

NO_NAMES: frozenset[str] = frozenset()

MAX_TEXT_LENGTH = 2_000
MAX_USER_ID_LENGTH = 255
MAX_ACTIVE_PREFERENCES = 64


def check_text(name: str, value: object, max_length: int) -> str:
    """Return `value` if it is 1 to `max_length` characters of valid Unicode without NUL."""
    if (  # what nearly all texts are: every field of every preference that is read comes by here
        type(value) is str
        and value.isascii()
        and len(value) <= max_length
        and "\0" not in value
        and not value.isspace()
        and value
    ):
        return value
    if not isinstance(value, str):  # what it holds may be a user's id all the same
        raise InvalidPreferenceError(name, type(value).__name__, "a string")
    if not value.strip():
        raise InvalidPreferenceError(name, value, "a string that is not empty")
    shown = f"text of {len(value)} characters"  # what a user wrote is in no error
    if len(value) > max_length:
        raise InvalidPreferenceError(name, shown, f"at most {max_length} characters long")
    if "\0" in value or not (value.isascii() or _encodes(value)):
        raise InvalidPreferenceError(name, shown, "valid Unicode without NUL or lone surrogates")
    return value


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _check_moment(name: str, value: object) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidPreferenceError(name, value, "a time with a time zone")
    try:
        value.astimezone(timezone.utc)
    except OverflowError:
        raise InvalidPreferenceError(name, value, "within the years 1 to 9999 in UTC") from None


def _weight(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidPreferenceError("weight", value, "a number")
    # Compared, not asked for being finite: a whole number too large for a float would overflow.
    if not 0 < value <= _MOST:
        raise InvalidPreferenceError("weight", value, "finite and above 0")
    return float(value)  # as every store keeps it


def _names(value: object) -> frozenset[str]:
    if isinstance(value, list | tuple | set | frozenset) and not value:
        return NO_NAMES
    found = tuple(value) if isinstance(value, Iterable) else (value,)
    names = [name for name in found if isinstance(name, str)]
    if isinstance(value, str) or len(names) < len(found):
        raise InvalidPreferenceError("opposes", value, "a set of preference ids")
    return frozenset(names)


def check_user_id(value: object) -> str:
    """Return `value` if it can name a user: 1 to 255 characters, no NUL, no lone surrogate."""
    return check_text("user_id", value, MAX_USER_ID_LENGTH)


@dataclass(frozen=True, slots=True, init=False)
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
    opposes: frozenset[str] = NO_NAMES
    """Ids of preferences that this one conflicts with."""
    expires_at: datetime | None = None
    """When it stops counting; must carry a time zone."""
    source: PreferenceSource = "user"
    """Who says so; what was "inferred" counts only once it is confirmed."""
    scope: str | None = None
    """Counts only in calls with this scope, such as "work"; None: in all of them."""
    confirmed: bool = False
    """Whether the user agreed to an inferred preference; see `confirm` of the stores."""
    id: str | None = None
    """Unique within a profile; stores assign one where it is None."""

    def __init__(  # by hand: five of these are made for every profile that is read
        self,
        text: str,
        *,
        weight: float = 1.0,
        kind: PreferenceKind = "prefer",
        dimension: str | None = None,
        active: bool = True,
        opposes: Iterable[str] = NO_NAMES,
        expires_at: datetime | None = None,
        source: PreferenceSource = "user",
        scope: str | None = None,
        confirmed: bool = False,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Refuse what no store or prompt could carry."""
        _set_text(self, check_text("preference text", text, MAX_TEXT_LENGTH))
        usual = type(weight) is float and 0.0 < weight <= _MOST
        _set_weight(self, weight if usual else _weight(weight))
        if not isinstance(kind, str) or kind not in _KINDS:
            raise InvalidPreferenceError("kind", kind, "'prefer' or 'must'")
        _set_kind(self, kind)
        if dimension is not None:
            check_text("dimension", dimension, MAX_USER_ID_LENGTH)
        _set_dimension(self, dimension)
        if active is not True and active is not False:
            raise InvalidPreferenceError("active", active, "True or False")
        _set_active(self, active)
        _set_opposes(self, opposes if opposes is NO_NAMES else _names(opposes))
        if expires_at is not None:
            _check_moment("expires_at", expires_at)
        _set_expires_at(self, expires_at)
        if not isinstance(source, str) or source not in _SOURCES:
            raise InvalidPreferenceError("source", source, "'user', 'import' or 'inferred'")
        _set_source(self, source)
        if scope is not None:
            check_text("scope", scope, MAX_USER_ID_LENGTH)
        _set_scope(self, scope)
        if confirmed is not True and confirmed is not False:
            raise InvalidPreferenceError("confirmed", confirmed, "True or False")
        _set_confirmed(self, confirmed)
        if id is not None:
            check_text("id", id, MAX_USER_ID_LENGTH)
        _set_id(self, id)

    def __post_init__(self) -> None:
        """Check what was made past `__init__`, as pydantic and subclasses do."""
        Preference.__init__(self, **{f.name: getattr(self, f.name) for f in fields(Preference)})

    @property
    def pending(self) -> bool:
        """Whether it was inferred and waits to be confirmed or rejected."""
        return self.source == "inferred" and not self.confirmed

    def in_force(self, now: datetime | None = None) -> bool:
        """Tell whether it counts at `now` (default: the present): active, sure and not expired."""
        if not self.active or self.pending:
            return False
        return self.expires_at is None or self.expires_at > (now or datetime.now(timezone.utc))


# The slots' own setters, which fill a frozen object in two thirds of `object.__setattr__`'s time.
(
    _set_text,
    _set_weight,
    _set_kind,
    _set_dimension,
    _set_active,
    _set_opposes,
    _set_expires_at,
    _set_source,
    _set_scope,
    _set_confirmed,
    _set_id,
) = (vars(Preference)[f.name].__set__ for f in fields(Preference))


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
        active = len([p for p in preferences if p.active])
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
    if not given:
        return given
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


@runtime_checkable
class AsyncProfileStore(Protocol):
    """A profile store of programs on an event loop; serves `agenerate` and `astream`."""

    async def get(self, user_id: str) -> Profile:
        """Return the user's profile, or raise `UnknownUserError`."""
        ...

    async def put(self, profile: Profile, expected_version: int | None = None) -> Profile:
        """Store `profile` and return it as stored; see `ProfileStore`."""
        ...


AnyProfileStore: TypeAlias = ProfileStore | AsyncProfileStore


def __getattr__(name: str) -> object:
    if name == "InMemoryProfileStore":  # its first home; it now stands on more than this module
        return getattr(import_module("persona_judge_llm.in_memory"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
