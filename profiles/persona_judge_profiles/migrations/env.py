"""How Alembic runs our migrations: on the connection, and in the transaction, that it is given."""

from alembic import context

from persona_judge_profiles.schema import VERSION_TABLE
from persona_judge_profiles.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
