"""Profiles as the JSON values that LangChain's and LangGraph's stores keep under a user's id.

They have the shape of a line of the stores' JSON Lines, without the user, who is the key:

    {"preferences": [{"text": "Be concise", "id": "p1"}], "settings": {"language": "en"}}

Fields that have their default are left out.
"""

import json
from collections.abc import Mapping
from typing import Any

from persona_judge_llm.errors import InvalidPreferenceError
from persona_judge_llm.preferences import Profile
from persona_judge_llm.profile_lines import profile_from, profile_values


def to_value(profile: Profile) -> dict[str, Any]:
    """Return what a profile holds as JSON values that are the caller's to change."""
    copied: dict[str, Any] = json.loads(json.dumps(profile_values(profile)))
    return copied


def from_value(user_id: str, value: object) -> Profile:
    """Return the profile that is kept under the user's id, at version 0.

    Raises:
        InvalidPreferenceError: a user id or value that cannot be used.
    """
    if isinstance(value, Mapping) and "user_id" in value:
        raise InvalidPreferenceError("field", "user_id", "left out: the key is the user's id")
    return profile_from(user_id, value)
