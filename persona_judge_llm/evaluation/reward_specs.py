"""`RewardSpec`: which reward model, as the command line names it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from persona_judge_llm.errors import InvalidParameterError

KINDS: Final = ("armo", "gpt2-helpful", "gpt2-harmless", "classifier")


@dataclass(frozen=True, slots=True)
class RewardSpec:
    """A reward model as the command line names it: `KIND:PATH_OR_ID`, or `NAME=KIND:PATH_OR_ID`."""

    kind: str
    source: str
    name: str

    @classmethod
    def of(cls, text: str) -> "RewardSpec":
        """Read a spec.

        Raises:
            InvalidParameterError: not of that form.
        """
        head, colon, source = text.partition(":")
        given, equals, kind = head.rpartition("=")
        if not colon or not source or kind not in KINDS or (equals and not given):
            raise InvalidParameterError("reward", text, f"KIND:PATH_OR_ID, with a kind of {KINDS}")
        named = Path(source).name if kind == "classifier" else kind
        return cls(kind, source, given or named)
