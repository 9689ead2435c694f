"""SQLAlchemy's errors as ours; no message or cause of them shows a user id or a text."""

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from persona_judge_llm.errors import ProfileStoreSchemaError, ProfileStoreUnavailableError

_SQLITE_SCHEMA = ("no such table", "no such column", "has no column named")
_SQLSTATE_SCHEMA = ("42P01", "42703", "3F000")  # undefined table, column, schema


def translated(error: SQLAlchemyError, where: str) -> Exception:
    """Return the error as one of the profile store.

    Args:
        error: what SQLAlchemy raised.
        where: the database, as it may be shown.
    """
    if isinstance(error, StatementError):
        # An engine of the caller's may show parameters; ours are a person's words.
        error.hide_parameters = True
    if is_schema_error(error):
        return schema_error(where, "lacks the tables of this version")
    reason = error.orig if isinstance(error, DBAPIError) else error
    # The first line only: PostgreSQL's second one quotes the row.
    first_line = next(iter(str(reason).splitlines()), type(error).__name__)
    return ProfileStoreUnavailableError(f"the profile store {where} did not answer: {first_line}")


def schema_error(where: str, fault: str) -> ProfileStoreSchemaError:
    """Return the error for tables that are not ours, with the way out."""
    return ProfileStoreSchemaError(
        f"the profile store {where} {fault}; call store.upgrade() once to bring it up to date"
    )


def is_schema_error(error: SQLAlchemyError) -> bool:
    """Tell whether the database answered that a table or column is missing."""
    if not isinstance(error, DBAPIError):
        return False
    if getattr(error.orig, "sqlstate", None) in _SQLSTATE_SCHEMA:
        return True
    return any(words in str(error.orig) for words in _SQLITE_SCHEMA)


def is_overtaken(error: DBAPIError) -> bool:
    """Tell whether the server ended a transaction so that another one could go on."""
    return getattr(error.orig, "sqlstate", None) in ("40P01", "40001")
