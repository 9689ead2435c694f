"""Reading one profile through the cache: what happens on the connection."""

from sqlalchemy import Connection

from persona_judge_llm.preferences import Profile
from persona_judge_profiles import rows
from persona_judge_profiles.cache import ProfileCache

_ATTEMPTS = 3


def load(connection: Connection, tenant: str, user_id: str, cache: ProfileCache) -> Profile | None:
    """Return the profile as it is stored now, or None; one statement where nothing is cached."""
    found = None
    for _ in range(_ATTEMPTS):
        mark = cache.mark(user_id)
        kept = cache.kept(user_id)
        if kept is not None and rows.read_stamp(connection, tenant, user_id) == kept.stamp:
            found = kept
        else:
            found = rows.read(connection, tenant, user_id)
        if found is None:
            cache.forget(user_id)
            return None
        served = cache.fill(user_id, found, mark)
        if served is not None:
            return served
    # Overtaken by one write after the other: what was read last is right, and not worth keeping.
    return found.profile if found else None
