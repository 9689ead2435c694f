"""Profiles in an SQL database, behind the `ProfileStore` port of persona-judge-llm."""

from persona_judge_llm.changes import ProfileEvent
from persona_judge_llm.errors import MissingDependencyError

try:
    from persona_judge_profiles.async_store import AsyncSQLProfileStore
    from persona_judge_profiles.store import SQLProfileStore
except ModuleNotFoundError as error:
    # Another missing module is a fault of ours, which must not be told as a missing extra.
    if (error.name or "").partition(".")[0] != "sqlalchemy":
        raise
    raise MissingDependencyError("profiles", error.name) from error

__all__ = ["AsyncSQLProfileStore", "ProfileEvent", "SQLProfileStore"]
