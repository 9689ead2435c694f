"""Running an experiment: every cell, one line an answer, to be taken up again after a kill."""

import dataclasses
import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import EvaluationError, InvalidParameterError
from persona_judge_llm.evaluation.cases import Answer, Case, Method
from persona_judge_llm.evaluation.engine_methods import PROMPTS, RULES
from persona_judge_llm.evaluation.experiments import (
    GENERATIONS,
    Cell,
    Experiment,
    answer_key,
    begin,
)
from persona_judge_llm.evaluation.modes import method_in_mode
from persona_judge_llm.evaluation.progress import Progress, silent
from persona_judge_llm.evaluation.prompt_sets import Question
from persona_judge_llm.evaluation.records import Records

OpenMethod = Callable[[Cell], Method]


def run(
    experiment: Experiment,
    folder: Path,
    open_method: OpenMethod,
    *,
    progress: Progress = silent,
    environment: Mapping[str, Any] | None = None,
) -> int:
    """Write every answer that the folder does not hold yet; return how many were written.

    The file's order is that of the cells, whatever interrupted the run.

    Args:
        experiment: what is run.
        folder: takes `run.json` and `generations.jsonl`.
        open_method: makes the method of a cell; called when its first answer is missing.
        progress: is told of every answer.
        environment: kept beside the settings, and not compared when the run is taken up.

    Raises:
        RunMismatchError: the folder holds another experiment.
        DataFileError: the folder cannot be used, or another process uses it.
        EvaluationError: a method gave too few answers or too many.
    """
    begin(experiment, folder, environment or machine())
    cells = list(experiment.cells())
    total = len(cells) * len(experiment.questions)
    with Records(folder / GENERATIONS) as records:
        present = {answer_key(record) for record in records.found}
        done = before = len(present)
        progress(done, total, "")
        method: Method | None = None
        opened: tuple[str, int | None] | None = None
        for cell in cells:
            missing = [q for q in experiment.questions if cell.key(q) not in present]
            if not missing:
                continue
            if method is None or opened != (cell.method, cell.num_draft_tokens):
                method = None  # it may be large: gone before the next one comes
                method = open_method(cell)
                opened = (cell.method, cell.num_draft_tokens)
            cases = [_case(experiment, cell, question) for question in missing]
            answers = method.answer(cases)
            for question, case in zip(missing, cases, strict=True):
                answer = next(answers, None)
                if answer is None:
                    raise EvaluationError(f"the method {cell.method!r} left questions unanswered")
                records.append(_record(cell, question, case, answer))
                done += 1
                progress(done, total, f"{cell.method}, {cell.pairing.name}")
    return done - before


def engine_methods(engine: PersonaJudge, experiment: Experiment, *, batch: int = 1) -> OpenMethod:
    """Return what opens the engine's methods in the experiment's mode, and the systems it names.

    Raises:
        InvalidParameterError: a method that neither the engine nor `systems` has, or a system that
            is called like one of the engine's; before any work.
    """
    for name in experiment.systems:
        if name.partition(":")[0] in (*PROMPTS, *RULES):
            raise InvalidParameterError("systems", name, "of names that no engine's method has")
    for name in experiment.methods:
        if name not in experiment.systems:
            method_in_mode(engine, name, experiment.mode)

    def open_method(cell: Cell) -> Method:
        if cell.method in experiment.systems:
            from persona_judge_llm.evaluation.systems import open_system

            found: Method = open_system(experiment.systems[cell.method], engine)
            return found
        return method_in_mode(
            engine,
            cell.method,
            experiment.mode,
            num_draft_tokens=cell.num_draft_tokens,
            batch=batch,
        )

    return open_method


def machine() -> dict[str, Any]:
    """Return what answers and times were made with."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "transformers": metadata.version("transformers"),
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
    }


def _case(experiment: Experiment, cell: Cell, question: Question) -> Case:
    seed = experiment.seed_of(cell.pairing, question)
    return Case(
        question.text,
        tuple(d.preference for d in cell.pairing.side_a),
        tuple(d.preference for d in cell.pairing.side_b),
        dataclasses.replace(experiment.params, seed=seed),
    )


def _record(cell: Cell, question: Question, case: Case, answer: Answer) -> dict[str, Any]:
    return {
        "method": cell.method,
        "pairing": cell.pairing.name,
        "lambda": cell.num_draft_tokens,
        "prompt_id": question.id,
        "prompt": question.text,
        "seed": case.params.seed,
        "text": answer.text,
        "tokens": answer.tokens,
        "seconds": answer.seconds,
        "finish_reason": answer.finish_reason,
        "acceptance_rate": answer.acceptance_rate,
    }
