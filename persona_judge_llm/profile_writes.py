"""The writes that every store offers, each a change made in one transaction of the store."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from persona_judge_llm import changes
from persona_judge_llm.changes import Change
from persona_judge_llm.preferences import Preference, Profile


class ProfileWrites(ABC):
    """What stores can do to one profile; a store says how a change is kept.

    For what the methods raise, and for `expected_version` and `actor`, see the stores.
    """

    def put(
        self, profile: Profile, expected_version: int | None = None, *, actor: str | None = None
    ) -> Profile:
        """Store `profile` and return it as stored: one version on, every preference with an id."""
        changes.check_profile(profile)
        return self._write(profile.user_id, lambda _: changes.put(profile), expected_version, actor)

    def add(
        self,
        user_id: str,
        preference: Preference,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Append one preference; creates the profile if there is none."""
        changes.check_preference(preference)

        def append(found: Profile | None) -> Change:
            return changes.add(found or Profile(user_id), preference)

        return self._write(user_id, append, expected_version, actor)

    def update(
        self,
        user_id: str,
        preference_id: str,
        *,
        expected_version: int | None = None,
        actor: str | None = None,
        **fields: Any,  # noqa: ANN401
    ) -> Profile:
        """Change fields of one preference (`text=`, `weight=`, `active=`, ...)."""
        changes.check_fields(fields)
        return self._change(
            user_id, lambda p: changes.update(p, preference_id, fields), expected_version, actor
        )

    def remove(
        self,
        user_id: str,
        preference_id: str,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Remove one preference."""
        return self._change(
            user_id, lambda p: changes.remove(p, preference_id), expected_version, actor
        )

    def reorder(
        self,
        user_id: str,
        preference_ids: Iterable[str],
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Bring the preferences into the order of `preference_ids`, which names each once."""
        ids = changes.check_ids(preference_ids)
        return self._change(user_id, lambda p: changes.reorder(p, ids), expected_version, actor)

    def confirm(
        self,
        user_id: str,
        preference_id: str,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Let an inferred preference count from now on."""
        return self._change(
            user_id, lambda p: changes.confirm(p, preference_id), expected_version, actor
        )

    def reject(
        self,
        user_id: str,
        preference_id: str,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Remove an inferred preference that nobody confirmed."""
        return self._change(
            user_id, lambda p: changes.reject(p, preference_id), expected_version, actor
        )

    @abstractmethod
    def _write(
        self,
        user_id: str,
        change: Callable[[Profile | None], Change],
        expected_version: int | None,
        actor: str | None,
    ) -> Profile:
        """Read the profile, change it and keep it one version on, with nobody in between."""

    def _change(
        self,
        user_id: str,
        change: Callable[[Profile], Change],
        expected_version: int | None,
        actor: str | None,
    ) -> Profile:
        def changed(found: Profile | None) -> Change:
            return change(changes.known(user_id, found))

        return self._write(user_id, changed, expected_version, actor)
