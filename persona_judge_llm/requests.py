"""`Request`: everything that one call says, checked before anything is computed."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from persona_judge_llm.constraints import Constraint
from persona_judge_llm.errors import InvalidParameterError, InvalidPromptError
from persona_judge_llm.preferences import (
    MAX_ACTIVE_PREFERENCES,
    MAX_USER_ID_LENGTH,
    Preference,
    check_text,
    check_user_id,
)
from persona_judge_llm.rules import MAX_STRENGTH, BlendRule
from persona_judge_llm.sampling import SamplingParams

Rule: TypeAlias = Literal["alternate", "fixed", BlendRule]
Placement = Literal["system", "last"]
Messages: TypeAlias = Sequence[Mapping[str, Any]]
Prompt: TypeAlias = "str | Messages"

MAX_DRAFT_TOKENS = 64
MAX_TURNS = 16


@dataclass(frozen=True, slots=True)
class Request:
    """One call: a prompt, whose taste it is to be answered in, and how.

    Settings left at None take the engine's.

    Raises:
        InvalidParameterError: a setting that cannot be used, named.
        InvalidPromptError: a prompt that is neither text nor a list of messages.
        InvalidPreferenceError: a bad user id or preference text.
    """

    prompt: Prompt = field(repr=False)
    """The user's text, or chat messages: mappings with "role" and "content"."""
    _: KW_ONLY
    user_id: str | None = field(default=None, repr=False)
    preferences: Sequence[str | Preference] | None = field(default=None, repr=False)
    """Used instead of a stored profile; the order of equal ones is A, then B."""
    params: SamplingParams = SamplingParams()
    rule: Rule | None = None
    """"alternate": roles swap after each window; "fixed": A drafts, B judges; the others blend both
    sides at every token, see `rules`."""
    num_draft_tokens: int | None = None
    """Window length: drafted tokens until the bonus token (the paper's lambda)."""
    turns: tuple[int, int] | None = None
    """Windows judged by A and by B in each round of turns; None: from the split's weights."""
    strength: float | None = None
    """How much preferences count under the rules that balance or compose: 0 is the plain model, 1
    the default."""
    persona: bool = True
    """False answers with the plain model and reads no profile."""
    placement: Placement | None = None
    """Where the preferences stand: in the "system" message or in the "last" user message."""
    tools: Sequence[Mapping[str, Any]] | None = None
    """OpenAI-style function schemas, rendered by the chat template for both sides."""
    constraint: Constraint | None = None
    """What the answer is held to; with tools and None, calls are held to the tools' schemas."""
    scope: str | None = None
    """Where the call is made, such as "work": preferences of other scopes do not count."""
    timeout: float | None = None
    """Seconds after which the call fails with `DeadlineExceededError`; None: no limit."""

    def __post_init__(self) -> None:
        """Refuse what cannot be used, by name."""
        if not isinstance(self.prompt, str | Sequence) or isinstance(self.prompt, bytes):
            raise InvalidPromptError("prompt", self.prompt, "a string or a list of messages")
        if self.user_id is not None:
            check_user_id(self.user_id)
        if self.preferences is not None:
            object.__setattr__(self, "preferences", as_preferences(self.preferences))
        if self.user_id is not None and self.preferences is not None:
            raise InvalidParameterError("preferences", "a list", "None beside a user_id")
        if not isinstance(self.params, SamplingParams):
            raise InvalidParameterError("params", self.params, "a SamplingParams")
        if not isinstance(self.persona, bool):
            raise InvalidParameterError("persona", self.persona, "True or False")
        if self.constraint is not None and not isinstance(self.constraint, Constraint):
            raise InvalidParameterError("constraint", self.constraint, "a Constraint")
        check_timeout(self.timeout)
        if self.scope is not None:
            check_text("scope", self.scope, MAX_USER_ID_LENGTH)
        check_rule(self.rule)
        check_strength(self.strength)
        check_num_draft_tokens(self.num_draft_tokens)
        check_placement(self.placement)
        if self.turns is not None:
            object.__setattr__(self, "turns", check_turns(self.turns))


def as_preferences(items: Sequence[str | Preference]) -> tuple[Preference, ...]:
    """Turn texts into preferences of weight 1.

    Raises:
        InvalidParameterError: not a list of texts and preferences, or too long a one.
        InvalidPreferenceError: a text that cannot be used.
    """
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        raise InvalidParameterError("preferences", type(items).__name__, "a list of texts")
    if len(items) > MAX_ACTIVE_PREFERENCES:
        raise InvalidParameterError(
            "preferences", len(items), f"a list of at most {MAX_ACTIVE_PREFERENCES}"
        )
    return tuple(item if isinstance(item, Preference) else Preference(item) for item in items)


def check_timeout(timeout: object) -> None:
    """Refuse anything but a number of seconds above 0, or None."""
    if timeout is None:
        return
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not number or not 0 < timeout <= sys.float_info.max:  # type: ignore[operator]
        raise InvalidParameterError("timeout", timeout, "a number of seconds above 0")


def check_rule(rule: object) -> None:
    """Refuse anything but a known rule's name or None."""
    if rule is not None and not (isinstance(rule, str) and rule in get_args(Rule)):
        raise InvalidParameterError("rule", rule, f"one of {get_args(Rule)}")


def check_strength(strength: object) -> None:
    """Refuse anything but a number from 0 to `MAX_STRENGTH`, or None."""
    if strength is None:
        return
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not 0 <= strength <= MAX_STRENGTH:  # type: ignore[operator]
        raise InvalidParameterError("strength", strength, f"a number from 0 to {MAX_STRENGTH:g}")


def check_placement(placement: object) -> None:
    """Refuse anything but a known placement or None."""
    if placement is not None and not (
        isinstance(placement, str) and placement in get_args(Placement)
    ):
        raise InvalidParameterError("placement", placement, f"one of {get_args(Placement)}")


def check_num_draft_tokens(value: object) -> None:
    """Refuse window lengths that are not 1 to 64."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_DRAFT_TOKENS:
        raise InvalidParameterError(
            "num_draft_tokens", value, f"a whole number from 1 to {MAX_DRAFT_TOKENS}"
        )


def check_turns(turns: object) -> tuple[int, int]:
    """Return `turns` as a pair of whole numbers from 1 to 16."""
    if (
        not isinstance(turns, Sequence)
        or len(turns) != 2  # noqa: PLR2004
        or any(isinstance(t, bool) or not isinstance(t, int) for t in turns)
        or not all(1 <= t <= MAX_TURNS for t in turns)
    ):
        raise InvalidParameterError(
            "turns", turns, f"a pair of whole numbers from 1 to {MAX_TURNS}"
        )
    return (turns[0], turns[1])


StopCheck: TypeAlias = Callable[[], bool]
"""Asked once a step; True ends the call with finish_reason "cancelled"."""
