"""Experiments: cells, seeds, resuming, refusing."""

import dataclasses
import json

import pytest

from persona_judge_llm.errors import (
    DataFileError,
    EvaluationError,
    InvalidParameterError,
    RunMismatchError,
)
from persona_judge_llm.evaluation.cases import Answer
from persona_judge_llm.evaluation.experiments import GENERATIONS, SETTINGS, load_run
from persona_judge_llm.evaluation.pairings import pairings
from persona_judge_llm.evaluation.runs import engine_methods, run
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import tiny_engine
from tests.unit.evaluation.made_runs import experiment


class InterruptedRunError(Exception):
    pass


class Counting:
    """A method whose answers tell what was asked; stops after so many."""

    needs = ""

    def __init__(self, name, seen, left=None):
        self.name, self.seen, self.left = name, seen, left if left is not None else [10**9]

    def answer(self, cases):
        for case in cases:
            if self.left[0] == 0:
                raise InterruptedRunError
            self.left[0] -= 1
            self.seen.append(case)
            yield Answer(f"{self.name}: {case.prompt} {case.params.seed}", 3, 0.1, "stop", None)


def opener(seen, left=None, opened=None):
    def open_method(cell):
        if opened is not None:
            opened.append((cell.method, cell.num_draft_tokens))
        return Counting(f"{cell.method}@{cell.num_draft_tokens}", seen, left)

    return open_method


def test_lambda_counts_where_windows_are_only():
    made = experiment(
        "table1,Vivid", methods=("plain", "single_b", "fixed", "alternate", "overlap"),
        lambdas=(1, 4),
    )  # fmt: skip
    found = [(c.method, c.pairing.name, c.num_draft_tokens) for c in made.cells()]
    both = "Harmless|Helpful"
    assert found == [
        ("plain", both, None), ("plain", "Vivid", None),
        ("single_b", both, None),
        ("fixed", both, 1), ("fixed", both, 4), ("fixed", "Vivid", None),
        ("alternate", both, 1), ("alternate", both, 4), ("alternate", "Vivid", None),
        ("overlap", both, None), ("overlap", "Vivid", None),
    ]  # fmt: skip


def test_all_methods_share_the_seed_of_a_prompt_under_a_pairing(tmp_path):
    made = experiment("table1,Vivid")
    run(made, tmp_path, opener([]))
    seeds = {}
    for answer in load_run(tmp_path).answers:
        seeds.setdefault((answer["pairing"], answer["prompt_id"]), set()).add(answer["seed"])
    assert len(seeds) == 4
    assert all(len(found) == 1 for found in seeds.values())
    assert len(set.union(*seeds.values())) == 4
    other = dataclasses.replace(made, seed=1)
    assert other.seed_of(made.pairings[0], made.questions[0]) not in set.union(*seeds.values())


def test_cases_hold_the_preferences_of_both_sides(tmp_path):
    seen = []
    run(experiment("table4", n=1, methods=("alternate",)), tmp_path, opener(seen))
    (first, *_) = pairings("table4")
    assert seen[0].side_a == tuple(d.preference for d in first.side_a)
    assert seen[0].side_b == tuple(d.preference for d in first.side_b)
    assert seen[0].params.temperature == 0.9


@pytest.mark.parametrize("stop_after", [0, 1, 3, 7, 11])
def test_an_interrupted_run_ends_as_an_unbroken_one(tmp_path, stop_after):
    made = experiment("table1,Vivid", n=3)
    whole, broken = [], []
    assert run(made, tmp_path / "whole", opener(whole)) == 12
    with pytest.raises(InterruptedRunError):
        run(made, tmp_path / "broken", opener(broken, [stop_after]))
    with (tmp_path / "broken" / GENERATIONS).open("ab") as file:
        file.write(b'{"method": "altern')
    assert run(made, tmp_path / "broken", opener(broken)) == 12 - stop_after
    assert broken == whole  # nothing was asked twice
    files = [(tmp_path / name / GENERATIONS).read_bytes() for name in ("whole", "broken")]
    assert files[0] == files[1]
    assert run(made, tmp_path / "broken", opener([], [0])) == 0


def test_a_method_is_opened_only_for_what_is_missing(tmp_path):
    opened = []
    made = experiment(lambdas=(1, 2))
    run(made, tmp_path, opener([], opened=opened))
    assert opened == [("direct", None), ("alternate", 1), ("alternate", 2)]
    run(made, tmp_path, opener([], opened=opened))
    assert len(opened) == 3


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"n": 3}, "n"),
        ({"methods": ("direct",)}, "methods"),
        ({"seed": 1}, "seed"),
        ({"mode": "paper"}, "mode"),
        ({"model": "other"}, "model"),
        ({"lambdas": (2,)}, "lambda"),
        ({"pairs": "Vivid"}, "pairings"),
        ({"params": SamplingParams(temperature=0.5)}, "params"),
        ({"prompt_set": "lines"}, "set"),
    ],
)
def test_a_folder_of_another_experiment_is_refused_and_left_alone(tmp_path, changed, named):
    run(experiment(), tmp_path, opener([]))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(RunMismatchError, match=named) as caught:
        run(experiment(**changed), tmp_path, opener([]))
    assert named in caught.value.differing
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_texts_of_the_pairings_belong_to_the_settings(tmp_path):
    made = experiment()
    run(made, tmp_path, opener([]))
    a = dataclasses.replace(made.pairings[0].side_a[0], preference="Something else.")
    other = dataclasses.replace(made.pairings[0], side_a=(a,))
    with pytest.raises(RunMismatchError, match="pairings"):
        run(dataclasses.replace(made, pairings=(other,)), tmp_path, opener([]))


def test_answers_without_settings_are_not_taken_over(tmp_path):
    run(experiment(), tmp_path, opener([]))
    (tmp_path / SETTINGS).unlink()
    with pytest.raises(RunMismatchError, match="missing"):
        run(experiment(), tmp_path, opener([]))


@pytest.mark.parametrize(
    "settings",
    [
        {"methods": ()}, {"methods": ("direct", "direct")}, {"lambdas": (0,)}, {"lambdas": (4, 4)},
        {"mode": "official"}, {"n": 0},
    ],
)  # fmt: skip
def test_an_experiment_that_cannot_be_run_is_refused(settings):
    with pytest.raises(InvalidParameterError):
        experiment(**settings)


def test_a_method_that_leaves_questions_out_is_an_error(tmp_path):
    class Lazy(Counting):
        def answer(self, cases):
            return super().answer(cases[:1])

    with pytest.raises(EvaluationError, match="'direct' left questions unanswered"):
        run(experiment(), tmp_path, lambda cell: Lazy(cell.method, []))


def test_progress_counts_what_was_there_already(tmp_path):
    told = []

    def progress(done, total, what):
        told.append((done, total))

    with pytest.raises(InterruptedRunError):
        run(experiment(), tmp_path, opener([], [3]))
    run(experiment(), tmp_path, opener([]), progress=progress)
    assert told == [(3, 4), (4, 4)]


@pytest.mark.parametrize("text", ["", "{}", '{"settings": 1}', '{"settings": {"format": 99}}'])
def test_a_folder_without_a_run_is_refused(tmp_path, text):
    (tmp_path / SETTINGS).write_text(text)
    with pytest.raises(DataFileError, match=r"run\.json"):
        load_run(tmp_path)


def test_a_run_without_answers_and_no_run_are_told_apart(tmp_path):
    with pytest.raises(DataFileError, match="cannot be read"):
        load_run(tmp_path)
    with pytest.raises(InterruptedRunError):
        run(experiment(), tmp_path, opener([], [0]))
    with pytest.raises(DataFileError, match="no answers yet"):
        load_run(tmp_path)
    (tmp_path / GENERATIONS).write_text(json.dumps({"method": "x"}) + "\n")
    with pytest.raises(DataFileError, match="not the folder of an evaluation"):
        load_run(tmp_path)


def test_a_system_may_not_be_called_like_a_method_of_the_engine():
    with tiny_engine() as engine:
        for name in ("alternate", "compose:2"):
            made = experiment(methods=(name,), systems={name: {"system": "guidance"}})
            with pytest.raises(InvalidParameterError, match="systems"):
                engine_methods(engine, made)
        made = experiment(methods=("direct", "magic"))
        with pytest.raises(InvalidParameterError, match="'magic'"):
            engine_methods(engine, made)
