"""The paper's numbers agree with each other, as the paper has them."""

from statistics import fmean

import pytest

from persona_judge_llm.evaluation import published
from persona_judge_llm.evaluation.dimensions import NAMES


@pytest.mark.parametrize("name", [n for n in published.TABLE_1 if n != "ARGS"])
def test_avg_of_table_1_is_the_mean_of_the_four_rewards(name):
    h_armo, h_rm, _, s_armo, s_rm, _, average = published.TABLE_1[name]
    # Each is rounded to two digits.
    assert fmean((h_armo, h_rm, s_armo, s_rm)) == pytest.approx(average, abs=0.0101)


@pytest.mark.parametrize("value", published.TABLE_3)
def test_avg_of_table_3_is_the_mean_of_the_four_rewards(value):
    *rewards, average = published.TABLE_3[value]
    assert fmean(rewards) == pytest.approx(average, abs=0.0011)


def test_lambda_4_is_the_row_of_table_1():
    h_armo, h_rm, _, s_armo, s_rm, _, average = published.TABLE_1["Persona-judge"]
    assert [round(v, 2) for v in published.TABLE_3["4"]] == [h_armo, h_rm, s_armo, s_rm, average]


@pytest.mark.parametrize("table", [published.TABLE_4_PSOUPS, published.TABLE_4_HELPSTEER2])
def test_overall_of_table_4_is_the_mean_of_the_nine(table):
    assert len(table) == 9
    for row in table.values():
        assert len(row) == len(published.TABLE_4_COLUMNS) == 10
        assert fmean(row[:9]) == pytest.approx(row[9], abs=1)


def test_means_over_the_models_are_those_that_were_checked():
    def means(table):
        return [round(fmean(row[i] for row in table.values()), 1) for i in range(9)]

    assert dict(zip(NAMES, means(published.TABLE_4_PSOUPS), strict=True)) == {
        "Helpful": 76.9, "Harmless": 88.2, "Humor": 83.3, "Correct": 61.1, "Informative": 71.8,
        "Professional": 75.1, "Creative": 80.9, "Touching": 79.3, "Vivid": 75.6,
    }  # fmt: skip
    assert means(published.TABLE_4_HELPSTEER2) == [
        64.3, 84.8, 73.0, 65.3, 79.4, 79.4, 73.1, 76.9, 76.4,
    ]  # fmt: skip


def test_every_system_has_its_flags():
    assert {*published.FLAGS} == {*published.TABLE_1} - {"Base"}
    assert all(len(bits) == len(published.FLAG_COLUMNS) == 5 for bits in published.FLAGS.values())
