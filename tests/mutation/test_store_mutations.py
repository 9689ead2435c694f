"""What keeps users apart and writes safe: each line of it is broken in a copy, and tests must fail.

As `test_mutations.py` does for the decoders.
"""

from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant, assert_noticed, copied, outcome

CONTRACT = "tests/contract/test_profile_stores.py"
STORE = "tests/integration/profiles/test_sql_store.py"
ERASE = "tests/integration/profiles/test_erase.py"
CACHE = "tests/integration/profiles/test_profile_cache.py"
STATEMENTS = "tests/integration/profiles/test_statements.py"
OUTAGES = "tests/integration/profiles/test_outages.py"
SCOPES = "tests/unit/test_profile_scopes.py"
SQL = "profiles/persona_judge_profiles/"
CORE = "persona_judge_llm/"

pytestmark = pytest.mark.slow


MUTANTS = {
    "tenants see each other": Mutant(
        SQL + "rows.py",
        'OWNER = (profiles.c.tenant == bindparam("tenant"),',
        'OWNER = (bindparam("tenant").is_not(None),',
        (STORE, "-k", "two_tenants"),
    ),
    "user ids are patterns": Mutant(
        SQL + "rows.py",
        'profiles.c.user_id == bindparam("user"))',
        'profiles.c.user_id.like(bindparam("user")))',
        (CONTRACT, "-k", "sqlite and file and look_alike"),
    ),
    "a stale write passes": Mutant(
        CORE + "changes.py",
        "if expected_version is not None and expected_version != version:",
        "if expected_version is not None and expected_version > version:",
        (CONTRACT, "-k", "sqlite and file and stale"),
    ),
    "writers do not wait for each other": Mutant(
        SQL + "connections.py",
        'say(connection, "BEGIN IMMEDIATE")',
        'say(connection, "BEGIN DEFERRED")',
        (CONTRACT, "-k", "sqlite and file and many_threads"),
    ),
    "preferences come as the database pleases": Mutant(
        SQL + "rows.py",
        "found = sorted(found, key=_POSITION)",
        "found = list(found)",
        (CONTRACT, "-k", "sqlite and file and order"),
    ),
    "a failed write is kept": Mutant(
        SQL + "connections.py",
        'say(connection, "ROLLBACK")\n                raise',
        'say(connection, "COMMIT")\n                raise',
        (STORE, "-k", "fails_midway"),
    ),
    "a write at once overwrites another one": Mutant(
        SQL + "rows.py",
        'profiles.c.version == bindparam("found"))',
        'bindparam("found") > 0)',
        (STATEMENTS, "-k", "overtakes"),
    ),
    "a write at once is done again when its answer was lost": Mutant(
        SQL + "connections.py",
        "if last or found is not None or not error.connection_invalidated:",
        "if last or not error.connection_invalidated:",
        (OUTAGES, "-k", "lost"),
    ),
    "an overtaken write at once counts as done": Mutant(
        SQL + "at_once.py",
        "return prepared.stored if done.rows else None",
        "return prepared.stored",
        (STATEMENTS, "-k", "overtakes"),
    ),
    "a write at once changes the preferences of others": Mutant(
        SQL + "at_once.py",
        "_ITS = (preferences.c.profile_id == _moved.c.id,",
        "_ITS = (preferences.c.profile_id > 0,",
        (STATEMENTS, "-k", "at_once"),
    ),
    "who listens does not hear": Mutant(
        SQL + "driver.py",
        "engine.before_cursor_execute\n        or engine.after_cursor_execute",
        "False",
        (STATEMENTS, "-k", "hears"),
    ),
    "a schema that a transaction chooses is not chosen": Mutant(
        SQL + "driver.py",
        "        or engine.begin\n",
        "",
        (STATEMENTS, "-k", "begins"),
    ),
    "a cancelled writer's connection is left to the collector": Mutant(
        SQL + "connections.py",
        "with self.reading() as connection:\n            connection.begin()",
        'engine = self._here().execution_options(isolation_level="READ COMMITTED")\n'
        "        with engine.connect() as connection:\n            connection.begin()",
        ("tests/integration/profiles/test_async_store.py", "-k", "left_to_the_collector"),
    ),
    "many profiles go to another schema": Mutant(
        SQL + "bulk.py",
        'return f"{quote(schema)}.{table}" if schema else table',
        "return table",
        (STATEMENTS, "-k", "told_anew"),
    ),
    "an interrupted write is done later": Mutant(
        SQL + "driver.py",
        "driver.cancel_safe(timeout=CANCEL_SECONDS)",
        "pass",
        (STATEMENTS, "-k", "time_limit"),
    ),
    "a stricter server makes writers fail": Mutant(
        SQL + "at_once.py",
        "if is_overtaken(error):",
        "if False:",
        (STATEMENTS, "-k", "waited"),
    ),
    "an import reads the whole tenant": Mutant(
        SQL + "listing.py",
        'profiles.c.user_id == collate(_wanted.c.user_id, "C")',
        'profiles.c.user_id.concat("") == collate(_wanted.c.user_id, "C")',
        (STATEMENTS, "-k", "import"),
    ),
    "a cancelled statement gives its connection back": Mutant(
        SQL + "driver.py",
        "            connection.invalidate()\n",
        "            pass\n",
        (STATEMENTS, "-k", "interrupted"),
    ),
    "a read alone is not heard": Mutant(
        SQL + "driver.py",
        "return not engine.dispatch.engine_connect and _is_unheard(engine)",
        "return _is_unheard(engine)",
        (STATEMENTS, "-k", "stands_alone"),
    ),
    "an interrupted read gives its connection back": Mutant(
        SQL + "driver.py",
        "            _give_up(connection, error)\n            raise\n    pooled",
        "            raise\n    pooled",
        (STATEMENTS, "-k", "interrupted"),
    ),
    "a read on a dead connection fails": Mutant(
        SQL + "connections.py",
        "if not error.connection_invalidated:",
        "if True:",
        (STATEMENTS, "-k", "dead"),
    ),
    "what was erased stays in the file": Mutant(
        SQL + "urls.py",
        '"secure_delete=ON"',
        '"secure_delete=OFF"',
        (ERASE, "-k", "sqlite"),
    ),
    "what was erased stays in the log": Mutant(
        SQL + "store.py",
        "        self._database.forget_log()\n",
        "",
        (ERASE, "-k", "sqlite"),
    ),
    "an inferred preference counts at once": Mutant(
        CORE + "changes.py",
        "if p.pending and p.active else p",
        "if p.pending and p.active and False else p",
        (CONTRACT, "-k", "memory and inferred"),
    ),
    "an inferred preference is in force": Mutant(
        CORE + "preferences.py",
        "if not self.active or self.pending:",
        "if not self.active:",
        (SCOPES,),
    ),
    "an answer of another user can be rated": Mutant(
        CORE + "feedback.py",
        "generation.user_id != user_id or generation.profile_version is None",
        "generation.profile_version is None",
        (CONTRACT, "-k", "memory and only_an_answer"),
    ),
    "preferences of other scopes count": Mutant(
        CORE + "planning.py",
        "if p.scope in (None, scope))",
        "if True)",
        (SCOPES,),
    ),
    "the profile of another user passes": Mutant(
        CORE + "planning.py",
        "if not isinstance(profile, Profile) or profile.user_id != user_id:",
        "if not isinstance(profile, Profile):",
        (SCOPES,),
    ),
    "a forked process shares the connections of its parent": Mutant(
        SQL + "connections.py",
        "            engine.dispose(close=False)\n        self._by_loop = {}",
        "            pass\n        self._by_loop = {}",
        ("tests/integration/profiles/test_many_processes.py", "-k", "fork and postgres"),
    ),
    "the cache serves a user who came back from an old entry": Mutant(
        SQL + "reads.py",
        "read_stamp(ask, tenant, user_id) == kept.stamp",
        "read_stamp(ask, tenant, user_id).version == kept.stamp.version",
        (CACHE,),
    ),
    "the cache is filled with what a write overtook": Mutant(
        SQL + "cache.py",
        "if self._marks[self._slot(user_id)] != mark.changes:",
        "if False:",
        (CACHE,),
    ),
    "the cache keeps erased users": Mutant(
        SQL + "cache.py",
        "            self._entries.pop(user_id, None)\n",
        "",
        (CACHE,),
    ),
    "the cache goes back to an older version": Mutant(
        SQL + "cache.py",
        "kept.version > found.stamp.version",
        "kept.version < found.stamp.version",
        (CACHE,),
    ),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(
        tmp_path_factory.mktemp("original"),
        ("persona_judge_llm", "profiles", "tests/contract", "tests/integration/profiles"),
        ("pyproject.toml", "tests/conftest.py", "tests/postgres_server.py", SCOPES),
    )


def test_the_unchanged_copy_passes(original: Path) -> None:
    status, output = outcome(original, (CACHE, SCOPES, STORE, "-k", "not slow and not processes"))
    assert status == pytest.ExitCode.OK, output


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_makes_a_test_fail(original: Path, tmp_path: Path, name: str) -> None:
    assert_noticed(original, tmp_path / "mutant", MUTANTS[name])
