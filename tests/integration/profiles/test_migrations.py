"""The migrations: what they make is what the tables say, and every step can be told."""

from collections.abc import Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from persona_judge_llm.errors import NothingToUndoError, ProfileStoreSchemaError
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_profiles import SQLProfileStore, schema
from persona_judge_profiles.tables import Base
from tests.integration.profiles.databases import database_of, integrity, is_sqlite


@pytest.fixture
def config() -> Config:
    config = Config()
    config.set_main_option("script_location", "persona_judge_profiles:migrations")
    return config


def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """A connection to a database with the tables of this version."""
    with SQLProfileStore(database) as store:
        store.upgrade()
    yield from connected(database)


def migrate(url: str, config: Config, revision: str) -> None:
    """Bring the tables to a revision, on a connection as the store's own are."""
    with SQLProfileStore(url) as store, database_of(store)._connections.writing() as connection:
        config.attributes["connection"] = connection
        up = revision == schema.HEAD
        (command.upgrade if up else command.downgrade)(config, revision)


def test_the_newest_revision_is_the_one_that_is_asked_for(config: Config) -> None:
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_migrated_tables_are_the_tables_of_the_models(connection: Connection) -> None:
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": schema.VERSION_TABLE,
            "compare_type": True,
            "compare_server_default": True,
        },
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
        for key in found.get_foreign_keys(table.name):
            assert key["options"] == {"ondelete": "CASCADE"}


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


def test_a_step_back_loses_nothing_where_keys_are_enforced(database: str, config: Config) -> None:
    with SQLProfileStore(database) as store:
        store.upgrade()
        store.put(Profile("ana", (Preference("one", id="p1"),), settings={"n": 1}))
        before = store.add("ana", Preference("two", source="inferred"), actor="me")
    migrate(database, config, "0001")
    with SQLProfileStore(database) as store, pytest.raises(ProfileStoreSchemaError, match="0001"):
        store.get("ana")
    migrate(database, config, schema.HEAD)
    with SQLProfileStore(database) as store:
        store.check()
        assert store.get("ana") == before
        assert [e.version for e in store.history("ana")] == [1, 2]
        with pytest.raises(NothingToUndoError):  # what was before went with the column
            store.undo("ana")
        assert store.remove("ana", "p1").version == 3
        assert store.undo("ana").preferences == before.preferences
    if is_sqlite(database):
        assert integrity(database) == "ok"


@pytest.mark.parametrize(
    "drift",
    [
        "UPDATE pj_alembic_version SET version_num = '0000'",
        "UPDATE pj_alembic_version SET version_num = '9999'",
        "DELETE FROM pj_alembic_version",
        "DROP TABLE pj_alembic_version",
        "DROP TABLE pj_feedback",
        "ALTER TABLE pj_preference DROP COLUMN scope",
        "ALTER TABLE pj_event RENAME COLUMN before TO after",
    ],
)
def test_tables_that_are_not_those_of_this_version_are_told(database: str, drift: str) -> None:
    with SQLProfileStore(database) as store:
        store.upgrade()
        store.check()
        for connection in connected(database):
            connection.execute(text(drift))
            connection.commit()
        with pytest.raises(ProfileStoreSchemaError):
            store.check()


def test_an_upgrade_that_fails_leaves_the_tables_as_they_were(
    database: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with SQLProfileStore(database) as store:
        store.upgrade()
        migrate(database, config, "0001")
        with monkeypatch.context() as patch:
            patch.setattr("alembic.op.create_index", fail)  # at the end of the migration
            with pytest.raises(KeyboardInterrupt):
                store.upgrade()
        for connection in connected(database):
            assert schema.current(connection) == "0001"
            assert "pj_feedback" not in inspect(connection).get_table_names()
            columns = {c["name"] for c in inspect(connection).get_columns("pj_preference")}
            assert "scope" not in columns
        store.upgrade()
        store.check()
        assert store.put(Profile("ana")).version == 1
