"""`Options`: the checked keys of one system's JSON object."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from persona_judge_llm.errors import InvalidParameterError

_ABSENT: Any = object()


class Options:
    """Reads keys as what they should be; every failure names the key, its value and what to write.

    Args:
        given: the system's own keys.
        known: every key that the system has.

    Raises:
        InvalidParameterError: a key that the system does not have.
    """

    def __init__(self, given: Mapping[str, Any], known: Collection[str]) -> None:
        for key in given:
            if key not in known:
                named = ", ".join(sorted(known)) or "none"
                raise InvalidParameterError("key", key, f"one of this system's ({named})")
        self._given = given

    def text(self, key: str, default: str = _ABSENT) -> str:
        """Return a string that is not empty."""
        value = self._value(key, default)
        if value is not default and (not isinstance(value, str) or not value.strip()):
            raise InvalidParameterError(key, value, "a string that is not empty")
        return str(value)

    def choice(self, key: str, among: Collection[str], default: str) -> str:
        """Return one of a few words."""
        value = self._value(key, default)
        if not isinstance(value, str) or value not in among:
            raise InvalidParameterError(key, value, f"one of {tuple(among)}")
        return value

    def flag(self, key: str) -> bool:
        """Return whether the key is true; false where it is not given."""
        value = self._value(key, False)  # noqa: FBT003
        if not isinstance(value, bool):
            raise InvalidParameterError(key, value, "true or false")
        return value

    def number(self, key: str, default: float = _ABSENT, *, low: float = -math.inf) -> float:
        """Return a finite number, not below `low`."""
        return _number(key, self._value(key, default), low)

    def whole(self, key: str, default: int, *, low: int = 0) -> int:
        """Return a whole number, not below `low`."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise InvalidParameterError(key, value, f"a whole number of at least {low}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return strings that are not empty, at least one."""
        value = self._value(key, _ABSENT)
        if not isinstance(value, list | tuple) or not value:
            raise InvalidParameterError(key, value, "a list of strings")
        if not all(isinstance(one, str) and one.strip() for one in value):
            raise InvalidParameterError(key, value, "a list of strings that are not empty")
        return tuple(value)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return finite numbers, at least one."""
        value = self._value(key, _ABSENT)
        if not isinstance(value, list | tuple) or not value:
            raise InvalidParameterError(key, value, "a list of numbers")
        return tuple(_number(key, one, -math.inf) for one in value)

    def shares(self, key: str, count: int) -> tuple[float, ...]:
        """Return `count` numbers of at least 0 that sum to 1; equal ones where none are given."""
        if key not in self._given:
            return (1 / count,) * count
        found = self.numbers(key)
        if len(found) != count or min(found) < 0 or abs(sum(found) - 1) > 1e-6:  # noqa: PLR2004
            wanted = f"{count} numbers of at least 0 that sum to 1"
            raise InvalidParameterError(key, self._given[key], wanted)
        return found

    def has(self, key: str) -> bool:
        """Tell whether the key was given."""
        return key in self._given

    def _value(self, key: str, default: Any) -> Any:  # noqa: ANN401
        if key not in self._given and default is _ABSENT:
            raise InvalidParameterError(key, None, "given: this system needs it")
        return self._given.get(key, default)


def _number(key: str, value: object, low: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidParameterError(key, value, "a number")
    if value < low:
        raise InvalidParameterError(key, value, f"at least {low:g}")
    return float(value)
