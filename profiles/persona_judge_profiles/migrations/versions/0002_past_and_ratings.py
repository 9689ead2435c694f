"""Scopes, confirmation, actors, undo, ratings, and a mark for users who come back."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def added() -> dict[str, list[sa.Column[Any]]]:
    """Return new columns of older tables: NULL or a constant, so that adding is in place."""
    return {
        "pj_profile": [
            sa.Column("incarnation", sa.BigInteger(), nullable=False, server_default="0")
        ],
        "pj_preference": [
            sa.Column("scope", sa.String(255)),
            sa.Column("confirmed", sa.Boolean(), nullable=False, server_default=sa.false()),
            sa.Column("created_at", MOMENT),
            sa.Column("updated_at", MOMENT),
        ],
        "pj_event": [
            sa.Column("actor", NAME),
            sa.Column("undoes", sa.BigInteger()),
            sa.Column("before", sa.Text()),
        ],
    }


def upgrade() -> None:
    for table, columns in added().items():
        for column in columns:
            op.add_column(table, column)
    # What was inferred before anybody could confirm it was taken as the user's own word.
    op.execute("UPDATE pj_preference SET confirmed = TRUE WHERE source = 'inferred' AND active")
    op.create_table(
        "pj_feedback",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("profile_id", ROW_ID, nullable=False),
        sa.Column("rating", sa.Double(), nullable=False),
        sa.Column("profile_version", sa.BigInteger(), nullable=False),
        sa.Column("acceptance_rate", sa.Double()),
        sa.Column("a", sa.Text(), nullable=False),
        sa.Column("b", sa.Text(), nullable=False),
        sa.Column("dropped", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor", NAME),
        sa.PrimaryKeyConstraint("id", name="pk_pj_feedback"),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["pj_profile.id"], "fk_pj_feedback_profile_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_pj_feedback_profile_id", "pj_feedback", ["profile_id"])


def downgrade() -> None:
    op.drop_table("pj_feedback")
    for table, columns in added().items():
        # In place: to copy a table and drop the old one would cascade to what hangs on its rows.
        for column in columns:
            op.drop_column(table, column.name)
