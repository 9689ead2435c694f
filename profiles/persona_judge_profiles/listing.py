"""Reading many profiles by one statement: those of given users, or a page of a tenant's."""

import json
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ARRAY,
    Connection,
    Text,
    bindparam,
    collate,
    func,
    literal_column,
    select,
    true,
)

from persona_judge_llm.preferences import Profile
from persona_judge_profiles.rows import FIELDS, HEAD, Stamped, preferences, profiles, stamped
from persona_judge_profiles.statements import Statement

_TENANT = profiles.c.tenant == bindparam("tenant")
_AFTER = (
    select(*HEAD, profiles.c.user_id)
    .where(_TENANT, profiles.c.user_id > bindparam("last"))
    .order_by(profiles.c.user_id)
    .limit(bindparam("limit"))
)
_USERS = Statement(_AFTER.with_only_columns(profiles.c.user_id))
_page = _AFTER.subquery("page")
_PAGE = Statement(
    select(_page.c.user_id, *_page.c[:-1], *FIELDS)
    .select_from(_page.outerjoin(preferences, preferences.c.profile_id == _page.c.id))
    .order_by(_page.c.user_id)
)

# PostgreSQL's estimates for tables that have just been filled make it read all of a tenant for a
# thousand users. What stands in a LATERAL subquery with OFFSET is looked up for one at a time.
_wanted = (
    func.unnest(bindparam("users", type_=ARRAY(Text)))
    .table_valued("user_id")
    .render_derived(name="wanted")
)
_owned = (_TENANT, profiles.c.user_id == collate(_wanted.c.user_id, "C"))
_locked = select(profiles.c.id).where(*_owned).with_for_update().lateral("locked")
_profile = select(*HEAD).where(*_owned).offset(literal_column("0")).lateral("profile")
_theirs = (
    select(*FIELDS)
    .where(preferences.c.profile_id == _profile.c.id)
    .offset(literal_column("0"))
    .lateral("theirs")
)
_LOCK_EACH = Statement(
    select(_wanted.c.user_id).select_from(_wanted.join(_locked, true())),
)
_GET_EACH = Statement(
    select(_wanted.c.user_id, *_profile.c, *_theirs.c)
    .select_from(_wanted.join(_profile, true()).outerjoin(_theirs, true()))
    .order_by(_wanted.c.user_id)
)

_each = func.json_each(bindparam("users")).table_valued("value", name="wanted")
# As a list that it is IN: joined with, SQLite would read all of the tenant in the order of users.
_GET_EACH_SQLITE = Statement(
    select(profiles.c.user_id, *HEAD, *FIELDS)
    .select_from(profiles.outerjoin(preferences))
    .where(_TENANT, profiles.c.user_id.in_(select(_each.c.value)))
    .order_by(profiles.c.user_id)
)


def read_locked(connection: Connection, tenant: str, users: Sequence[str]) -> dict[str, Stamped]:
    """Return the stored ones of these profiles, kept from other writers.

    They are locked in the order in which they are given: who locks in another one may wait for
    another writer who waits for them.
    """
    if connection.dialect.name == "sqlite":  # the transaction began with the one lock there is
        given = {"tenant": tenant, "users": json.dumps(users)}
        return _grouped(_GET_EACH_SQLITE.rows(connection, given))
    locked = [user for (user,) in _LOCK_EACH.rows(connection, {"tenant": tenant, "users": users})]
    # By a second statement, for the reason of `rows.read_locked`.
    return _grouped(
        _GET_EACH.rows(connection, {"tenant": tenant, "users": locked}) if locked else []
    )


def users_after(connection: Connection, tenant: str, last: str, limit: int) -> list[str]:
    """Return the next user ids of the tenant, in order."""
    given = {"tenant": tenant, "last": last, "limit": limit}
    return [user for (user,) in _USERS.rows(connection, given)]


def profiles_after(connection: Connection, tenant: str, last: str, limit: int) -> list[Profile]:
    """Return the next profiles of the tenant, in the order of their users."""
    given = {"tenant": tenant, "last": last, "limit": limit}
    return [found.profile for found in _grouped(_PAGE.rows(connection, given)).values()]


def _grouped(found: Sequence[Sequence[Any]]) -> dict[str, Stamped]:
    return {
        user: stamped(user, [row[1:] for row in rows])
        for user, rows in groupby(found, itemgetter(0))
    }
