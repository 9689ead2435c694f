"""What each write makes of a profile: pure functions, the same for every store.

A store reads the profile, calls one of these, and keeps what it returns in the same transaction.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from persona_judge_llm.errors import (
    InvalidPreferenceError,
    NothingToUndoError,
    ProfileConflictError,
    UnknownUserError,
)
from persona_judge_llm.preferences import (
    MAX_USER_ID_LENGTH,
    Preference,
    Profile,
    check_text,
    check_user_id,
)

Action = Literal["put", "add", "update", "remove", "reorder", "confirm", "reject", "undo", "import"]

UNDO_STEPS = 20
"""Only so many of the latest writes can be undone; the first one, which made the user, never."""
KEPT_SNAPSHOTS = 2 * UNDO_STEPS
"""Each undo makes a version too, and moves on what is kept."""


_CHANGEABLE = frozenset(f.name for f in dataclasses.fields(Preference)) - {"id"}


@dataclass(frozen=True, slots=True)
class ProfileEvent:
    """One write to a profile; holds no text."""

    version: int
    """The version that the write made."""
    action: Action
    preference_id: str | None
    """The preference that was written; None where it was the whole profile."""
    at: datetime
    actor: str | None = None
    """Who wrote, as the application said."""
    undoes: int | None = None
    """The version whose write an "undo" took back."""


@dataclass(frozen=True, slots=True)
class Change:
    """A profile as it is to be stored, and what to tell the history of it."""

    profile: Profile
    action: Action
    preference_id: str | None = None
    undoes: int | None = None


def put(profile: Profile, action: Action = "put") -> Change:
    """Replace all of the profile."""
    return _change(profile, profile.preferences, action)


def add(profile: Profile, preference: Preference) -> Change:
    """Append one preference."""
    made = _change(profile, (*profile.preferences, preference), "add")
    return dataclasses.replace(made, preference_id=made.profile.preferences[-1].id)


def update(profile: Profile, preference_id: str, fields: Mapping[str, Any]) -> Change:
    """Change fields of one preference."""
    place = _place(profile, preference_id)
    changed = dataclasses.replace(profile.preferences[place], **fields)
    if changed.pending and fields.get("active"):
        raise InvalidPreferenceError("active", True, "False until confirm() was called")  # noqa: FBT003
    return _replaced(profile, place, (changed,), "update")


def remove(profile: Profile, preference_id: str) -> Change:
    """Leave one preference out."""
    return _replaced(profile, _place(profile, preference_id), (), "remove")


def reorder(profile: Profile, preference_ids: Sequence[str]) -> Change:
    """Bring the preferences into another order."""
    by_id = {p.id: p for p in profile.preferences}
    if len(preference_ids) != len(by_id) or set(preference_ids) != set(by_id):
        raise InvalidPreferenceError(
            "preference_ids", list(preference_ids), "each of the profile's ids, once"
        )
    return _change(profile, (by_id[i] for i in preference_ids), "reorder")


def confirm(profile: Profile, preference_id: str) -> Change:
    """Let an inferred preference count."""
    place = _place(profile, preference_id)
    found = profile.preferences[place]
    if found.source != "inferred":
        raise InvalidPreferenceError("preference_id", preference_id, "that of an inferred one")
    sure = dataclasses.replace(found, active=True, confirmed=True)
    return _replaced(profile, place, (sure,), "confirm")


def reject(profile: Profile, preference_id: str) -> Change:
    """Leave out an inferred preference that nobody confirmed."""
    place = _place(profile, preference_id)
    if not profile.preferences[place].pending:
        raise InvalidPreferenceError(
            "preference_id", preference_id, "that of an inferred one that is not confirmed"
        )
    return _replaced(profile, place, (), "reject")


def undo(before: Profile, version: int) -> Change:
    """Return to the state before the write that made `version`."""
    return dataclasses.replace(_change(before, before.preferences, "undo"), undoes=version)


def to_undo(events: Iterable[ProfileEvent]) -> int | None:
    """Return the latest write, of the last `UNDO_STEPS`, that is not undone; newest comes first."""
    below = None
    writes = 0
    for event in events:
        writes += event.action != "undo"
        if writes > UNDO_STEPS:
            break
        if below is not None and event.version >= below:
            continue
        if event.action != "undo":
            return event.version
        below = event.undoes
    return None


def check_preference(value: object) -> None:
    """Refuse, before a store is asked, what is no preference."""
    if not isinstance(value, Preference):
        raise InvalidPreferenceError("preference", value, "a Preference")


def check_profile(value: object) -> None:
    """Refuse, before a store is asked, what is no profile."""
    if not isinstance(value, Profile):
        raise InvalidPreferenceError("profile", type(value).__name__, "a Profile")


def check_fields(fields: Mapping[str, Any]) -> None:
    """Refuse, before a store is asked, fields that no preference could have."""
    for name in fields:
        if name not in _CHANGEABLE:
            raise InvalidPreferenceError("change", name, f"one of {sorted(_CHANGEABLE)}")
    # Fields are checked one by one, so any preference shows whether they can be used.
    Preference(**{"text": "any", **fields})


def check_ids(value: object) -> list[str]:
    """Return the ids as a list, if it is a row of texts."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidPreferenceError("preference_ids", value, "a list of preference ids")
    ids = list(value)
    if not all(isinstance(i, str) for i in ids):
        raise InvalidPreferenceError("preference_ids", ids, "a list of preference ids")
    return ids


def check_write(user_id: object, expected_version: object, actor: object) -> None:
    """Refuse, before a store is asked, what says whose profile is written, when and by whom."""
    check_user_id(user_id)
    if actor is not None:
        check_text("actor", actor, MAX_USER_ID_LENGTH)
    whole = isinstance(expected_version, int) and not isinstance(expected_version, bool)
    if expected_version is not None and not (whole and expected_version >= 0):  # type: ignore[operator]
        raise InvalidPreferenceError(
            "expected_version", expected_version, "a whole number, 0 or more, or None"
        )


def check_expected(user_id: str, expected_version: int | None, found: Profile | None) -> None:
    """Raise `ProfileConflictError` if the stored profile is not at the expected version."""
    version = found.version if found else 0
    if expected_version is not None and expected_version != version:
        raise ProfileConflictError(user_id, expected_version, version)


def applied(
    change: Callable[[Profile | None], Change],
    user_id: str,
    found: Profile | None,
    expected_version: int | None,
) -> Change:
    """Return the changed profile; what somebody else's write made impossible is a conflict.

    Raises:
        ProfileConflictError: the stored profile is not at the expected version.
        UnknownUserError, InvalidPreferenceError: from the change.
    """
    try:
        made = change(found)
    except InvalidPreferenceError:
        check_expected(user_id, expected_version, found)
        raise
    check_expected(user_id, expected_version, found)
    return made


def moved_on(made: Change, found: Profile | None) -> Change:
    """Return the change with the version that it makes of the stored profile."""
    version = found.version + 1 if found else 1
    return dataclasses.replace(made, profile=dataclasses.replace(made.profile, version=version))


def known(user_id: str, found: Profile | None) -> Profile:
    """Return the profile, or raise `UnknownUserError` where there is none."""
    if found is None:
        raise UnknownUserError(user_id)
    return found


def nothing_to_undo(user_id: str) -> NothingToUndoError:
    """Return the error for a profile whose writes are all undone, or too old."""
    return NothingToUndoError(user_id, UNDO_STEPS)


def same(stored: Profile, wanted: Profile) -> bool:
    """Tell whether a write would change nothing but the version."""
    return stored.preferences == wanted.preferences and stored.settings == wanted.settings


def event(made: Change, version: int, actor: str | None) -> ProfileEvent:
    """Return what the history tells of a write that is made now."""
    return ProfileEvent(
        version=version,
        action=made.action,
        preference_id=made.preference_id,
        at=datetime.now(timezone.utc),
        actor=actor,
        undoes=made.undoes,
    )


def with_ids(preferences: tuple[Preference, ...]) -> tuple[Preference, ...]:
    """Give each preference without an id the first free one of p1, p2, ..."""
    if all(p.id is not None for p in preferences):
        return preferences
    taken = {p.id for p in preferences}
    free = (f"p{n}" for n in range(1, len(preferences) + len(taken) + 1) if f"p{n}" not in taken)
    return tuple(
        p if p.id is not None else dataclasses.replace(p, id=next(free)) for p in preferences
    )


def _change(profile: Profile, preferences: Iterable[Preference], action: Action) -> Change:
    kept = tuple(preferences)
    # Neither is so in an import, where all else would cost as much as to check the profile.
    if any(p.id is None or p.source == "inferred" for p in kept):
        # What was inferred and is not confirmed lies inactive, whoever wrote it.
        kept = with_ids(
            tuple(
                dataclasses.replace(p, active=False) if p.pending and p.active else p for p in kept
            )
        )
    if kept == profile.preferences:
        return Change(profile, action)
    return Change(dataclasses.replace(profile, preferences=kept), action)


def _replaced(profile: Profile, place: int, new: tuple[Preference, ...], action: Action) -> Change:
    old = profile.preferences
    made = _change(profile, (*old[:place], *new, *old[place + 1 :]), action)
    return dataclasses.replace(made, preference_id=old[place].id)


def _place(profile: Profile, preference_id: object) -> int:
    for place, preference in enumerate(profile.preferences):
        if preference.id == preference_id:
            return place
    raise InvalidPreferenceError("preference_id", preference_id, "one of the profile's ids")
