"""The ambient user: for code that cannot pass `user_id` down to the model call.

Order of precedence, the same at every door: an explicit argument, the user of a bound copy, the
innermost scope, nobody. Inside `no_persona()` a call that names no user itself is answered by
the plain model, also through a bound copy.
"""

from contextvars import ContextVar
from types import TracebackType
from typing import Final

from persona_judge_llm.preferences import MAX_USER_ID_LENGTH, check_text, check_user_id


class _Neutral:
    """The mark that `no_persona()` leaves."""


NEUTRAL: Final = _Neutral()


class _Scope:
    """Sets the ambient user while open; usable with `with` in sync and async code.

    Keeps nothing itself, so one scope object may be open many times, in many threads.
    """

    def __init__(self, value: str | _Neutral, scope: str | None = None) -> None:
        self.value = value
        self.scope = scope

    def __enter__(self) -> None:
        _open.set((*_open.get(), self))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Taken out, not reset: generators may leave their scopes in another order than they
        # entered them, or in another context, where this scope is not open and nothing is owed.
        scopes = _open.get()
        for i in reversed(range(len(scopes))):
            if scopes[i] is self:
                _open.set(scopes[:i] + scopes[i + 1 :])
                return


_open: ContextVar[tuple[_Scope, ...]] = ContextVar("persona_judge_scopes", default=())


def use_user(user_id: str, scope: str | None = None) -> _Scope:
    """Open a scope in which `user_id` is the user of every call that names none.

    With `scope`, such as "work", the preferences of that scope count beside those of none.

    Follows context variables: tasks started inside inherit it, plain threads do not.

    Raises:
        InvalidPreferenceError: a name that is empty, too long or not valid Unicode.
    """
    return _Scope(check_user_id(user_id), check_scope(scope))


def check_scope(scope: object) -> str | None:
    """Return `scope` if it can name one, or is None."""
    return None if scope is None else check_text("scope", scope, MAX_USER_ID_LENGTH)


def ambient_scope() -> str | None:
    """Return the `scope` of the innermost `use_user()`."""
    scopes = _open.get()
    return scopes[-1].scope if scopes else None


def no_persona() -> _Scope:
    """Answer every call inside the scope that names no user itself with the plain model."""
    return _Scope(NEUTRAL)


def resolve_user(explicit: str | None, bound: str | None = None) -> tuple[str | None, bool]:
    """Return the user of a call made now, and whether a `no_persona()` scope decided.

    Args:
        explicit: the call's own `user_id`, if any.
        bound: the user of the copy that was called, if any.
    """
    if explicit is not None:
        return check_user_id(explicit), False
    scopes = _open.get()
    ambient = scopes[-1].value if scopes else None
    if isinstance(ambient, _Neutral):
        return None, True
    return (check_user_id(bound) if bound is not None else ambient), False
