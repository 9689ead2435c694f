"""Reading one profile through the cache: which questions the database is asked."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from persona_judge_llm.preferences import Profile
from persona_judge_profiles import rows
from persona_judge_profiles.cache import ProfileCache
from persona_judge_profiles.rows import Stamp, Stamped
from persona_judge_profiles.statements import Call

Ask: TypeAlias = Callable[[Call], Sequence[Sequence[Any]]]
"""Returns the rows of a statement that stands alone."""

_ATTEMPTS = 3


def load(ask: Ask, tenant: str, user_id: str, cache: ProfileCache) -> Profile | None:
    """Return the profile as it is stored now, or None; one statement where nothing is cached."""
    found = None
    if not cache.keeps:
        found = read(ask, tenant, user_id)
        return found.profile if found else None
    for _ in range(_ATTEMPTS):
        mark = cache.mark(user_id)
        kept = cache.kept(user_id)
        if kept is not None and read_stamp(ask, tenant, user_id) == kept.stamp:
            found = kept
        else:
            found = read(ask, tenant, user_id)
        if found is None:
            cache.forget(user_id)
            return None
        served = cache.fill(user_id, found, mark)
        if served is not None:
            return served
    # Overtaken by one write after the other: what was read last is right, and not worth keeping.
    return found.profile if found else None


def read(ask: Ask, tenant: str, user_id: str) -> Stamped | None:
    """Return the stored profile or None."""
    found = ask(rows.get(tenant, user_id))
    return rows.stamped(user_id, found) if found else None


def read_stamp(ask: Ask, tenant: str, user_id: str) -> Stamp | None:
    """Return the profile's stamp or None."""
    found = ask(rows.get_stamp(tenant, user_id))
    return Stamp(*found[0]) if found else None
