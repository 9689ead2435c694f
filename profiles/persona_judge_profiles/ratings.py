"""How answers were rated: rows of feedback."""

import dataclasses

from sqlalchemy import Connection, insert, select

from persona_judge_llm.errors import UnknownUserError
from persona_judge_llm.feedback import Feedback, FeedbackSummary, summarise
from persona_judge_profiles import rows
from persona_judge_profiles.rows import OWNER, feedback, profiles

_NAMES = [f.name for f in dataclasses.fields(Feedback)]
_GET = (
    select(profiles.c.id.label("owner"), *(feedback.c[name] for name in _NAMES))
    .select_from(profiles.outerjoin(feedback))
    .where(*OWNER)
    .order_by(feedback.c.id)
)


def add(connection: Connection, tenant: str, user_id: str, rated: Feedback) -> None:
    """Store a rating; raises `UnknownUserError` where there is no profile."""
    key = rows.lock(connection, tenant, user_id)
    if key is None:
        raise UnknownUserError(user_id)
    values = {name: getattr(rated, name) for name in _NAMES}
    connection.execute(insert(feedback), {**values, "profile_id": key})


def summary(connection: Connection, tenant: str, user_id: str) -> FeedbackSummary:
    """Add a user's ratings up; raises `UnknownUserError` where there is no profile."""
    found = connection.execute(_GET, {"tenant": tenant, "user": user_id}).all()
    if not found:
        raise UnknownUserError(user_id)
    return summarise(Feedback(*tuple(row)[1:]) for row in found if row.rating is not None)
