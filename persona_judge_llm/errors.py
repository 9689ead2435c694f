"""Every error that this package raises on purpose, in one tree.

    PersonaJudgeError
     * InvalidParameterError          an argument that cannot be used
        - InvalidPromptError          prompt, messages, roles, tools
        - InvalidPreferenceError      preference, profile or user id
     * ContextOverflowError           prompt and answer do not fit the model's context
     * PreferenceBudgetError          `must` preferences that do not fit the prefix budget
     * UserError
        - UnknownUserError            no profile for this user id
        - MissingUserError            a user is required and none was named
     * ProfileStoreError
        - ProfileConflictError        somebody else changed the profile first
        - ProfileStoreUnavailableError  the store cannot be read or written now
        - ProfileStoreSchemaError     the database's tables are not those of this version
        - ProfileImportError          a line of an import that cannot be used
        - NothingToUndoError          no write of the profile is left to undo
     * ModelError
        - ModelLoadError              a model that cannot be loaded
        - UnsupportedModelError       a model that cannot do what was asked of it
        - NumericalError              the model returned NaN
     * DecodingError                  decoding failed while the call was under way
     * DeadlineExceededError          the call's timeout passed before its answer ended
     * EngineClosedError              a call after `close()`
     * EngineOverloadedError          too many calls wait already
     * ReentrantCallError             a call from inside the engine's own step
     * MissingDependencyError         an optional extra is not installed
     * EvaluationError
        - DataFileError               a file of prompts, answers or texts that cannot be used
        - RunMismatchError            the folder holds a run with other settings
        - JudgeEndpointError          the endpoint of the judge refused or did not answer

None of them derives from `ValueError` or `TypeError`: LlamaIndex's response synthesizers catch
those two and answer with the string "Empty Response", which would hide a lost user.
"""

from collections.abc import Iterable
from contextlib import suppress

MAX_REASON = 300


class PersonaJudgeError(Exception):
    """The base of every error of this package."""


class InvalidParameterError(PersonaJudgeError):
    """An argument that cannot be used; names the argument, its value and what is expected."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        try:
            shown = repr(value)
        except Exception:  # noqa: BLE001  # a value's own repr may fail, as of too long a number
            shown = type(value).__name__
        if len(shown) > 80:  # noqa: PLR2004
            shown = f"{shown[:77]}..."
        super().__init__(f"{name} must be {expected}, not {shown}")
        self.name = name
        self.expected = expected


class InvalidPromptError(InvalidParameterError):
    """A prompt, message list or tool list that cannot be used."""


class InvalidPreferenceError(InvalidParameterError):
    """A preference, profile or user id that cannot be used."""


class ContextOverflowError(PersonaJudgeError):
    """The prompt leaves no room for `max_new_tokens` in the model's context."""

    def __init__(self, prompt_tokens: int, max_new_tokens: int, context_window: int) -> None:
        super().__init__(
            f"a prompt of {prompt_tokens} tokens and max_new_tokens={max_new_tokens} do not fit "
            f"the model's context of {context_window} tokens; shorten the prompt or ask for "
            f"at most {max(context_window - prompt_tokens, 0)} new tokens"
        )
        self.prompt_tokens = prompt_tokens
        self.max_new_tokens = max_new_tokens
        self.context_window = context_window


class PreferenceBudgetError(PersonaJudgeError):
    """The `must` preferences, which are never dropped, exceed the prefix budget."""

    def __init__(self, needed: int, budget: int) -> None:
        super().__init__(
            f"the 'must' preferences need {needed} tokens and the prefix budget is {budget}; "
            "shorten them, mark some as 'prefer', or raise the budget"
        )
        self.needed = needed
        self.budget = budget


class UserError(PersonaJudgeError):
    """The user of a call could not be established."""


class UnknownUserError(UserError):
    """No profile exists for this user id."""

    def __init__(self, user_id: str) -> None:
        super().__init__(
            "no profile for the user of this call (named by the error's user_id, and not here, "
            "where logs and traces would show it); create one, or pass unknown_user='neutral' to "
            "answer unknown users without personalisation"
        )
        self.user_id = user_id


class MissingUserError(UserError):
    """A user is required (`require_user=True`) and the call names none."""

    def __init__(self) -> None:
        super().__init__(
            "this engine requires a user and the call names none: pass user_id=, preferences= or "
            "persona=False, use a bound copy, or open a scope with use_user()"
        )


class ProfileStoreError(PersonaJudgeError):
    """A profile store could not do what was asked."""


class ProfileConflictError(ProfileStoreError):
    """The profile is not at the version that the writer expected; nothing was written."""

    def __init__(self, user_id: str, expected: int, found: int | None) -> None:
        super().__init__(
            f"the profile of {user_id!r} is at version {found}, not at the expected {expected}; "
            "read it again and repeat the change"
        )
        self.user_id = user_id
        self.expected = expected
        self.found = found


class ProfileStoreUnavailableError(ProfileStoreError):
    """The store cannot be reached or did not answer; nothing was personalised or written."""


class ProfileStoreSchemaError(ProfileStoreError):
    """The database's tables are missing or are not those of this version."""


class ProfileImportError(ProfileStoreError):
    """A line of an import that cannot be used; quotes nothing of the line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class NothingToUndoError(ProfileStoreError):
    """Every write of the profile that can be undone is undone."""

    def __init__(self, user_id: str, steps: int) -> None:
        super().__init__(
            f"nothing to undo for {user_id!r}: none of the last {steps} writes is left, except "
            "maybe the first one, which made the profile"
        )
        self.user_id = user_id


class ModelError(PersonaJudgeError):
    """Something about the model."""


class ModelLoadError(ModelError):
    """The model could not be loaded."""


class UnsupportedModelError(ModelError):
    """The model cannot do what was asked of it."""


class NumericalError(ModelError):
    """The model returned a distribution with NaN in it."""


class DecodingError(PersonaJudgeError):
    """Decoding failed while this call was under way; the engine stays usable."""

    kind: type[BaseException] | None = None
    """Class of the error it failed with, such as `torch.OutOfMemoryError`. The error itself is
    not kept: its frames hold the texts of every call that was decoded with this one."""


def decoding_error(what: str, error: BaseException, *, alone: bool = True) -> DecodingError:
    """Return an error that tells of another, and holds nothing of it.

    Args:
        what: what failed.
        error: why.
        alone: whether one call only is concerned; its message, which may quote what the model was
            given, is told to nobody else.
    """
    reason = ""
    if alone:
        with suppress(Exception):  # an error's own __str__ may fail
            reason = str(error)[:MAX_REASON]
    found = DecodingError(f"{what} failed with {type(error).__name__}: {reason}".rstrip(": "))
    found.kind = type(error)
    return found


class DeadlineExceededError(PersonaJudgeError):
    """The call's timeout passed before its answer ended."""

    def __init__(self, timeout: float, partial_text: str) -> None:
        super().__init__(f"the answer did not end within timeout={timeout:g} seconds")
        self.timeout = timeout
        self.partial_text = partial_text
        """What was generated until then; not in the message, which may be logged."""


class EngineClosedError(PersonaJudgeError):
    """The engine was closed before this call."""

    def __init__(self) -> None:
        super().__init__("the engine is closed; make a new one")


class EngineOverloadedError(PersonaJudgeError):
    """As many calls as may wait are waiting already; nothing was begun."""

    def __init__(self, max_queue: int) -> None:
        super().__init__(
            f"{max_queue} calls are waiting already, which is max_queue; try again later"
        )
        self.max_queue = max_queue


class ReentrantCallError(PersonaJudgeError):
    """A stop check or tokenizer called the engine that was just calling it."""

    def __init__(self) -> None:
        super().__init__(
            "the engine was called from inside one of its own steps, where it would wait for "
            "itself; stop checks and tokenizers must not call the engine"
        )


class MissingDependencyError(PersonaJudgeError, ImportError):
    """An optional extra is not installed."""

    def __init__(self, extra: str, missing: str | None) -> None:
        super().__init__(
            f"{missing or 'a package'} is not installed; "
            f"install the extra: pip install 'persona-judge-llm[{extra}]'"
        )
        self.extra = extra


class EvaluationError(PersonaJudgeError):
    """An evaluation could not be run or reported."""


class DataFileError(EvaluationError):
    """A file of prompts, answers or texts that cannot be used; quotes nothing of it."""

    def __init__(self, file: object, reason: str, *, line: int | None = None) -> None:
        place = f"line {line} of {str(file)!r}" if line else repr(str(file))
        super().__init__(f"{place}: {reason}")
        self.file = str(file)
        self.line = line
        self.reason = reason


class RunMismatchError(EvaluationError):
    """The folder holds results that were made with other settings; nothing was written."""

    def __init__(self, folder: object, differing: Iterable[str]) -> None:
        self.differing = tuple(differing)
        super().__init__(
            f"{str(folder)!r} holds results of other settings ({', '.join(self.differing)}); "
            "use another folder, or the settings that it was begun with"
        )


class JudgeEndpointError(EvaluationError):
    """The judge's endpoint refused, or gave no usable answer after all retries."""
