"""From older tables to these, on both databases: nothing is lost, and every fault is told."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, make_url, text

from persona_judge_llm.errors import ProfileStoreSchemaError
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.store_suite.common import answer
from persona_judge_profiles import AsyncSQLProfileStore, SQLProfileStore, schema
from persona_judge_profiles.tables import Base

SECRET = "sentinel-2c77-must-not-be-seen"
TABLES = ("pj_profile", "pj_preference", "pj_event", "pj_feedback")

# As the first release wrote them.
OLD_ROWS = (
    (
        "INSERT INTO pj_profile (id, tenant, user_id, version, settings, updated_at) VALUES "
        "(7, 'default', 'ana', 3, '{\"a\": 1}', '2026-01-02 03:04:05.000000')"
    ),
    (
        "INSERT INTO pj_preference (profile_id, id, position, text, weight, kind, dimension, "
        "active, opposes, expires_at, source) VALUES "
        "(7, 'p1', 0, 'Be brief', 2.5, 'must', 'length', TRUE, '[\"p2\"]', NULL, 'user'), "
        "(7, 'p2', 1, 'Be vivid', 1.0, 'prefer', NULL, TRUE, '[]', NULL, 'inferred'), "
        "(7, 'p3', 2, 'Be odd', 1.0, 'prefer', NULL, FALSE, '[]', NULL, 'inferred')"
    ),
    (
        "INSERT INTO pj_event (profile_id, version, action, preference_id, at) VALUES "
        "(7, 3, 'put', NULL, '2026-01-02 03:04:05.000000')"
    ),
)


def alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "persona_judge_profiles:migrations")
    config.attributes["connection"] = connection
    return config


def changed(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def old_database(database: str) -> str:
    """A database as the first release left it."""
    engine = create_engine(database)
    with engine.begin() as connection:
        command.upgrade(alembic(connection), "0001")
    engine.dispose()
    changed(database, *OLD_ROWS)
    return database


def check_what_was_old(store: SQLProfileStore) -> None:
    profile = store.get("ana")
    assert profile == Profile(
        "ana",
        (
            Preference(
                "Be brief",
                weight=2.5,
                kind="must",
                dimension="length",
                opposes=frozenset({"p2"}),
                id="p1",
            ),
            Preference("Be vivid", source="inferred", confirmed=True, id="p2"),
            Preference("Be odd", source="inferred", active=False, id="p3"),
        ),
        version=3,
        settings={"a": 1},
    )
    assert [(e.version, e.action, e.actor) for e in store.history("ana")] == [(3, "put", None)]


def test_older_tables_are_refused_until_they_are_upgraded(old_database: str) -> None:
    with SQLProfileStore(old_database) as store:
        for call in (store.check, lambda: store.get("ana")):
            with pytest.raises(ProfileStoreSchemaError, match="0001"):
                call()
        store.upgrade()
        store.check()
        check_what_was_old(store)


def test_an_upgraded_profile_can_be_written_undone_rated_and_erased(old_database: str) -> None:
    with SQLProfileStore(old_database) as store:
        store.upgrade()
        assert store.update("ana", "p1", text="Be quick").version == 4
        assert store.undo("ana").preferences[0].text == "Be brief"
        store.record_feedback("ana", answer("ana", [], []), 0.5)
        assert store.summary("ana").count == 1
        store.erase("ana")
        assert list(store.list_users()) == []


def test_an_async_store_upgrades_too(old_database: str) -> None:
    async def upgrade() -> None:
        async with AsyncSQLProfileStore(old_database) as store:
            with pytest.raises(ProfileStoreSchemaError):
                await store.check()
            await asyncio.gather(*(store.upgrade() for _ in range(4)))
            await store.check()

    asyncio.run(upgrade())
    with SQLProfileStore(old_database) as store:
        check_what_was_old(store)


def test_a_step_back_and_forth_keeps_the_profiles(old_database: str) -> None:
    with SQLProfileStore(old_database) as store:
        store.upgrade()
        engine = create_engine(old_database)
        with engine.begin() as connection:
            command.downgrade(alembic(connection), "0001")
        engine.dispose()
        with pytest.raises(ProfileStoreSchemaError):
            store.check()
        store.upgrade()
        check_what_was_old(store)


def test_migrated_tables_are_those_of_the_models(old_database: str) -> None:
    with SQLProfileStore(old_database) as store:
        store.upgrade()
    engine = create_engine(old_database)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_a_stamp_says_that_the_tables_are_there(database: str) -> None:
    with SQLProfileStore(database) as store:
        store.upgrade()
        store.add("ana", Preference("Be brief"))
    changed(database, f"DROP TABLE {schema.VERSION_TABLE}")
    engine = create_engine(database)
    with SQLProfileStore(engine) as store:
        with pytest.raises(ProfileStoreSchemaError, match="no tables yet"):
            store.check()
        store.stamp()
        store.check()
        assert store.get("ana").version == 1
    engine.dispose()


@pytest.mark.parametrize("call", ["upgrade", "stamp", "check"])
def test_tables_of_a_later_version_are_told(database: str, call: str) -> None:
    with SQLProfileStore(database) as store:
        store.upgrade()
    changed(database, f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    with SQLProfileStore(database) as store, pytest.raises(ProfileStoreSchemaError, match="9999"):
        getattr(store, call)()


def test_the_tables_of_an_application_are_left_alone(database: str) -> None:
    changed(
        database,
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('theirs')",
        "CREATE TABLE profile (id INTEGER)",
    )
    with SQLProfileStore(database) as store:
        store.upgrade()
        store.put(Profile("ana"))
    engine = create_engine(database)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "theirs"
        assert connection.scalar(text("SELECT count(*) FROM profile")) == 0
    engine.dispose()


def contents(url: str) -> bytes:
    """Return all that a database holds: the bytes of its files, or its rows."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        folder = Path(str(parsed.database)).parent
        return b"".join(p.read_bytes() for p in folder.iterdir() if p.is_file())
    engine = create_engine(url)
    with engine.connect() as connection:
        found: list[Any] = []
        for table in TABLES:
            found += connection.execute(text(f"SELECT * FROM {table}")).all()
    engine.dispose()
    return repr(found).encode()


def test_an_erase_takes_snapshots_actors_and_ratings_too(database: str) -> None:
    with SQLProfileStore(database, cache_ttl=60.0) as store:
        store.upgrade()
        store.add("ben", Preference("stays"))
        for n in range(30):
            store.add(
                "ana", Preference(f"{SECRET} {n} {'x' * 900}", id=f"{SECRET}{n}"), actor=SECRET
            )
            store.update("ana", f"{SECRET}{n}", text=f"{n} {SECRET} {'y' * n * 30}", actor=SECRET)
        liked = Preference("any", id=f"{SECRET}1")
        store.record_feedback("ana", answer("ana", [liked], [liked]), 1.0, actor=SECRET)
        profile = store.get("ana")
        store.put(Profile("ana", profile.preferences[:3], settings={"note": SECRET}))
        store.undo("ana", actor=SECRET)
        assert SECRET.encode() in contents(database)
        store.erase("ana")
        assert SECRET.encode() not in contents(database)
        assert store.get("ben").preferences[0].text == "stays"
