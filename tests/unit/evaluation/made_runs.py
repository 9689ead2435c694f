"""Folders as `eval generate` writes them, with answers that a test makes up."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from persona_judge_llm.evaluation.experiments import GENERATIONS, Cell, Experiment, begin
from persona_judge_llm.evaluation.pairings import pairings
from persona_judge_llm.evaluation.prompt_sets import Question
from persona_judge_llm.evaluation.records import Records


def experiment(pairs: str = "table1", n: int = 2, **settings: Any) -> Experiment:
    made: dict[str, Any] = {
        "model": "m",
        "prompt_set": "psoups",
        "questions": tuple(Question(str(i), f"question {i}") for i in range(n)),
        "pairings": tuple(pairings(pairs)),
        "methods": ("direct", "alternate"),
        **settings,
    }
    return Experiment(**made)


def answer(cell: Cell, question: Question, **values: Any) -> dict[str, Any]:
    return {
        "method": cell.method,
        "pairing": cell.pairing.name,
        "lambda": cell.num_draft_tokens,
        "prompt_id": question.id,
        "prompt": question.text,
        "seed": 0,
        "text": f"{cell.method} on {question.id}",
        "tokens": 10,
        "seconds": 2.0,
        "finish_reason": "stop",
        "acceptance_rate": 0.5 if cell.num_draft_tokens else None,
        **values,
    }


def made_run(folder: Path, made: Experiment | None = None) -> Path:
    made = made or experiment()
    begin(made, folder, {})
    with Records(folder / GENERATIONS) as records:
        for cell in made.cells():
            for question in made.questions:
                records.append(answer(cell, question))
    return folder


def append(folder: Path, name: str, records: Sequence[dict[str, Any]]) -> None:
    with Records(folder / name) as file:
        for record in records:
            file.append(record)
