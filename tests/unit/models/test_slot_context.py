"""Prompts that are joined as groups are stored once where they begin alike, and stay apart.

Everything is compared with separate runs without any cache: random weights, real architectures.
"""

import random

import pytest
import torch

from persona_judge_llm.models.recorded_steps import RecordedSteps, rehearsed
from persona_judge_llm.models.slot_context import SlotContext
from persona_judge_llm.models.slots import GROWTH, SPARE
from tests.unit.models.compared import Compared
from tests.unit.models.families import IN_SLOTS, WINDOW, text

BEGINNING = text(0, 2 * WINDOW + 1)
GROUPS = {
    "a long common beginning": [[*BEGINNING, *text(1, 4)], [*BEGINNING, *text(2, 11)]],
    "a short common beginning": [[*BEGINNING[:2], *text(3, 9)], [*BEGINNING[:2], *text(4, 3)]],
    "nothing in common": [[3, *text(5, 6)], [4, *text(6, 12)]],
    "one the beginning of the other": [text(7, 10), text(7, 15)],
    "equal prompts": [text(8, 9), text(8, 9)],
    "one token each": [[5], [6]],
    "one token, and more": [[7], [7, *text(9, 5)]],
    "a single prompt": [text(10, 14)],
    "three prompts": [[*BEGINNING, 3], [*BEGINNING, 4, 4], [*BEGINNING[:-1], 5, 5, 5]],
}
SLOTS = {  # what is common, short of anybody's last token, and what each has of its own
    "a long common beginning": 17 + 4 + 11,
    "a short common beginning": 2 + 9 + 3,
    "nothing in common": 7 + 13,
    "one the beginning of the other": 9 + 1 + 6,
    "equal prompts": 8 + 1 + 1,
    "one token each": 1 + 1,
    "one token, and more": 1 + 6,
    "a single prompt": 14,
    "three prompts": 16 + 2 + 3 + 3,
}
LLAMA = IN_SLOTS["Llama"]


@pytest.fixture(autouse=True, params=["run", "recorded"])
def steps(request, monkeypatch):
    """Runs every test once more with steps that are recorded."""
    if request.param == "recorded":
        monkeypatch.setattr(Compared, "recorded_steps", RecordedSteps(rehearsed, grain=16))


@pytest.fixture(params=IN_SLOTS)
def compared(request):
    return Compared(IN_SLOTS[request.param])


@pytest.mark.parametrize("piece", [10**6, 5])
def test_joined_prompts_give_the_logits_of_separate_runs(compared, piece):
    assert isinstance(compared.context, SlotContext)
    compared.join(*GROUPS.values(), piece=piece)
    assert compared.difference < 1e-4
    assert compared.spread > 0.1  # else everything would be near everything


def test_groups_are_extended_and_rewound_and_come_and_go_without_touching_each_other(compared):
    kinds = list(GROUPS.values())
    compared.join(kinds[0], kinds[3], kinds[7])
    compared.extend([1, 1, 1], seed=1)
    compared.extend([4, 4, 4], last=4, seed=2)
    compared.rewind([3, 1, 2])
    compared.extend([1, 1, 1], seed=3)
    compared.extend([2, 5, 1], last=1, seed=4)
    compared.join(kinds[4], kinds[5], piece=3)
    compared.extend([3] * 5, last=2, seed=5)
    compared.keep([4, 2, 0])
    compared.rewind([2, 0, 1])
    compared.extend([1, 1, 1], seed=6)
    compared.join(kinds[8])
    compared.keep([3, 1])
    for seed in range(WINDOW + 2):  # all that was there at first slides out of a window
        compared.extend([1, 1], seed=seed)
    assert compared.difference < 1e-4


@pytest.mark.parametrize("family", ["Llama", "Mistral", "GPT-2"])
@pytest.mark.parametrize("seed", range(3))
def test_no_order_of_steps_changes_any_logits(family, seed):
    chance = random.Random(seed)
    compared = Compared(IN_SLOTS[family])
    spare = []  # how many tokens each group may take back
    for step in range(25):
        action = chance.choice(["join", "extend", "extend", "extend", "rewind", "keep"])
        if not compared.groups or (action == "join" and len(compared.groups) < 6):
            new = chance.sample(list(GROUPS.values()), chance.randint(1, 3))
            compared.join(*new, piece=chance.choice([1, 8, 1000]))
            spare += [1] * len(new)
        elif action == "extend" and max(map(len, compared.texts)) < 100:
            last = chance.randint(1, 2)
            counts = [chance.randint(last, 4) for _ in spare]
            compared.extend(counts, last=last, seed=step)
            spare = [n + count for n, count in zip(spare, counts, strict=True)]
        elif action == "rewind":
            counts = [chance.randint(0, n) for n in spare]
            compared.rewind(counts)
            spare = [n - count for n, count in zip(spare, counts, strict=True)]
        elif action == "keep":
            places = chance.sample(range(len(spare)), chance.randint(0, len(spare)))
            compared.keep(places)
            spare = [spare[place] for place in places]
    assert compared.difference < 1e-4


@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize("piece", [1000, 4])
def test_what_prompts_begin_with_is_computed_and_stored_once(kind, piece):
    compared = Compared(LLAMA)
    compared.join(GROUPS[kind], piece=piece)
    assert compared.used == [SLOTS[kind]]
    assert compared.model.prompt_tokens_computed == SLOTS[kind]
    compared.extend([3])
    assert compared.used == [SLOTS[kind] + 3 * len(GROUPS[kind])]
    compared.rewind([3])
    assert compared.used == [SLOTS[kind]]


def sizes_of_passes(monkeypatch, model):
    sizes = []
    forward = model.forward_slots

    def spy(tokens, *arguments):
        sizes.append(tokens.shape[1])
        return forward(tokens, *arguments)

    monkeypatch.setattr(model, "forward_slots", spy)
    return sizes


@pytest.mark.parametrize("piece", [1, 3, 8])
def test_a_piece_is_no_larger_than_asked_for_but_for_the_last_tokens(monkeypatch, piece):
    compared = Compared(LLAMA)
    sizes = sizes_of_passes(monkeypatch, compared.model)
    joining = compared.context.join(list(GROUPS.values()))
    computed = []
    while True:
        before = sum(sizes)
        logits = joining.advance(piece)
        computed.append(sum(sizes) - before)
        if logits is not None:
            break
    most = max(map(len, GROUPS.values()))
    assert max(computed) <= piece + most
    assert sum(computed) == sum(SLOTS.values())
    # None of the pieces before the last of a group is cut short.
    assert len(computed) <= sum(-(-slots // piece) for slots in SLOTS.values())


def test_a_joining_computes_nothing_before_it_is_advanced_and_nothing_for_no_tokens(monkeypatch):
    compared = Compared(LLAMA)
    sizes = sizes_of_passes(monkeypatch, compared.model)
    joining = compared.context.join([GROUPS["a single prompt"]])
    assert joining.advance(0) is None
    assert sizes == []


def test_rows_under_way_are_extended_between_the_pieces_of_a_joining():
    compared = Compared(IN_SLOTS["Mistral"])
    compared.join(GROUPS["equal prompts"])
    coming = GROUPS["a long common beginning"], GROUPS["a single prompt"]
    joining = compared.context.join(coming)
    for step in range(4):
        assert joining.advance(6) is None
        compared.extend([2], seed=step)
    compared.finish(joining, *coming)
    compared.extend([1, 1, 1])
    assert compared.difference < 1e-4


@pytest.mark.parametrize("pieces", [0, 1, 4])
def test_a_joining_that_is_given_up_leaves_the_context_as_it_was(pieces):
    compared = Compared(LLAMA)
    compared.join(GROUPS["a short common beginning"], GROUPS["a single prompt"])
    before = compared.used
    abandoned = compared.context.join([GROUPS["equal prompts"], GROUPS["three prompts"]])
    for _ in range(pieces):
        assert abandoned.advance(7) is None
    assert compared.used == before
    compared.extend([1, 1])
    compared.join(GROUPS["three prompts"])
    compared.extend([1, 1, 1])
    assert compared.difference < 1e-4


def test_a_context_may_become_empty_and_be_joined_again():
    compared = Compared(LLAMA)
    compared.join(GROUPS["a long common beginning"])
    compared.keep([])
    assert compared.used == []
    compared.join(GROUPS["equal prompts"])
    compared.extend([2])
    assert compared.difference < 1e-4


def test_rows_opened_empty_may_leave_and_be_joined_before_anything_is_computed():
    compared = Compared(LLAMA)
    compared.context = compared.model.open(3)
    compared.groups = [[[]], [[]], [[]]]
    compared.keep([2, 0])
    compared.join(GROUPS["a long common beginning"])
    compared.extend([4, 2, 1])
    assert compared.difference < 1e-4


def test_a_row_that_broke_leaves_nothing_to_the_rows_that_come_after_it():
    compared = Compared(LLAMA)
    broken = 96
    with torch.no_grad():
        compared.plain.get_input_embeddings().weight[broken] = torch.nan
    compared.join(GROUPS["equal prompts"])
    for places in ([0], [1]):  # its line is freed; or another line is moved to its place
        compared.finish(compared.context.join([[[broken] * 30]]), [[broken] * 30])
        compared.keep([0, 1] if places == [0] else [1, 0])
        compared.difference = 0.0
        compared.keep(places)
        compared.join([text(11, 5)], [text(12, 40)])
        compared.extend([1, 1, 1])
        assert compared.difference < 1e-4
        compared.keep([0])


def test_room_that_a_crowd_took_is_given_up_when_it_has_left():
    compared = Compared(LLAMA)
    compared.join(*[[text(seed, 5)] for seed in range(3 * SPARE)])
    compared.keep([7])
    compared.extend([1])
    for keys, values in (layer.states() for layer in compared.context.cache.slot_layers):
        assert keys.shape[0] * keys.shape[2] <= SPARE * 2 * GROWTH
        assert values.shape == keys.shape
    compared.join([text(20, 9)])
    compared.extend([1, 1])
    assert compared.difference < 1e-4
