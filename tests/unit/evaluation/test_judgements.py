"""Verdicts: both orders, what counts as won, resuming, failures."""

import threading
import time

import pytest

from persona_judge_llm.errors import (
    EvaluationError,
    InvalidParameterError,
    JudgeEndpointError,
    RunMismatchError,
)
from persona_judge_llm.evaluation.experiments import load_run
from persona_judge_llm.evaluation.judge_endpoint import Reply, read_choice
from persona_judge_llm.evaluation.judgements import (
    ORDERS,
    VERDICTS,
    first_share,
    judge_run,
    matters,
    outcomes,
    verdict_key,
)
from persona_judge_llm.evaluation.records import read_records
from persona_judge_llm.evaluation.statistics import Outcomes
from tests.unit.evaluation.made_runs import experiment, made_run


def preferring(word):
    """A judge that prefers the answer with a word in it."""

    def compare(asked):
        text = "1" if word in asked.first else "2" if word in asked.second else "0"
        return Reply(text, read_choice(text))

    return compare


def saying(text):
    return lambda asked: Reply(text, read_choice(text))


def counted(folder, aspect="Helpful"):
    return outcomes([v for v in read_records(folder / VERDICTS) if v["aspect"] == aspect])


def test_every_aspect_is_asked_about_in_both_orders(tmp_path):
    made_run(tmp_path, experiment("table4", n=1, methods=("plain", "direct", "alternate")))
    asked = list(matters(load_run(tmp_path), "direct"))
    assert len(asked) == 2 * 9 * 2
    assert len({matter.key for matter in asked}) == len(asked)
    first, second = asked[:2]
    assert (first.record["order"], second.record["order"]) == ORDERS
    assert first.comparison.first == second.comparison.second == "plain on 0"
    assert first.comparison.second == second.comparison.first == "direct on 0"
    assert first.comparison.name == "Harmless"
    assert "safer" in first.comparison.aspect
    only = list(matters(load_run(tmp_path), "direct", ["alternate"]))
    assert {matter.record["method"] for matter in only} == {"alternate"}


@pytest.mark.parametrize(
    ("compare", "expected", "bias"),
    [
        (preferring("alternate"), Outcomes(wins=3), 0.5),
        (preferring("direct"), Outcomes(losses=3), 0.5),
        (saying("0"), Outcomes(ties=3), None),
        (saying("1"), Outcomes(ties=3), 1.0),  # bound to the place: a tie
        (saying("2"), Outcomes(ties=3), 0.0),
        (saying("I prefer 1"), Outcomes(unreadable=3), None),
    ],
)
def test_what_a_judge_says_becomes_wins_ties_and_losses(tmp_path, compare, expected, bias):
    made_run(tmp_path, experiment(n=3))
    assert judge_run(tmp_path, compare, "j") == 12
    assert counted(tmp_path) == expected
    assert first_share(read_records(tmp_path / VERDICTS)) == bias


def test_a_win_and_a_tie_is_a_win_and_one_readable_verdict_is_none(tmp_path):
    made_run(tmp_path, experiment(n=1))
    replies = iter(["1", "0", "1", "eh"])
    judge_run(tmp_path, lambda asked: saying(next(replies))(asked), "j", concurrency=1)
    assert counted(tmp_path, "Harmless") == Outcomes(wins=1)
    assert counted(tmp_path, "Helpful") == Outcomes(unreadable=1)


@pytest.mark.parametrize("stop_after", [0, 1, 5, 11])
def test_judging_is_taken_up_after_a_failure(tmp_path, stop_after):
    made_run(tmp_path, experiment(n=3))
    left = [stop_after]

    def failing(asked):
        if left[0] == 0:
            raise JudgeEndpointError("gone")
        left[0] -= 1
        return preferring("alternate")(asked)

    with pytest.raises(JudgeEndpointError, match="gone"):
        judge_run(tmp_path, failing, "j", concurrency=1)
    assert len(read_records(tmp_path / VERDICTS)) == stop_after
    assert judge_run(tmp_path, preferring("alternate"), "j") == 12 - stop_after
    assert judge_run(tmp_path, failing, "j") == 0
    found = read_records(tmp_path / VERDICTS)
    assert len({verdict_key(verdict) for verdict in found}) == len(found) == 12
    assert counted(tmp_path) == Outcomes(wins=3)


def test_verdicts_that_were_under_way_at_a_failure_are_kept(tmp_path):
    made_run(tmp_path, experiment(n=1))
    barrier = threading.Barrier(4)
    first = threading.Lock()

    def compare(asked):
        barrier.wait(10)
        if first.acquire(blocking=False):
            raise JudgeEndpointError("gone")
        time.sleep(0.1)
        return saying("1")(asked)

    with pytest.raises(JudgeEndpointError, match="gone"):
        judge_run(tmp_path, compare, "j", concurrency=4)
    assert len(read_records(tmp_path / VERDICTS)) == 3


def test_nothing_more_is_asked_after_a_failure(tmp_path):
    made_run(tmp_path, experiment(n=8))
    asked = []

    def compare(comparison):
        asked.append(comparison)
        if len(asked) == 1:
            raise JudgeEndpointError("gone")
        time.sleep(0.2)
        return saying("1")(comparison)

    with pytest.raises(JudgeEndpointError):
        judge_run(tmp_path, compare, "j", concurrency=2)
    assert len(asked) == 2


def test_no_more_than_asked_for_are_under_way_at_once(tmp_path):
    made_run(tmp_path, experiment(n=8))
    lock, now, most = threading.Lock(), [0], [0]

    def compare(asked):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return saying("1")(asked)

    judge_run(tmp_path, compare, "j", concurrency=3)
    assert most[0] == 3


def test_one_folder_has_one_judge(tmp_path):
    made_run(tmp_path)
    judge_run(tmp_path, saying("1"), "one")
    with pytest.raises(RunMismatchError, match="judge"):
        judge_run(tmp_path, saying("1"), "two")


def test_what_cannot_be_compared_is_refused(tmp_path):
    made_run(tmp_path)
    with pytest.raises(InvalidParameterError, match="'plain'"):
        judge_run(tmp_path, saying("1"), "j", opponent="plain")
    with pytest.raises(InvalidParameterError, match="'fixed'"):
        judge_run(tmp_path, saying("1"), "j", methods=["fixed"])
    with pytest.raises(InvalidParameterError, match="concurrency"):
        judge_run(tmp_path, saying("1"), "j", concurrency=0)
    with pytest.raises(EvaluationError, match="no method to compare"):
        judge_run(tmp_path, saying("1"), "j", methods=["direct"])


def test_each_lambda_is_judged_by_itself(tmp_path):
    made_run(tmp_path, experiment(lambdas=(1, 4)))
    judge_run(tmp_path, saying("0"), "j")
    assert {verdict["lambda"] for verdict in read_records(tmp_path / VERDICTS)} == {1, 4}
    assert counted(tmp_path) == Outcomes(ties=4)
