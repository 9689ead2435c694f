"""The first tables: profiles, their preferences, and what was done to them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out, not imported from `tables`: a migration must not change when the tables do.
NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "pj_profile",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("user_id", NAME, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pj_profile"),
        sa.UniqueConstraint("tenant", "user_id", name="uq_pj_profile_tenant_user_id"),
        sa.CheckConstraint("version > 0", name=op.f("ck_pj_profile_version")),
    )
    op.create_table(
        "pj_preference",
        sa.Column("profile_id", ROW_ID, nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("dimension", sa.String(255)),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("opposes", sa.Text(), nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("source", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "id", name="pk_pj_preference"),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["pj_profile.id"], "fk_pj_preference_profile_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint("weight > 0", name=op.f("ck_pj_preference_weight")),
    )
    op.create_table(
        "pj_event",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("profile_id", ROW_ID, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("preference_id", NAME),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pj_event"),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["pj_profile.id"], "fk_pj_event_profile_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_pj_event_profile_id_version", "pj_event", ["profile_id", "version"])


def downgrade() -> None:
    op.drop_table("pj_event")
    op.drop_table("pj_preference")
    op.drop_table("pj_profile")
