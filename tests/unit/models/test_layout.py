"""Which token stands where, and which ones it sees: against a plain list of every row's tokens."""

import random

import pytest
import torch

from persona_judge_llm.models.layout import Layout

CPU = torch.device("cpu")


def layout_of(*rows):
    return Layout(CPU, rows)


def step(layout, counts):
    """Give every row tokens, of a pass as wide as the largest count."""
    layout.place(layout.columns(max(counts)))
    layout.advance(counts)


def joined(positions, owners, rows):
    """One line of so many rows that holds such tokens."""
    layout = layout_of(rows)
    layout.place_at(positions, owners)
    layout.advance_line(owners)
    return layout


def visible(layout, window=None):
    """For each line and column of the current pass, the slots that it sees."""
    mask = layout.mask(torch.float32, window)
    assert set(mask.unique().tolist()) <= {0.0, torch.finfo(torch.float32).min}
    return [[set(row.nonzero()[:, 0].tolist()) for row in line[0]] for line in mask == 0]


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("rows", [(1,), (1, 1), (2,), (2, 1, 3), (1, 2)])
def test_columns_bring_every_token_to_its_line_and_its_result_back_to_its_row(rows, width):
    columns = layout_of(*rows).columns(width)
    tokens = torch.arange(sum(rows) * width)
    placed = tokens[columns.source]
    assert placed.shape == (len(rows), max(rows) * width)
    flat = placed.flatten()
    back = flat if columns.result is None else flat[columns.result]
    assert back.tolist() == tokens.tolist()
    assert int((columns.owner > 0).sum()) == len(tokens)


def test_the_rows_of_a_line_take_turns_and_dummies_fill_up():
    columns = layout_of(2, 1).columns(2)
    assert columns.row.tolist() == [[0, 1, 0, 1], [2, 2, 2, 2]]
    assert columns.step.tolist() == [[0, 0, 1, 1], [0, 1, 0, 0]]
    assert columns.owner.tolist() == [[1, 2, 1, 2], [1, 1, 0, 0]]


def test_lines_of_one_row_need_no_reordering():
    assert layout_of(1, 1, 1).columns(3).result is None


def test_positions_are_counted_by_row_and_slots_by_line():
    layout = layout_of(2, 1)
    step(layout, [2, 2, 1])
    layout.place(layout.columns(2))
    assert layout.positions[0].tolist() == [2, 2, 3, 3]
    assert layout.positions[1, :2].tolist() == [1, 2]
    assert layout.slots.tolist() == [[4, 5, 6, 7], [1, 2, 3, 4]]
    assert not layout.aligned
    assert layout.end == 8


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("seed", range(4))
def test_a_token_sees_what_its_row_holds_up_to_itself_and_within_the_window(seed, window):
    chance = random.Random(seed)
    rows = [chance.randint(1, 3) for _ in range(3)]
    layout = layout_of(*rows)
    held = [[] for _ in range(sum(rows))]  # the slots of each row's tokens
    spare = [0] * len(rows)
    for _ in range(12):
        if chance.random() < 0.3:
            lost = [chance.randint(0, n) for n in spare]
            spare = [n - count for n, count in zip(spare, lost, strict=True)]
            per_row = [n for n, count in zip(lost, rows, strict=True) for _ in range(count)]
            layout.rewind(per_row)
            held = [slots[: len(slots) - n] for slots, n in zip(held, per_row, strict=True)]
        counts = [chance.randint(0, 3) for _ in rows]
        per_row = [n for n, count in zip(counts, rows, strict=True) for _ in range(count)]
        columns = layout.columns(max(1, *counts))
        layout.place(columns)
        seen = visible(layout, window)
        for line in range(len(rows)):
            for column, (row, own) in enumerate(
                zip(columns.row[line].tolist(), columns.owner[line].tolist(), strict=True)
            ):
                if not own or int(columns.step[line, column]) >= per_row[row]:
                    continue  # what is nobody's token may see anything
                held[row].append(int(layout.slots[line, column]))
                expected = held[row] if window is None else held[row][-window:]
                assert seen[line][column] == set(expected)
        layout.advance(per_row)
        spare = [n + count for n, count in zip(spare, counts, strict=True)]
    line_of = [(line, row) for line, count in enumerate(rows) for row in range(count)]
    for slots, (line, row) in zip(held, line_of, strict=True):
        assert layout.slots_of(line, row).tolist() == slots


def test_what_is_common_is_seen_by_all_and_what_is_ones_own_by_nobody_else():
    layout = layout_of(2)
    layout.place_at([0, 1, 2, 2, 3], [3, 3, 1, 2, 2])
    assert visible(layout) == [[{0}, {0, 1}, {0, 1, 2}, {0, 1, 3}, {0, 1, 3, 4}]]
    layout.advance_line([3, 3, 1, 2, 2])
    assert layout.lines[0].held == [3, 4]
    assert layout.slots_of(0, 0).tolist() == [0, 1, 2]
    assert layout.slots_of(0, 1).tolist() == [0, 1, 3, 4]


def test_only_a_plain_beginning_is_fresh():
    layout = layout_of(1, 1)
    layout.place(layout.columns(3))
    assert layout.fresh
    layout.advance([3, 3])
    layout.place(layout.columns(3))
    assert not layout.fresh  # something came before

    layout = layout_of(2)
    layout.place_at([0, 1, 2], [3, 3, 3])
    assert layout.fresh
    layout.place_at([0, 1, 1], [3, 1, 2])
    assert not layout.fresh  # not all see all


def test_lines_that_stay_and_lines_that_come_keep_what_they_hold():
    layout = layout_of(1, 2)
    step(layout, [3, 1, 1])
    layout.append(joined([0, 1, 1], [3, 1, 2], rows=2))
    layout.keep([2, 1])
    assert [(line.rows, line.used, line.held) for line in layout.lines] == [
        (2, 3, [2, 2]),
        (2, 2, [1, 1]),
    ]
    assert [layout.slots_of(0, row).tolist() for row in (0, 1)] == [[0, 1], [0, 2]]
    layout.place(layout.columns(1))
    assert visible(layout) == [[{0, 1, 3}, {0, 2, 4}], [{0, 2}, {1, 3}]]


def test_hidden_is_the_lowest_number_of_the_masks_own_type():
    layout = layout_of(2)
    layout.place(layout.columns(1))
    mask = layout.mask(torch.bfloat16)
    assert mask.dtype == torch.bfloat16
    assert mask.min() == torch.finfo(torch.bfloat16).min
