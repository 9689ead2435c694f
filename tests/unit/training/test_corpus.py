"""The corpus: the same for a seed, and free of what is held out."""

import itertools
import random

import pytest

from training.attributes import DIMENSIONS
from training.content import FAMILIES
from training.corpus import ask, stream, with_preferences
from training.wordings import (
    CONFLICTS,
    HELD_OUT_PAIRS,
    HELD_OUT_WORDINGS,
    TRAIN_PAIRS,
    TRAIN_WORDINGS,
)

SAMPLES = 3000


@pytest.fixture(scope="module")
def dialogues():
    return list(itertools.islice(stream(11), SAMPLES))


def test_the_same_seed_gives_the_same_dialogues(dialogues):
    assert list(itertools.islice(stream(11), 200)) == dialogues[:200]
    assert list(itertools.islice(stream(12), 200)) != dialogues[:200]


def test_no_held_out_wording_is_trained_on(dialogues):
    held_out = {text for texts in HELD_OUT_WORDINGS.values() for text in texts}
    seen = {text for dialogue in dialogues for text in dialogue.wordings}
    assert seen
    assert not seen & held_out


@pytest.mark.parametrize("dimension", [*DIMENSIONS, "no_emoji"])
def test_each_dimension_has_many_wordings_of_both_kinds(dimension):
    assert len(TRAIN_WORDINGS[dimension]) >= 12
    assert len(HELD_OUT_WORDINGS[dimension]) >= 4


def test_no_held_out_pair_is_stated_together_in_training(dialogues):
    held_out = {frozenset(pair) for pair in HELD_OUT_PAIRS}
    for dialogue in dialogues:
        stated = [name for name in dialogue.dimensions if name != "no_emoji"]
        pairs = {frozenset(pair) for pair in itertools.combinations(stated, 2)}
        assert not pairs & held_out


def test_a_fair_part_of_the_pairs_is_held_out_and_none_conflicts():
    share = len(HELD_OUT_PAIRS) / (len(HELD_OUT_PAIRS) + len(TRAIN_PAIRS))
    assert 0.15 < share < 0.35
    assert not {frozenset(pair) for pair in (*HELD_OUT_PAIRS, *TRAIN_PAIRS)} & CONFLICTS


def test_no_held_out_question_is_trained_on(dialogues):
    rng = random.Random(3)
    held_out = {ask(rng.choice(FAMILIES), rng, held_out=True)[0] for _ in range(2000)}
    asked = {
        message["content"]
        for dialogue in dialogues
        for message in dialogue.messages
        if message["role"] == "user"
    }
    asked = {text.split("\n\nPreferences of this user:")[0] for text in asked}
    assert len(held_out) > 200
    assert not asked & held_out


def test_there_are_twelve_families_and_every_kind_of_task(dialogues):
    assert len(FAMILIES) >= 12
    assert {dialogue.kind for dialogue in dialogues} == {
        "chat", "context", "tool", "result", "repeat"
    }  # fmt: skip


def test_guests_show_up_only_beside_stated_preferences(dialogues):
    guests = [d for d in dialogues if any(piece.guest for piece in d.pieces)]
    assert guests
    assert all(dialogue.dimensions for dialogue in guests)


def test_the_block_joins_the_operators_text_or_follows_the_question():
    messages = [{"role": "system", "content": "Sell tea."}, {"role": "user", "content": "Hi"}]
    block = "Preferences of this user:\n- Be brief"
    system = with_preferences(messages, ["Be brief"])
    assert system[0]["content"] == f"Sell tea.\n\n{block}"
    assert with_preferences(messages[1:], ["Be brief"])[0] == {"role": "system", "content": block}
    assert with_preferences(messages, ["Be brief"], "last")[1]["content"] == f"Hi\n\n{block}"
    assert messages[0]["content"] == "Sell tea."
