"""The measures find what they count, and nothing in plain text."""

import random

import pytest

from training.answers import compose
from training.attributes import DIMENSIONS, present, well_formed
from training.content import FAMILIES
from training.corpus import ask

PLAIN = (
    "Begin with one small corner. You could open a window and let fresh air into the room. "
    "Sweep the floor at the very end."
)
EXAMPLES = {
    "helpful": "Tell me more, and I am happy to help with the party.",
    "harmless": "For your safety, keep candles away from curtains.",
    "humorous": "Even your shoes will be tired, but they never tell, ha ha!",
    "careful": "As far as I know, it usually helps to wait.",
    "informative": "It is worth knowing that muscles need 48 hours of rest.",
    "professional": "The recommended approach is to compare prices.",
    "creative": "What if every guest painted one tile?",
    "touching": "Some places stay in the heart for years.",
    "vivid": "Steam rises in silver clouds while onions shimmer.",
    "concise": "Take the night train.",
    "bulleted": "A short list:\n- Compare prices.\n- Take the night train.",
    "formal": "It is advisable to compare prices.",
    "informal": "Yeah, you've gotta compare prices.",
    "emoji": "Compare prices. 🌍",
}


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_measure_finds_its_example_and_nothing_in_plain_text(dimension):
    assert present(dimension, EXAMPLES[dimension])
    assert not present(dimension, PLAIN)


def test_formal_needs_more_than_its_words_when_contractions_are_there():
    assert not present("formal", "It is advisable to wait, but don't.")


def test_one_list_item_is_no_list():
    assert not present("bulleted", "A list:\n- Compare prices.")


def test_no_emoji_is_the_opposite_of_emoji():
    assert present("no_emoji", PLAIN)
    assert not present("no_emoji", "Fine. 🎉")


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_the_corpus_writes_what_the_measure_counts(dimension):
    rng = random.Random(5)
    for _ in range(40):
        _, where = ask(rng.choice(FAMILIES), rng, held_out=False)
        text = "".join(piece.text for piece in compose(where, [dimension], [], rng))
        assert present(dimension, text), text
        assert well_formed(text), text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "begin small. Then rest.",
        "Begin with with one corner.",
        "Begin small. Begin small.",
        "Begin with one corner",
        "Fine now. <|im_end|>",
    ],
)
def test_broken_sentences_are_not_well_formed(text):
    assert well_formed(PLAIN)
    assert not well_formed(text)


def test_a_word_outside_the_lexicon_is_not_well_formed():
    known = frozenset({"begin", "small"})
    assert well_formed("Begin small.", known)
    assert not well_formed("Begin smoll.", known)
