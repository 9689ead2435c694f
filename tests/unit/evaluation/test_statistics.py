"""Intervals and tests against scipy, and against values that are known."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.statistics import Outcomes, mean, sign_test, wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (33, 50), (42, 50), (1, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilsons_interval_is_scipys(successes, n, confidence):
    known = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((known.low, known.high))


def test_half_a_success_lies_between_its_neighbours():
    low, high = wilson(3.5, 10)
    assert wilson(3, 10)[0] < low < wilson(4, 10)[0]
    assert wilson(3, 10)[1] < high < wilson(4, 10)[1]


def test_of_nothing_nothing_is_known():
    assert wilson(0, 0) == (0, 1)
    assert sign_test(0, 0) == 1
    assert math.isnan(Outcomes(unreadable=3).half_ties().value)


@pytest.mark.parametrize("successes", [-1, 11])
def test_more_successes_than_tries_are_refused(successes):
    with pytest.raises(InvalidParameterError, match="from 0 to n=10"):
        wilson(successes, 10)


def test_at_fifty_66_percent_is_the_first_significant_win_rate():
    assert sign_test(33, 17) < 0.05 < sign_test(32, 18)
    assert sign_test(32, 18) == pytest.approx(0.0649, abs=1e-4)
    assert sign_test(17, 33) == sign_test(33, 17)


def test_84_percent_of_fifty_is_71_to_92():
    low, high = wilson(42, 50)
    assert (round(100 * low), round(100 * high)) == (71, 92)


def test_the_bootstrap_interval_is_that_of_the_normal_law_for_many_values():
    values = np.random.default_rng(1).normal(3, 2, 4000)
    found = mean(values.tolist())
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.01)
    assert found.high == pytest.approx(values.mean() + half, abs=0.01)
    assert found.n == 4000


def test_the_bootstrap_repeats_by_seed_and_differs_between_seeds():
    values = [k * 0.37 % 1.3 for k in range(40)]
    assert mean(values, seed=1) == mean(values, seed=1)
    assert mean(values, seed=1) != mean(values, seed=2)
    assert mean([2.0, 2.0]) == mean([2.0, 2.0], seed=5)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_a_mean_of_no_finite_numbers_is_refused(values):
    with pytest.raises(InvalidParameterError, match="values"):
        mean(values)


def test_ties_count_in_three_ways():
    even = Outcomes(wins=40, ties=20, losses=40, unreadable=7)
    assert even.n == 100
    assert even.half_ties().value == 0.5
    assert even.wins_only().value == 0.4
    assert even.wins_and_ties().value == 0.6  # 20 % ties make 60 % of an even match
    assert even.p_value() == 1
    assert (even.half_ties().low, even.half_ties().high) == wilson(50, 100)
