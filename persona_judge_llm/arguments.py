"""What engine and calls may be told: the names, and checks of the engine's own settings."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.preferences import ProfileStore
from persona_judge_llm.requests import (
    check_num_draft_tokens,
    check_placement,
    check_rule,
    check_strength,
)

T = TypeVar("T")
Loop: TypeAlias = Literal["dual", "reference"]
Proposals: TypeAlias = Literal["auto", "off"]
UnknownUserPolicy: TypeAlias = Literal["error", "neutral"]

CALL_ARGUMENTS = (
    "user_id",
    "preferences",
    "params",
    "rule",
    "num_draft_tokens",
    "turns",
    "strength",
    "persona",
    "placement",
    "tools",
    "constraint",
    "scope",
    "timeout",
)
ENGINE_SETTINGS = (
    "profiles",
    "rule",
    "num_draft_tokens",
    "turns",
    "strength",
    "placement",
    "splitter",
    "require_user",
    "unknown_user",
    "loop",
    "proposals",
    "assistant",
    "prefix_cache_bytes",
    "weights",
    "cuda_graphs",
    "max_batch",
    "max_queue",
)
_CHOICES: dict[str, tuple[str | bool, ...]] = {
    "loop": get_args(Loop),
    "proposals": get_args(Proposals),
    "unknown_user": get_args(UnknownUserPolicy),
    "require_user": (True, False),
    "cuda_graphs": (True, False),
}
_LEAST = {"prefix_cache_bytes": 0, "max_batch": 1, "max_queue": 0}
_DEFAULTS: dict[str, object] = {"persona": True}


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call that differ from their defaults."""
    return {n: values[n] for n in CALL_ARGUMENTS if values[n] is not _DEFAULTS.get(n)}


def check_names(what: str, names: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuse names that are not known."""
    for name in names:
        if name not in known:
            raise InvalidParameterError(what, name, f"one of {known}")


def check_settings(values: Mapping[str, Any]) -> None:
    """Refuse settings of an engine that cannot be used.

    Raises:
        InvalidParameterError: the first bad one, named.
    """
    for name in ("rule", "num_draft_tokens", "placement", "strength"):
        if values[name] is None:
            raise InvalidParameterError(name, None, "given")
    check_rule(values["rule"])
    check_num_draft_tokens(values["num_draft_tokens"])
    check_placement(values["placement"])
    check_strength(values["strength"])
    for name, allowed in _CHOICES.items():
        if not isinstance(values[name], type(allowed[0])) or values[name] not in allowed:
            raise InvalidParameterError(name, values[name], f"one of {allowed}")
    for name, least in _LEAST.items():
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidParameterError(name, value, f"a whole number from {least}")
    if not callable(values["splitter"]):
        raise InvalidParameterError("splitter", values["splitter"], "callable")
    profiles = values["profiles"]
    if profiles is not None and not isinstance(profiles, ProfileStore):
        raise InvalidParameterError("profiles", profiles, "a ProfileStore (get and put)")


def check_all(items: Iterable[T], kinds: tuple[type, ...]) -> list[T]:
    """Return what a batch is made of, if it is of these kinds.

    Raises:
        InvalidParameterError: not a list, or something else in it.
    """
    if not isinstance(items, Iterable) or isinstance(items, str | Mapping):
        raise InvalidParameterError("requests", type(items).__name__, "a list of Requests")
    chosen = list(items)
    for item in chosen:
        if not isinstance(item, kinds):
            raise InvalidParameterError("requests", type(item).__name__, "made of Requests")
    return chosen
