"""Rewards of the answers in a folder: one line an answer and model, taken up after a kill."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from persona_judge_llm.errors import RunMismatchError
from persona_judge_llm.evaluation.experiments import KEY, answer_key, load_run
from persona_judge_llm.evaluation.progress import Progress, silent
from persona_judge_llm.evaluation.records import Records
from persona_judge_llm.evaluation.reward_specs import RewardSpec

if TYPE_CHECKING:  # it loads transformers
    from persona_judge_llm.evaluation.reward_models import RewardModel

SCORES: Final = "scores.jsonl"


def score_run(
    folder: str | Path,
    spec: RewardSpec,
    open_model: "Callable[[RewardSpec], RewardModel]",
    *,
    progress: Progress = silent,
) -> int:
    """Score every answer of a run that has no score by this model yet; return how many.

    Args:
        folder: what `eval generate` wrote to.
        spec: the reward model.
        open_model: loads it; called when something is to be scored.
        progress: is told of every answer.

    Raises:
        DataFileError: no run, or files that cannot be used.
        RunMismatchError: the name stands for another model in this folder.
        UnsupportedModelError: it gives no such rewards.
    """
    run = load_run(folder)
    with Records(run.folder / SCORES) as records:
        own = [record for record in records.found if record["scorer"] == spec.name]
        if any((record["kind"], record["source"]) != (spec.kind, spec.source) for record in own):
            raise RunMismatchError(folder, [f"reward model named {spec.name!r}"])
        present = {answer_key(record) for record in own}
        missing = [answer for answer in run.answers if answer_key(answer) not in present]
        done = len(run.answers) - len(missing)
        progress(done, len(run.answers), spec.name)
        if not missing:
            return 0
        model = open_model(spec)
        for answer in missing:
            began = time.perf_counter()
            found = model.score(answer["prompt"], answer["text"])
            records.append(
                {
                    **{name: answer[name] for name in KEY},
                    "scorer": spec.name,
                    "kind": spec.kind,
                    "source": spec.source,
                    "scores": found.scores,
                    "truncated": found.truncated,
                    "seconds": time.perf_counter() - began,
                }
            )
            done += 1
            progress(done, len(run.answers), spec.name)
    return len(missing)
