"""`System`: a method made of one function from a case to its answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from persona_judge_llm.evaluation.cases import Answer, Case

Reply: TypeAlias = Callable[[Case], Answer]
"""Answers one case."""


@dataclass(frozen=True, slots=True)
class System:
    """One of the paper's other systems, opened on what it needs."""

    name: str
    needs: str
    reply: Reply

    def answer(self, cases: Sequence[Case]) -> Iterator[Answer]:
        """Answer cases in their order, one at a time."""
        return (self.reply(case) for case in cases)
