"""The laws of profile stores; `persona_judge_llm.testing.stores` is the door to them."""

from persona_judge_llm.errors import MissingDependencyError

try:
    import hypothesis  # noqa: F401
    import pytest
except ModuleNotFoundError as error:
    if error.name not in ("hypothesis", "pytest"):
        raise
    raise MissingDependencyError("testing", error.name) from error

_SUITES = (
    "bad_lines",
    "feedback",
    "inferred",
    "lines",
    "many",
    "past",
    "reads",
    "refusals",
    "writes",
)

# Before they are imported: a failing assertion then shows its values, as in anybody's own tests.
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in _SUITES))
