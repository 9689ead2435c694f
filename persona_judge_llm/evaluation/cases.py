"""`Case`: one question under two sides' preferences; `Method`: a way to answer it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from persona_judge_llm.sampling import SamplingParams


@dataclass(frozen=True, slots=True)
class Case:
    """One question, asked under the preferences of sides A and B."""

    prompt: str
    side_a: tuple[str, ...]
    """Preference texts; those of one side stand together."""
    side_b: tuple[str, ...] = ()
    """Empty for a single side."""
    params: SamplingParams = SamplingParams()
    """With a seed, so that a run can be repeated and resumed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method wrote."""

    text: str
    tokens: int
    """Of the answer."""
    seconds: float
    """Wall time of this answer; its share where several are decoded together."""
    finish_reason: str | None = None
    acceptance_rate: float | None = None
    """Where a draft is judged."""


class Method(Protocol):
    """A way to answer: the engine's rules, other systems, or your own."""

    @property
    def name(self) -> str:
        """As in tables and files, such as "alternate"."""
        ...

    @property
    def needs(self) -> str:
        """What of the user's own it takes, such as "a reward model"; "" for nothing."""
        ...

    def answer(self, cases: Sequence[Case]) -> Iterator[Answer]:
        """Answer cases in their order, each as soon as it is there."""
        ...
