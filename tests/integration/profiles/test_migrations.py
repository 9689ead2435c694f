"""The migrations: what they make is what the tables say, and every step can be told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect

from persona_judge_profiles import SQLProfileStore, schema
from persona_judge_profiles.tables import Base


@pytest.fixture
def config() -> Config:
    config = Config()
    config.set_main_option("script_location", "persona_judge_profiles:migrations")
    return config


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    url = f"sqlite:///{tmp_path / 'p.db'}"
    with SQLProfileStore(url) as store:
        store.upgrade()
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_newest_revision_is_the_one_that_is_asked_for(config: Config) -> None:
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_migrated_tables_are_the_tables_of_the_models(connection: Connection) -> None:
    context = MigrationContext.configure(
        connection,
        opts={"version_table": schema.VERSION_TABLE, "compare_type": True},
    )
    assert compare_metadata(context, Base.metadata) == []


def test_constraints_of_the_models_are_in_the_database(connection: Connection) -> None:
    found = inspect(connection)
    for table in Base.metadata.tables.values():
        named = {c.name for c in table.constraints}
        made = {c["name"] for c in found.get_check_constraints(table.name)}
        made |= {c["name"] for c in found.get_unique_constraints(table.name)}
        made |= {c["name"] for c in found.get_foreign_keys(table.name)}
        made |= {found.get_pk_constraint(table.name)["name"]}
        assert made == named


def test_what_was_upgraded_can_be_taken_back_and_made_again(
    connection: Connection, config: Config
) -> None:
    config.attributes["connection"] = connection
    command.downgrade(config, "base")
    assert set(inspect(connection).get_table_names()) == {schema.VERSION_TABLE}
    schema.upgrade(connection)
    assert schema.current(connection) == schema.HEAD


def test_upgrading_twice_changes_nothing(connection: Connection) -> None:
    before = inspect(connection).get_table_names()
    schema.upgrade(connection)
    assert inspect(connection).get_table_names() == before
