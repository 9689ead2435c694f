"""What the suites share: the store as they see it, and makers of values."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any, Protocol

import pytest

from persona_judge_llm.changes import ProfileEvent
from persona_judge_llm.feedback import FeedbackSummary
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.profile_lines import ImportReport, OnError, Source, Target
from persona_judge_llm.splitting import Split
from persona_judge_llm.trace import Generation, Outcome, TokenTrace, Usage

SECRET = "sentinel-91d0"
"""Somebody's own words, which no message and no history may hold."""
LONE_SURROGATE = "\ud800"
BAD_NAMES: list[Any] = ["", " ", "a\0b", LONE_SURROGATE, "x" * 300, 7, b"ana", ["ana"]]
"""What can be no user id, and no name of an actor."""
FIRST = datetime(1, 1, 1, tzinfo=timezone.utc)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc)


class CompleteProfileStore(Protocol):
    """A profile store with everything that the suites test: reads, writes, past, lines, ratings."""

    def get(self, user_id: str) -> Profile:
        """Return the user's profile."""
        ...

    def get_version(self, user_id: str) -> int:
        """Return the profile's version."""
        ...

    def list_users(self) -> Iterator[str]:
        """Yield all user ids, in the order of their code points."""
        ...

    def put(
        self, profile: Profile, expected_version: int | None = None, *, actor: str | None = None
    ) -> Profile:
        """Store a whole profile."""
        ...

    def put_many(self, profiles: Iterable[Profile], *, actor: str | None = None) -> int:
        """Store profiles; return how many were not stored like that already."""
        ...

    def add(
        self,
        user_id: str,
        preference: Preference,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Append a preference."""
        ...

    def update(
        self,
        user_id: str,
        preference_id: str,
        *,
        expected_version: int | None = None,
        actor: str | None = None,
        **fields: Any,
    ) -> Profile:
        """Change fields of a preference."""
        ...

    def remove(
        self,
        user_id: str,
        preference_id: str,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Remove a preference."""
        ...

    def reorder(
        self,
        user_id: str,
        preference_ids: Iterable[str],
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Bring the preferences into another order."""
        ...

    def confirm(
        self,
        user_id: str,
        preference_id: str,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Let an inferred preference count."""
        ...

    def reject(
        self,
        user_id: str,
        preference_id: str,
        expected_version: int | None = None,
        *,
        actor: str | None = None,
    ) -> Profile:
        """Remove an inferred preference that is not confirmed."""
        ...

    def undo(
        self, user_id: str, expected_version: int | None = None, *, actor: str | None = None
    ) -> Profile:
        """Take back the latest write that is not taken back yet."""
        ...

    def history(self, user_id: str) -> list[ProfileEvent]:
        """Return the writes, oldest first."""
        ...

    def erase(self, user_id: str) -> None:
        """Forget all about the user."""
        ...

    def import_jsonl(
        self,
        source: Source,
        *,
        actor: str | None = None,
        on_error: OnError = "raise",
        progress: Callable[[int], object] | None = None,
    ) -> ImportReport:
        """Store a profile from each line."""
        ...

    def export_jsonl(self, target: Target) -> int:
        """Write each profile as a line."""
        ...

    def record_feedback(
        self, user_id: str, generation: Generation, rating: float, *, actor: str | None = None
    ) -> None:
        """Remember a rating."""
        ...

    def summary(self, user_id: str) -> FeedbackSummary:
        """Add the ratings up."""
        ...


class StoreSuite:
    """A row of laws, and the store they are run on."""

    @pytest.fixture
    def store(self) -> CompleteProfileStore:
        """Return an empty store; to be overridden by a fixture of the same name."""
        raise NotImplementedError("give your class a fixture named `store`")


def texts(profile: Profile) -> list[str]:
    """Return the texts of a profile's preferences."""
    return [p.text for p in profile.preferences]


def abc(user_id: str = "ana") -> Profile:
    """Return a profile of three preferences with the ids and texts a, b and c."""
    return Profile(user_id, tuple(Preference(t, id=t) for t in "abc"))


def guess(text: str = "Likes puns", **fields: Any) -> Preference:
    """Return an inferred preference with the id "g", said to be active."""
    return Preference(text, **{"id": "g", "source": "inferred", **fields})


def answer(
    user_id: str | None,
    a: Iterable[Preference] = (),
    b: Iterable[Preference] = (),
    dropped: Iterable[Preference] = (),
    *,
    version: int | None = 1,
    outcomes: Iterable[Outcome] = (),
) -> Generation:
    """Return an answer as the engine would have made it for a user.

    Args:
        user_id: whose stored profile was read, if one was.
        a: what side A was told.
        b: what side B was told.
        dropped: what neither was told.
        version: of the profile.
        outcomes: what happened to each token.
    """
    trace = tuple(
        TokenTrace(7, "x", outcome, drafted_by="A", judged_by="B", draft_prob=0.5, judge_prob=0.5)
        for outcome in outcomes
    )
    return Generation(
        text="x" * len(trace),
        token_ids=(7,) * len(trace),
        finish_reason="length",
        stop_sequence=None,
        usage=Usage(1, len(trace), 1, 1, 1),
        trace=trace,
        split=Split(tuple(a), tuple(b), tuple(dropped)),
        profile_version=version,
        seed=0,
        fingerprint="f",
        user_id=user_id,
    )


def calls_for(store: CompleteProfileStore, user_id: Any) -> dict[str, Callable[[], object]]:
    """Return a call of each method that needs the user to exist."""
    return {
        "get": lambda: store.get(user_id),
        "get_version": lambda: store.get_version(user_id),
        "update": lambda: store.update(user_id, "x", text="two"),
        "remove": lambda: store.remove(user_id, "x"),
        "reorder": lambda: store.reorder(user_id, ["x"]),
        "confirm": lambda: store.confirm(user_id, "x"),
        "reject": lambda: store.reject(user_id, "x"),
        "undo": lambda: store.undo(user_id),
        "history": lambda: store.history(user_id),
        "record_feedback": lambda: store.record_feedback(user_id, answer(user_id), 1.0),
        "summary": lambda: store.summary(user_id),
        "erase": lambda: store.erase(user_id),
    }


def line(preferences: object = (), **more: object) -> str:
    """Return a line for import, of the user "bad"."""
    return json.dumps({"user_id": "bad", "preferences": preferences, **more})
