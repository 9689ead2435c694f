"""What each write makes of a profile: pure functions, the same for every database."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from persona_judge_llm.errors import InvalidPreferenceError
from persona_judge_llm.preferences import Preference, Profile, check_changes, with_ids
from persona_judge_profiles.rows import Action


@dataclass(frozen=True, slots=True)
class Change:
    """A profile as it is to be stored, and what to tell the history of it."""

    profile: Profile
    action: Action
    preference_id: str | None = None


def put(profile: Profile) -> Change:
    """Replace all of the profile."""
    kept = with_ids(profile.preferences)
    return Change(dataclasses.replace(profile, preferences=kept), "put")


def add(profile: Profile, preference: Preference) -> Change:
    """Append one preference."""
    kept = with_ids((*profile.preferences, preference))
    return Change(dataclasses.replace(profile, preferences=kept), "add", kept[-1].id)


def update(profile: Profile, preference_id: str, fields: Mapping[str, Any]) -> Change:
    """Change fields of one preference."""
    place = _place(profile, preference_id)
    kept = list(profile.preferences)
    kept[place] = dataclasses.replace(kept[place], **fields)
    changed = dataclasses.replace(profile, preferences=tuple(kept))
    return Change(changed, "update", preference_id)


def remove(profile: Profile, preference_id: str) -> Change:
    """Leave one preference out."""
    place = _place(profile, preference_id)
    kept = profile.preferences[:place] + profile.preferences[place + 1 :]
    return Change(dataclasses.replace(profile, preferences=kept), "remove", preference_id)


def check_preference(value: object) -> None:
    """Refuse, before the database is asked, what is no preference."""
    if not isinstance(value, Preference):
        raise InvalidPreferenceError("preference", value, "a Preference")


def check_fields(fields: Mapping[str, Any]) -> None:
    """Refuse, before the database is asked, fields that no preference could have."""
    check_changes(fields)
    # Fields are checked one by one, so any preference shows whether they can be used.
    dataclasses.replace(Preference("any"), **fields)


def _place(profile: Profile, preference_id: str) -> int:
    for place, preference in enumerate(profile.preferences):
        if preference.id == preference_id:
            return place
    raise InvalidPreferenceError("preference_id", preference_id, "one of the profile's ids")
