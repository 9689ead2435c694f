"""The tables: a profile per tenant and user, its preferences, its past and its ratings.

Tenant and user are columns of their own, compared by equality, so that no user id can be read as
a pattern or as the beginning of another. The names carry the prefix `pj_`, so the tables can live
in a database that an application already has.
"""

import json
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

# PostgreSQL sorts by the database's language; "C" sorts by code point, as Python and SQLite do.
Name = String(255).with_variant(String(255, collation="C"), "postgresql")
# SQLite numbers rows by itself only in a column declared INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, kept in UTC: SQLite stores no time zone and would drop it silently."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn the moment into UTC; without a zone where the database has none to keep."""
        if value is None:
            return None
        value = value.astimezone(timezone.utc)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        """Give the zone back."""
        return None if value is None else moment(value)


def moment(stored: datetime | str) -> datetime:
    """Return a stored moment in UTC; a SQLite driver gives the text that SQLAlchemy wrote."""
    found = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    if found.tzinfo is None:
        return found.replace(tzinfo=timezone.utc)
    return found.astimezone(timezone.utc)


# Most are empty, and to write or parse them costs more than the query does.
_EMPTY: dict[str, type] = {"[]": list, "{}": dict}
_WRITTEN = {kind: text for text, kind in _EMPTY.items()}


class JsonText(TypeDecorator[Any]):
    """JSON in a text column, independent of the JSON serializer of a caller's engine."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write it in ASCII, which every database and encoding can carry; None stays NULL."""
        if value is None:
            return None
        empty = None if value else _WRITTEN.get(type(value))
        return empty or json.dumps(value, allow_nan=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> object:  # noqa: ARG002
        """Read it; None where an outer join found no row."""
        if value is None:
            return None
        empty = _EMPTY.get(value)
        return json.loads(value) if empty is None else empty()


class Base(DeclarativeBase):
    """Our own metadata, with constraint names that migrations can rely on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ProfileRow(Base):
    """A user's profile; `version` counts its writes."""

    __tablename__ = "pj_profile"
    __table_args__ = (
        UniqueConstraint("tenant", "user_id"),
        CheckConstraint("version > 0", name="version"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    tenant: Mapped[str] = mapped_column(Name)
    user_id: Mapped[str] = mapped_column(Name)
    version: Mapped[int] = mapped_column(BigInteger)
    settings: Mapped[dict[str, Any]] = mapped_column(JsonText)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    incarnation: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """A random number: a user who was erased and comes back begins at version 1 once more."""


class PreferenceRow(Base):
    """One preference of a profile, at its place among the others."""

    __tablename__ = "pj_preference"
    __table_args__ = (CheckConstraint("weight > 0", name="weight"),)

    profile_id: Mapped[int] = mapped_column(
        ForeignKey("pj_profile.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Name, primary_key=True)
    position: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    weight: Mapped[float] = mapped_column(Double())
    kind: Mapped[str] = mapped_column(String(16))
    dimension: Mapped[str | None] = mapped_column(String(255))
    active: Mapped[bool]
    opposes: Mapped[list[str]] = mapped_column(JsonText)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    source: Mapped[str] = mapped_column(String(16))
    scope: Mapped[str | None] = mapped_column(String(255))
    confirmed: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class EventRow(Base):
    """One write to a profile: which, to what, when, by whom; goes with `erase`."""

    __tablename__ = "pj_event"
    __table_args__ = (Index(None, "profile_id", "version"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    profile_id: Mapped[int] = mapped_column(ForeignKey("pj_profile.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(16))
    preference_id: Mapped[str | None] = mapped_column(Name)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str | None] = mapped_column(Name)
    undoes: Mapped[int | None] = mapped_column(BigInteger)
    before: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    """The profile before the write, for `undo`; of the latest writes only."""


class FeedbackRow(Base):
    """One rated answer: which preferences took part, and nothing of the text."""

    __tablename__ = "pj_feedback"
    __table_args__ = (Index(None, "profile_id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    profile_id: Mapped[int] = mapped_column(ForeignKey("pj_profile.id", ondelete="CASCADE"))
    rating: Mapped[float] = mapped_column(Double())
    profile_version: Mapped[int] = mapped_column(BigInteger)
    acceptance_rate: Mapped[float | None] = mapped_column(Double())
    a: Mapped[list[str]] = mapped_column(JsonText)
    b: Mapped[list[str]] = mapped_column(JsonText)
    dropped: Mapped[list[str]] = mapped_column(JsonText)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str | None] = mapped_column(Name)
