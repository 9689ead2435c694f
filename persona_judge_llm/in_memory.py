"""`InMemoryProfileStore`: profiles in a dictionary, with all that the SQL stores can do."""

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from persona_judge_llm import changes
from persona_judge_llm.changes import Change, ProfileEvent
from persona_judge_llm.errors import ProfileImportError, UnknownUserError
from persona_judge_llm.feedback import Feedback, FeedbackSummary, feedback, summarise
from persona_judge_llm.preferences import Profile, check_user_id
from persona_judge_llm.profile_lines import (
    ImportReport,
    OnError,
    Source,
    Target,
    read_profiles,
    to_line,
    writable,
)
from persona_judge_llm.profile_writes import ProfileWrites
from persona_judge_llm.trace import Generation


@dataclass(slots=True)
class _Kept:
    """One user's profile with its past."""

    profile: Profile
    events: list[ProfileEvent] = field(default_factory=list)
    before: dict[int, Profile] = field(default_factory=dict)
    ratings: list[Feedback] = field(default_factory=list)


class InMemoryProfileStore(ProfileWrites):
    """Profiles in a dictionary; safe to use from many threads. For tests and small programs.

    Every method raises `InvalidPreferenceError` for what cannot be stored, `UnknownUserError`
    where the user must exist, and `ProfileConflictError` if `expected_version` is given and is not
    the stored one (0 stands for "does not exist yet"); nothing is written then. `actor` says in
    the history who wrote.
    """

    def __init__(self, profiles: Iterable[Profile] = ()) -> None:
        self._lock = threading.Lock()
        self._users: dict[str, _Kept] = {}
        for profile in profiles:
            self.put(profile)

    def get(self, user_id: str) -> Profile:
        """Return the user's profile, or raise `UnknownUserError`."""
        with self._lock:
            return self._known(user_id).profile

    def get_version(self, user_id: str) -> int:
        """Return the stored version, or raise `UnknownUserError`."""
        return self.get(user_id).version

    def undo(
        self, user_id: str, expected_version: int | None = None, *, actor: str | None = None
    ) -> Profile:
        """Take back the latest write; again: the one before it. That is a write itself.

        Raises `NothingToUndoError` when no write is left.
        """

        def step(_: Profile) -> Change:
            kept = self._users[user_id]
            version = changes.to_undo(reversed(kept.events))
            if version is None or version not in kept.before:
                raise changes.nothing_to_undo(user_id)
            return changes.undo(kept.before[version], version)

        return self._change(user_id, step, expected_version, actor)

    def history(self, user_id: str) -> list[ProfileEvent]:
        """Return the writes to the profile, oldest first, or raise `UnknownUserError`."""
        with self._lock:
            return list(self._known(user_id).events)

    def put_many(self, profiles: Iterable[Profile], *, actor: str | None = None) -> int:
        """Store profiles and return how many were written: those that were not like that yet.

        Of a user who is named twice the later profile counts.
        """
        chosen = list(profiles)
        for profile in chosen:
            changes.check_profile(profile)
        last = {profile.user_id: profile for profile in chosen}
        return sum(self._put_if_new(profile, "put", actor) for profile in last.values())

    def import_jsonl(
        self,
        source: Source,
        *,
        actor: str | None = None,
        on_error: OnError = "raise",
        progress: Callable[[int], object] | None = None,
    ) -> ImportReport:
        """Store a profile from each line; a second import of the same lines writes nothing.

        Raises `ProfileImportError` with the number of the first bad line, unless `on_error` is
        "skip"; the lines before it are stored.
        """
        counts = [0, 0]
        errors: list[ProfileImportError] = []
        for number, found in read_profiles(source, on_error):
            if isinstance(found, ProfileImportError):
                errors.append(found)
            else:
                counts[self._put_if_new(found, "import", actor)] += 1
            if progress is not None:
                progress(number)
        return ImportReport(counts[True], counts[False], tuple(errors))

    def export_jsonl(self, target: Target) -> int:
        """Write every profile as a line of JSON, in the order of the ids; return how many."""
        count = 0
        with writable(target) as file:
            for user_id in self.list_users():
                file.write(to_line(self.get(user_id)) + "\n")
                count += 1
        return count

    def list_users(self) -> Iterator[str]:
        """Yield the ids of all users in order."""
        with self._lock:
            users = sorted(self._users)
        yield from users

    def erase(self, user_id: str) -> None:
        """Forget the user, history and ratings included; or raise `UnknownUserError`."""
        with self._lock:
            self._known(user_id)
            del self._users[user_id]

    def record_feedback(
        self, user_id: str, generation: Generation, rating: float, *, actor: str | None = None
    ) -> None:
        """Remember how the user rated an answer, from -1 (bad) to 1 (good); see `feedback`."""
        changes.check_write(user_id, None, actor)
        rated = feedback(user_id, generation, rating, actor)
        with self._lock:
            self._known(user_id).ratings.append(rated)

    def summary(self, user_id: str) -> FeedbackSummary:
        """Add up the user's ratings."""
        with self._lock:
            return summarise(list(self._known(user_id).ratings))

    def _known(self, user_id: str) -> _Kept:
        kept = self._users.get(check_user_id(user_id))
        if kept is None:
            raise UnknownUserError(user_id)
        return kept

    def _write(
        self,
        user_id: str,
        change: Callable[[Profile | None], Change],
        expected_version: int | None,
        actor: str | None,
    ) -> Profile:
        changes.check_write(user_id, expected_version, actor)
        with self._lock:
            found = self._users[user_id].profile if user_id in self._users else None
            made = changes.applied(change, user_id, found, expected_version)
            return self._keep(found, made, actor)

    def _put_if_new(self, profile: Profile, action: changes.Action, actor: str | None) -> bool:
        changes.check_write(profile.user_id, None, actor)
        made = changes.put(profile, action)
        with self._lock:
            kept = self._users.get(profile.user_id)
            found = kept.profile if kept else None
            if found and changes.same(found, made.profile):
                return False
            self._keep(found, made, actor)
            return True

    def _keep(self, found: Profile | None, made: Change, actor: str | None) -> Profile:
        version = found.version + 1 if found else 1
        stored = dataclasses.replace(made.profile, version=version)
        kept = self._users.setdefault(stored.user_id, _Kept(stored))
        kept.profile = stored
        event = changes.event(made, stored.version, actor)
        kept.events.append(event)
        if found is not None and made.action != "undo":
            kept.before[stored.version] = found
        kept.before.pop(stored.version - changes.KEPT_SNAPSHOTS, None)
        return stored
