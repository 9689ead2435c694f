"""`open_system`: from one JSON object to a method."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.cases import Method
from persona_judge_llm.evaluation.systems.corrector import open_corrector
from persona_judge_llm.evaluation.systems.options import Options
from persona_judge_llm.evaluation.systems.policies import (
    open_mod,
    open_policy,
    open_reward_tokens,
)
from persona_judge_llm.evaluation.systems.prompt_contrast import (
    open_context_steering,
    open_guidance,
)
from persona_judge_llm.evaluation.systems.reward_guidance import open_args
from persona_judge_llm.evaluation.systems.soups import open_soups
from persona_judge_llm.evaluation.systems.style_vectors import open_style_vectors
from persona_judge_llm.evaluation.systems.system import Reply, System


@dataclass(frozen=True, slots=True)
class _Kind:
    open: Callable[[Options, PersonaJudge], Reply]
    needs: str
    keys: tuple[str, ...]


_KINDS: Final = {
    "context_steering": _Kind(open_context_steering, "", ("strength", "per")),
    "guidance": _Kind(open_guidance, "", ("scale", "against")),
    "policy": _Kind(open_policy, "a trained policy", ("model", "adapter", "prompt")),
    "mod": _Kind(open_mod, "policies with one vocabulary", ("models", "weights", "prompt")),
    "soups": _Kind(
        open_soups,
        "LoRA adapters or checkpoints trained from one model",
        ("adapters", "checkpoints", "model", "weights", "average", "prompt"),
    ),
    "args": _Kind(
        open_args,
        "a reward model",
        ("reward", "score", "trust_remote_code", "weight", "candidates", "prompt"),
    ),
    "style_vectors": _Kind(
        open_style_vectors, "vectors per layer", ("vectors", "strength", "keep", "prompt")
    ),
    "corrector": _Kind(open_corrector, "a corrector", ("model", "form", "template", "first")),
    "reward_tokens": _Kind(
        open_reward_tokens, "a checkpoint trained with RiC", ("model", "scores", "template")
    ),
}
SYSTEMS: Final = tuple(_KINDS)
"""The names that `open_system` knows."""


def open_system(spec: Mapping[str, Any], engine: PersonaJudge) -> Method:
    """Open one of the paper's other systems.

    Args:
        spec: {"system": one of `SYSTEMS`, "name": as in tables (default the system's), and the
            system's own keys}; see `persona_judge_llm.evaluation.systems`.
        engine: whose model and tokenizer it takes where it needs none of its own. Its model must
            be one of transformers'; nothing else may use it while a system answers.

    Raises:
        InvalidParameterError: an unknown system or key, or a value that cannot be used.
        ModelLoadError: a checkpoint, adapter or reward model that cannot be loaded.
        UnsupportedModelError: models that do not fit each other or the system.
        MissingDependencyError: peft is not installed, for adapters.
    """
    name, kind, options = _read(spec)
    return System(name, kind.needs, kind.open(options, engine))


def check_system(spec: Mapping[str, Any]) -> str:
    """Return the name of what a spec opens, of which only system and keys are looked at.

    Loads nothing, for whoever opens a system late and wants to know of a slip early.

    Raises:
        InvalidParameterError: an unknown system or key.
    """
    name, _, _ = _read(spec)
    return name


def _read(spec: object) -> tuple[str, _Kind, Options]:
    if not isinstance(spec, Mapping):
        raise InvalidParameterError("spec", type(spec).__name__, "a mapping with a 'system'")
    system = spec.get("system")
    kind = _KINDS.get(system) if isinstance(system, str) else None
    if kind is None:
        raise InvalidParameterError("system", system, f"one of {SYSTEMS}")
    name = Options({"name": spec.get("name", system)}, ("name",)).text("name")
    own = {key: value for key, value in spec.items() if key not in ("system", "name")}
    return name, kind, Options(own, kind.keys)
