"""What the comparison of methods counts, and what it makes of the counts."""

import random

import numpy as np
import pytest

from training.alignment import METHODS, PAIRS, method, on_topic, questions
from training.alignment_report import Cell, lines, measured, verdict
from training.answers import compose
from training.scripts import foreign, naming_task
from training.wordings import HELD_OUT_PAIRS, HELD_OUT_WORDINGS, TRAIN_PAIRS


def checks(*rows):
    return np.array(rows, dtype=bool)


def test_questions_hold_their_pairs_in_wordings_never_trained_on():
    asked = questions(HELD_OUT_PAIRS, 40, 3)
    again = questions(HELD_OUT_PAIRS, 40, 3)
    assert [q.case for q in asked] == [q.case for q in again]
    assert len({q.case.params.seed for q in asked}) == 40
    for question in asked:
        (a,), (b,) = question.case.side_a, question.case.side_b
        assert a in HELD_OUT_WORDINGS[question.pair[0]]
        assert b in HELD_OUT_WORDINGS[question.pair[1]]
    hard, easy = (set(PAIRS[kind]) for kind in ("hard", "easy"))
    assert hard.isdisjoint(easy)
    assert easy == set(TRAIN_PAIRS)


def test_an_answer_is_on_topic_if_it_holds_what_was_asked_for():
    rng = random.Random(2)
    asked = questions(HELD_OUT_PAIRS, 60, 3)
    texts = ["".join(p.text for p in compose(q.about, [], [], rng)) for q in asked]
    own = sum(on_topic(q.about, text) for q, text in zip(asked, texts, strict=True))
    others = sum(
        on_topic(q.about, text)
        for q, text in zip(asked, texts[1:] + texts[:1], strict=True)
        if q.about.family is not asked[(asked.index(q) + 1) % 60].about.family
    )
    assert own >= 57
    assert others <= 3
    assert not on_topic(asked[0].about, "")


def test_cells_and_leads_are_counted_by_question():
    direct = Cell.of(checks((1, 1, 1, 1), (1, 1, 1, 0), (0, 1, 1, 1), (0, 0, 0, 0)), ["a b c"])
    ours = Cell.of(checks((1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1), (0, 1, 0, 0)), ["a a", "a a"])
    assert direct.diversity == 1.0
    assert ours.diversity == 0.5
    rows = measured(
        {("hard", "direct"): direct, ("hard", "compose"): ours}, {"direct": 2.0, "compose": 2.5}
    )
    base, found = rows
    assert (base.whole.value, base.lead.value, base.cost) == (0.25, 0.0, 1.0)
    assert (found.whole.value, found.both.value, found.smaller.value) == (0.75, 0.75, 0.75)
    assert (found.lead.value, found.on_topic.value, found.well_formed.value) == (0.5, 0.75, 0.75)
    assert (found.n, found.cost, found.tokens_a_second) == (4, 1.25, 0.4)
    assert found.lead.low <= 0.5 <= found.lead.high
    table = "\n".join(lines(rows))
    assert table.index("| compose |") < table.index("| direct |")
    assert "+50.0" in table


@pytest.mark.parametrize(
    ("hard", "easy", "told"), [(1.0, 1.0, "beats"), (0.5, 1.0, "No rule"), (1.0, 0.0, "No rule")]
)
def test_a_rule_wins_only_beyond_chance_and_at_no_cost_to_easy_pairs(hard, easy, told):
    def cell(share):
        return Cell.of(checks(*[(1, 1, 1, i < 200 * share) for i in range(200)]), ["a b"])

    rows = measured(
        {
            ("hard", "direct"): cell(0.5),
            ("hard", "compose"): cell(hard),
            ("hard", "single_a"): cell(1.0),
            ("easy", "direct"): cell(0.5),
            ("easy", "compose"): cell(easy),
            ("easy", "single_a"): cell(1.0),
        },
        {"direct": 1.0, "compose": 1.2, "single_a": 1.0},
    )
    assert told in verdict(rows)
    assert "single_a" not in verdict(rows)


def test_every_method_of_the_benchmark_can_be_opened():
    from persona_judge_llm import PersonaJudge

    with PersonaJudge.bundled() as engine:
        (question,) = questions(HELD_OUT_PAIRS, 1, 3)
        for name in METHODS:
            (answer,) = method(engine, name, 4).answer([question.case])
            assert answer.tokens > 0, name


def test_names_of_every_script_are_copied_into_the_call():
    rng = random.Random(1)
    scripts = set()
    for _ in range(200):
        label, text = foreign(rng)
        scripts.add(label)
        assert not text.isascii() or label == "Polish"
        task = naming_task(rng, held_out=True)
        name, *rest = task.arguments.values()
        assert name in task.question
        assert all(value in task.question for value in rest)
        assert task.name in {tool["function"]["name"] for tool in task.tools}
    assert len(scripts) == 9
