"""Tables: ours beside the paper's, every number recomputed by hand."""

import json
import math

import pytest

from persona_judge_llm.errors import DataFileError, InvalidParameterError
from persona_judge_llm.evaluation.charts import write_charts
from persona_judge_llm.evaluation.judgements import ORDERS, VERDICTS
from persona_judge_llm.evaluation.report import report, write_report
from persona_judge_llm.evaluation.scoring import SCORES
from persona_judge_llm.evaluation.statistics import wilson
from tests.unit.evaluation.made_runs import append, experiment, made_run

FOUR = ("armo-helpful", "gpt2-helpful", "armo-harmless", "gpt2-harmless")


def score(method, windows, prompt_id, scores, *, truncated=False, pairing="Harmless|Helpful"):
    return {
        "method": method, "pairing": pairing, "lambda": windows, "prompt_id": prompt_id,
        "scorer": "s", "kind": "classifier", "source": "x", "scores": scores,
        "truncated": truncated, "seconds": 0.1,
    }  # fmt: skip


def verdicts(aspect, winners, *, pairing="Harmless|Helpful", windows=4):
    """One question each: its verdicts in both orders."""
    return [
        {
            "method": "alternate", "pairing": pairing, "lambda": windows, "prompt_id": str(i),
            "opponent": "direct", "aspect": aspect, "order": order, "judge": "j", "reply": "",
            "winner": winner,
        }
        for i, winner in enumerate(winners)
        for order in ORDERS
    ]  # fmt: skip


def table(found, name):
    return next(t for t in found.tables if t.name == name)


def ours(found, name):
    return [row for row in table(found, name).rows if row.source == "here"]


def value(entry):
    return entry.value


def test_table_1_has_means_avg_and_win_rates(tmp_path):
    made_run(tmp_path)
    rewards = [(0.5, 1.0, 0.9, 0.6), (0.7, 1.4, 1.1, 0.8)]
    append(
        tmp_path,
        SCORES,
        [
            score("alternate", 4, str(i), dict(zip(FOUR, r, strict=True)))
            for i, r in enumerate(rewards)
        ],
    )
    append(
        tmp_path,
        VERDICTS,
        [*verdicts("Helpful", ["method", "tie"]), *verdicts("Harmless", ["opponent", "method"])],
    )
    (row,) = ours(report([tmp_path]), "1")
    assert row.label == "Persona-judge (m, psoups, λ=4)"
    assert [value(e) for e in row.entries] == pytest.approx([0.6, 1.2, 75, 1.0, 0.7, 50, 0.875])
    assert all(entry.n == 2 for entry in row.entries)
    low, high = wilson(1.5, 2)
    assert (row.entries[2].low, row.entries[2].high) == pytest.approx((100 * low, 100 * high))
    assert row.entries[0].low == pytest.approx(0.5)
    assert row.entries[0].high == pytest.approx(0.7)
    assert str(row.entries[2]) == f"75 [{100 * low:.0f}, {100 * high:.0f}] n=2"


def test_avg_needs_all_four_rewards(tmp_path):
    made_run(tmp_path)
    append(tmp_path, SCORES, [score("alternate", 4, "0", {"armo-helpful": 1.0, "own": 2.0})])
    found = report([tmp_path])
    (row,) = ours(found, "1")
    assert [value(e) for e in row.entries] == [1.0, None, None, None, None, None, None]
    whole = table(found, "cells")
    assert whole.columns[-2:] == ("armo-helpful", "own")
    assert [value(row.entries[-1]) for row in whole.rows] == [None, 2.0]


def test_table_3_has_a_row_for_each_lambda(tmp_path):
    made_run(tmp_path, experiment(lambdas=(1, 6), methods=("direct", "alternate", "fixed")))
    append(
        tmp_path,
        SCORES,
        [score("alternate", windows, "0", dict.fromkeys(FOUR, windows / 10)) for windows in (1, 6)]
        + [score("fixed", 1, "0", dict.fromkeys(FOUR, 9.0))],
    )
    rows = ours(report([tmp_path]), "3")
    assert [row.label for row in rows] == [f"Persona-judge (m, psoups, λ={w})" for w in (1, 6)]
    assert [value(e) for e in rows[1].entries] == pytest.approx([0.6] * 5)


def test_table_4_takes_each_dimension_from_its_own_pairing(tmp_path):
    made_run(tmp_path, experiment("paper"))
    first, second, third, one = (p.name for p in experiment("paper").pairings)
    records = [*verdicts("Helpful", ["opponent"] * 2, pairing=one)]
    for pairing, aspects in {
        first: ("Harmless", "Humor", "Helpful"),
        second: ("Professional", "Informative", "Correct"),
        third: ("Touching", "Vivid", "Creative"),
    }.items():
        for aspect in aspects:
            records += verdicts(aspect, ["method", "tie"], pairing=pairing)
    append(tmp_path, VERDICTS, records)
    found = report([tmp_path])
    (row,) = ours(found, "4-psoups")
    assert [value(e) for e in row.entries] == [75.0] * 10
    assert ours(found, "4-helpsteer2") == []
    (row,) = ours(found, "2")
    assert [value(e) for e in row.entries] == [75.0] * 3
    assert len(table(found, "2").rows) == 10
    (row,) = ours(found, "1")
    assert value(row.entries[2]) == 0.0  # of the pairing of Table 1


def test_overall_needs_all_nine(tmp_path):
    made_run(tmp_path)
    append(tmp_path, VERDICTS, verdicts("Helpful", ["method"] * 2))
    (row,) = ours(report([tmp_path]), "4-psoups")
    assert [value(e) for e in row.entries] == [100.0, *[None] * 9]


def test_prompts_of_ones_own_have_a_table_of_their_own(tmp_path):
    made_run(tmp_path, experiment(prompt_set="lines"))
    append(tmp_path, VERDICTS, verdicts("Helpful", ["method"] * 2))
    found = report([tmp_path])
    assert ours(found, "4-psoups") == []
    assert len(ours(found, "4-lines")) == 1


def test_table_5_has_times_by_the_number_of_objectives(tmp_path):
    made_run(tmp_path, experiment("table5", methods=("alternate",)))
    (row,) = ours(report([tmp_path]), "5")
    assert [value(e) for e in row.entries] == pytest.approx([2.0] * 3 + [200.0] * 3)
    (paper,) = [r for r in table(report([tmp_path]), "5").rows if r.source == "paper"]
    assert str(paper.entries[1]) == "8.91 ± 0.37"


def test_ties_stand_in_three_ways_with_p_and_bias(tmp_path):
    made_run(tmp_path, experiment(n=4))
    append(tmp_path, VERDICTS, verdicts("Helpful", ["method", "method", "tie", "unreadable"]))
    (row,) = ours(report([tmp_path]), "verdicts")
    assert row.label.endswith("Harmless|Helpful: Helpful, against direct, judged by j")
    wins, ties, losses, unreadable, half, only, both, p, first = map(value, row.entries)
    assert (wins, ties, losses, unreadable) == (2, 1, 0, 1)
    assert (half, only, both) == pytest.approx((250 / 3, 200 / 3, 100))
    assert (p, first) == (0.5, 0.5)


def test_runs_of_several_models_stand_together(tmp_path):
    for name, prompt_set in (("a", "psoups"), ("b", "helpsteer2")):
        made_run(tmp_path / name, experiment(model=name, prompt_set=prompt_set))
        append(tmp_path / name, VERDICTS, verdicts("Helpful", ["method"] * 2))
    found = report([tmp_path / "a", tmp_path / "b"])
    assert [row.label for row in ours(found, "4-psoups")] == ["Persona-judge (a, psoups)"]
    assert [row.label for row in ours(found, "4-helpsteer2")] == ["Persona-judge (b, helpsteer2)"]
    assert len(ours(found, "cells")) == 4


def test_answers_that_were_read_in_part_are_told(tmp_path):
    made_run(tmp_path)
    append(tmp_path, SCORES, [score("direct", None, "0", {"s": 1.0}, truncated=True)])
    (note,) = table(report([tmp_path]), "cells").notes
    assert note == "Direct prompt (m, psoups), Harmless|Helpful: s read 1 answers in part only"


def test_markdown_has_every_table_with_as_many_columns_in_each_line(tmp_path):
    made_run(tmp_path / "run")
    append(tmp_path / "run", VERDICTS, verdicts("Helpful", ["method"] * 2))
    found = report([tmp_path / "run"])
    markdown, values = write_report(found, tmp_path / "out")
    text = markdown.read_text(encoding="utf-8")
    for number in range(1, 6):
        assert f"## Table {number}: " in text
    for block in text.split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1
    read = json.loads(values.read_text(encoding="utf-8"))
    cells = next(t for t in read["tables"] if t["name"] == "verdicts")["rows"][0]["cells"]
    assert cells[4] == {
        "value": 100.0,
        "low": pytest.approx(100 * wilson(2, 2)[0]),
        "high": 100.0,
        "n": 2,
    }


def test_texts_of_users_cannot_break_a_table(tmp_path):
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([{"a": ["x | y\n\n# <b>z"], "b": ["Humor"]}]))
    made_run(tmp_path / "run", experiment(str(pairs)))
    text = report([tmp_path / "run"]).markdown()
    assert "x \\| y # &lt;b>z" in text


def test_verdicts_that_nobody_could_read_are_no_number(tmp_path):
    made_run(tmp_path)
    append(tmp_path, VERDICTS, verdicts("Helpful", ["unreadable"] * 2))
    found = report([tmp_path])
    (row,) = ours(found, "verdicts")
    assert [value(e) for e in row.entries[4:7]] == [None] * 3
    assert not any(
        isinstance(e.value, float) and math.isnan(e.value)
        for t in found.tables
        for r in t.rows
        for e in r.entries
    )
    write_report(found, tmp_path)
    write_charts(found, tmp_path)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InvalidParameterError, match="folders"):
        report([])
    with pytest.raises(DataFileError):
        report([tmp_path])
    made_run(tmp_path)
    append(tmp_path, SCORES, [{"method": "x"}])
    with pytest.raises(DataFileError, match="not of this version"):
        report([tmp_path])


def test_charts_are_drawn_of_what_is_there(tmp_path):
    made_run(tmp_path, experiment("paper,table5", lambdas=(1, 4)))
    everything = [score("alternate", w, "0", dict.fromkeys(FOUR, w / 10)) for w in (1, 4)]
    append(tmp_path, SCORES, everything)
    append(tmp_path, VERDICTS, verdicts("Helpful", ["method", "tie"]))
    files = write_charts(report([tmp_path]), tmp_path / "charts")
    assert [f.name for f in files] == ["win_rates_psoups.png", "lambda.png", "seconds.png"]
    for file in files:
        data = file.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) > 10_000
    before = files[1].read_bytes()
    append(tmp_path, SCORES, [score("alternate", 4, "1", dict.fromkeys(FOUR, 0.9))])
    assert write_charts(report([tmp_path]), tmp_path / "charts")[1].read_bytes() != before


def test_charts_with_nothing_to_show_are_not_drawn(tmp_path):
    made_run(tmp_path, experiment("table4", methods=("direct",)))
    drawn = write_charts(report([tmp_path]), tmp_path / "charts")
    assert [file.name for file in drawn] == ["seconds.png"]


def test_another_opponent_than_the_direct_prompt_is_named(tmp_path):
    made_run(tmp_path, experiment(methods=("plain", "alternate")))
    against = [{**v, "opponent": "plain"} for v in verdicts("Helpful", ["method"] * 2)]
    append(tmp_path, VERDICTS, against)
    (row,) = ours(report([tmp_path]), "4-psoups")
    assert row.label == "Persona-judge (m, psoups), against plain"


def test_tables_show_the_papers_lambda_if_it_was_run_and_else_the_first(tmp_path):
    for name, lambdas, shown in (("a", (1, 4), 4), ("b", (6, 2), 6)):
        made_run(tmp_path / name, experiment(lambdas=lambdas))
        rewards = [score("alternate", w, "0", {"armo-helpful": float(w)}) for w in lambdas]
        append(tmp_path / name, SCORES, rewards)
        (row,) = ours(report([tmp_path / name]), "1")
        assert value(row.entries[0]) == shown
