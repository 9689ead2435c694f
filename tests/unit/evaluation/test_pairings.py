"""Dimensions, the paper's pairings, and users' own."""

import json

import pytest

from persona_judge_llm.errors import DataFileError, InvalidParameterError
from persona_judge_llm.evaluation.dimensions import DIMENSIONS, NAMES, read_dimensions
from persona_judge_llm.evaluation.pairings import (
    GROUPS,
    TABLE_4,
    Pairing,
    pairings,
    read_pairings,
)


def test_the_nine_dimensions_have_texts_of_their_own():
    assert len(NAMES) == 9
    assert {d.measures for d in DIMENSIONS.values()} == {*NAMES}
    assert len({d.preference for d in DIMENSIONS.values()}) == len(DIMENSIONS)
    for dimension in DIMENSIONS.values():
        assert len(dimension.preference) < 120
        assert dimension.preference.endswith(".")
        assert dimension.aspect == DIMENSIONS[dimension.measures].aspect


def test_table_4_measures_every_dimension_once():
    found = [d.name for name in TABLE_4 for p in pairings(name) for d in p.dimensions]
    assert sorted(found) == sorted(NAMES)


def test_groups_pairs_and_single_dimensions_stand_in_one_list():
    found = pairings("table4, humor+VIVID | correct,Touching,Touching")
    assert [p.name for p in found] == [*TABLE_4, "Humor+Vivid|Correct", "Touching"]
    assert [d.name for d in found[3].side_a] == ["Humor", "Vivid"]
    assert found[4].side_b == ()


def test_the_authors_pairings_are_all_there():
    assert len(pairings("all")) == 9
    assert len(pairings("singles")) == 9
    assert [len(p.dimensions) for p in pairings("table5")] == [1, 2, 3]
    for group in GROUPS:
        assert pairings(group)


@pytest.mark.parametrize("text", ["", " , ", "Funny", "Humor|Vivid|Correct", "Humor|"])
def test_what_names_no_pairing_is_refused(text):
    with pytest.raises(InvalidParameterError, match="pairs"):
        pairings(text)


def test_a_pairing_survives_json():
    (pairing,) = pairings("Harmless+Humor|Helpful")
    assert Pairing.of_values(json.loads(json.dumps(pairing.values()))) == pairing


def test_own_texts_take_the_place_of_ours(tmp_path):
    file = tmp_path / "texts.json"
    own = {"Humor": "Joke!", "Calm": {"preference": "Be calm.", "aspect": "which is calmer"}}
    file.write_text(json.dumps(own))
    found = read_dimensions(file)
    assert (found["Humor"].preference, found["Humor"].aspect) == (
        "Joke!",
        DIMENSIONS["Humor"].aspect,
    )
    assert found["Vivid"] == DIMENSIONS["Vivid"]
    (pairing,) = pairings("Calm|Humor", found)
    assert pairing.side_a[0].aspect == "which is calmer"


@pytest.mark.parametrize("text", ["[]", "{}", "x", '{"A": 1}', '{"A": " "}', '{"A": {"b": "c"}}'])
def test_a_file_without_texts_is_refused(tmp_path, text):
    file = tmp_path / "texts.json"
    file.write_text(text)
    with pytest.raises(DataFileError, match=r"texts\.json"):
        read_dimensions(file)


def test_own_pairings_mix_names_and_texts(tmp_path):
    file = tmp_path / "pairs.json"
    file.write_text(
        json.dumps(
            [{"a": ["Humor", "Use short-ish words."], "b": ["Correct"]}, {"name": "x", "a": ["Y"]}]
        )
    )
    first, second = pairings(str(file))
    assert first.name == "Humor+Use short-ish words.|Correct"
    assert first.side_a[0] is DIMENSIONS["Humor"]
    assert first.side_a[1].preference == first.side_a[1].measures == "Use short-ish words."
    assert (second.name, second.side_b) == ("x", ())


@pytest.mark.parametrize(
    "text",
    [
        "{}", "[]", "[1]", '[{"a": []}]', '[{"a": "Humor"}]', '[{"a": [""]}]', '[{"b": ["Humor"]}]',
        '[{"a": ["Humor"], "name": 1}]', '[{"a": ["Humor"]}, {"a": ["Humor"]}]',
        '[{"a": ["Humor"], "c": []}]', "",
    ],
)  # fmt: skip
def test_a_file_without_pairings_is_refused(tmp_path, text):
    file = tmp_path / "pairs.json"
    file.write_text(text)
    with pytest.raises(DataFileError, match=r"pairs\.json"):
        read_pairings(file)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(DataFileError, match=r"nowhere\.json.*cannot be read"):
        pairings("nowhere.json")
