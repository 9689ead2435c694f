"""Personalised text generation from a local language model, by Persona-judge decoding.

The names below are the public surface of the core. They are loaded when first used, so that
importing the package, or asking the command line for help, does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from persona_judge_llm.constraints import Constraint
    from persona_judge_llm.engine import PersonaJudge
    from persona_judge_llm.errors import (
        ContextOverflowError,
        DataFileError,
        DeadlineExceededError,
        DecodingError,
        EngineClosedError,
        EngineOverloadedError,
        EvaluationError,
        InvalidParameterError,
        InvalidPreferenceError,
        InvalidPromptError,
        JudgeEndpointError,
        MissingDependencyError,
        MissingUserError,
        ModelError,
        ModelLoadError,
        NothingToUndoError,
        NumericalError,
        PersonaJudgeError,
        PreferenceBudgetError,
        ProfileConflictError,
        ProfileImportError,
        ProfileStoreError,
        ProfileStoreSchemaError,
        ProfileStoreUnavailableError,
        ReentrantCallError,
        RunMismatchError,
        UnknownUserError,
        UnsupportedModelError,
        UserError,
    )
    from persona_judge_llm.in_memory import InMemoryProfileStore
    from persona_judge_llm.planning import PreparedCall
    from persona_judge_llm.preferences import Preference, Profile, ProfileStore
    from persona_judge_llm.requests import Request
    from persona_judge_llm.sampling import SamplingParams
    from persona_judge_llm.scope import no_persona, use_user
    from persona_judge_llm.splitting import Split, SplitCall, Splitter
    from persona_judge_llm.suggesting import suggest_preferences
    from persona_judge_llm.trace import Chunk, Generation, TokenTrace, Usage

__all__ = [
    "Chunk",
    "Constraint",
    "ContextOverflowError",
    "DataFileError",
    "DeadlineExceededError",
    "DecodingError",
    "EngineClosedError",
    "EngineOverloadedError",
    "EvaluationError",
    "Generation",
    "InMemoryProfileStore",
    "InvalidParameterError",
    "InvalidPreferenceError",
    "InvalidPromptError",
    "JudgeEndpointError",
    "MissingDependencyError",
    "MissingUserError",
    "ModelError",
    "ModelLoadError",
    "NothingToUndoError",
    "NumericalError",
    "PersonaJudge",
    "PersonaJudgeError",
    "Preference",
    "PreferenceBudgetError",
    "PreparedCall",
    "Profile",
    "ProfileConflictError",
    "ProfileImportError",
    "ProfileStore",
    "ProfileStoreError",
    "ProfileStoreSchemaError",
    "ProfileStoreUnavailableError",
    "ReentrantCallError",
    "Request",
    "RunMismatchError",
    "SamplingParams",
    "Split",
    "SplitCall",
    "Splitter",
    "TokenTrace",
    "UnknownUserError",
    "UnsupportedModelError",
    "Usage",
    "UserError",
    "no_persona",
    "suggest_preferences",
    "use_user",
]

_HOMES = {
    "constraints": ("Constraint",),
    "engine": ("PersonaJudge",),
    "planning": ("PreparedCall",),
    "in_memory": ("InMemoryProfileStore",),
    "preferences": ("Preference", "Profile", "ProfileStore"),
    "requests": ("Request",),
    "sampling": ("SamplingParams",),
    "scope": ("no_persona", "use_user"),
    "splitting": ("Split", "SplitCall", "Splitter"),
    "suggesting": ("suggest_preferences",),
    "trace": ("Chunk", "Generation", "TokenTrace", "Usage"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "PersonaJudgeLLM":
        # Not an AttributeError: `from persona_judge_llm import ...` would replace its message.
        raise ImportError(
            "there are two: `from langchain_persona_judge import PersonaJudgeLLM` and "
            "`from llama_index_persona_judge import PersonaJudgeLLM`"
        )
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME_OF.get(name, "errors")  # every other public name is an error
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
