"""What users thought of answers, and how it goes with their preferences; it changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.trace import Generation


@dataclass(frozen=True, slots=True)
class Feedback:
    """One rated answer: how it came about, and no word of it."""

    rating: float
    profile_version: int
    acceptance_rate: float | None
    a: tuple[str, ...]
    """Ids of the preferences on side A."""
    b: tuple[str, ...]
    dropped: tuple[str, ...]
    at: datetime
    actor: str | None = None
    """Who recorded it, as the application said."""


@dataclass(frozen=True, slots=True)
class PreferenceFeedback:
    """How answers were rated that a preference took part in."""

    count: int = 0
    mean_rating: float = 0.0
    side_a: int = 0
    """Rated answers in which it was on side A; a `must` is on both sides."""
    side_b: int = 0
    dropped: int = 0
    """Rated answers that did without it; not in the mean."""


@dataclass(frozen=True, slots=True)
class FeedbackSummary:
    """All ratings of a user; the means are None where there is nothing to take a mean of."""

    count: int
    mean_rating: float | None
    mean_acceptance_rate: float | None
    by_preference: dict[str, PreferenceFeedback]
    """By preference id, also of preferences that were removed since."""


def feedback(
    user_id: str, generation: Generation, rating: float, actor: str | None = None
) -> Feedback:
    """Return what to store of a rated answer.

    Args:
        user_id: who rates it.
        generation: the answer, made with this user's stored profile.
        rating: from -1 (bad) to 1 (good).
        actor: who records it.

    Raises:
        InvalidParameterError: another user's answer, one that no profile was read for, or a
            rating out of range.
    """
    if not isinstance(generation, Generation):
        raise InvalidParameterError("generation", type(generation).__name__, "a Generation")
    if generation.user_id != user_id or generation.profile_version is None:
        raise InvalidParameterError(
            "generation", "another one", "an answer made with this user's stored profile"
        )
    number = isinstance(rating, int | float) and not isinstance(rating, bool)
    if not number or not -1 <= rating <= 1:
        raise InvalidParameterError("rating", rating, "a number from -1 (bad) to 1 (good)")
    split = generation.split
    a, b, dropped = (
        tuple(p.id for p in side if p.id is not None) for side in (split.a, split.b, split.dropped)
    )
    return Feedback(
        rating=float(rating),
        profile_version=generation.profile_version,
        acceptance_rate=generation.acceptance_rate,
        a=a,
        b=b,
        dropped=dropped,
        at=datetime.now(timezone.utc),
        actor=actor,
    )


def summarise(ratings: Iterable[Feedback]) -> FeedbackSummary:
    """Add ratings up."""
    count, total = 0, 0.0
    rates: list[float] = []
    found: dict[str, PreferenceFeedback] = {}
    for rated in ratings:
        count += 1
        total += rated.rating
        if rated.acceptance_rate is not None:
            rates.append(rated.acceptance_rate)
        for name in dict.fromkeys((*rated.a, *rated.b)):
            entry = found.get(name, PreferenceFeedback())
            found[name] = replace(
                entry,
                count=entry.count + 1,
                mean_rating=entry.mean_rating + rated.rating,  # a sum until the end
                side_a=entry.side_a + (name in rated.a),
                side_b=entry.side_b + (name in rated.b),
            )
        for name in rated.dropped:
            entry = found.get(name, PreferenceFeedback())
            found[name] = replace(entry, dropped=entry.dropped + 1)
    return FeedbackSummary(
        count=count,
        mean_rating=total / count if count else None,
        mean_acceptance_rate=sum(rates) / len(rates) if rates else None,
        by_preference={
            name: replace(e, mean_rating=e.mean_rating / e.count) if e.count else e
            for name, e in sorted(found.items())
        },
    )
