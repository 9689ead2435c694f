"""The paper's prompts, filtered exactly as there, and a user's own."""

import gzip
import json

import pytest

from persona_judge_llm.errors import DataFileError, InvalidParameterError
from persona_judge_llm.evaluation.prompt_sets import Question, digest, helpsteer2, read_prompts


def rows_of(*lengths):
    return [{"prompt": f"{i:02}" + "x" * (length - 2)} for i, length in enumerate(lengths)]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_psoups_keeps_ids_and_texts_as_they_are(tmp_path):
    file = tmp_path / "koala.json"
    texts = ["List the layers.", "one\\ntwo", "a &amp; b"]
    file.write_text(json.dumps([{"id": str(i), "prompt": t} for i, t in enumerate(texts)]))
    found = read_prompts("psoups", str(file))
    assert found == [Question(str(i), text) for i, text in enumerate(texts)]
    assert read_prompts("psoups", str(file), 2) == found[:2]


def test_helpsteer2_keeps_100_characters_and_then_every_second_row():
    rows = rows_of(100, 100, 101, 101, 5, 100, 7, 99, 100)
    found = helpsteer2(enumerate(rows))
    # 0 1 4 5 6 7 8 are short enough; of these the second, the fourth and the sixth.
    assert [question.id for question in found] == ["1", "5", "7"]
    assert found[0].text == rows[1]["prompt"]


def test_helpsteer2_counts_characters_and_not_bytes():
    rows = [{"prompt": letter * 100} for letter in "ab"] + [{"prompt": "é" * 100}] * 2
    assert [question.text[0] for question in helpsteer2(enumerate(rows))] == ["b", "é"]


def test_helpsteer2_is_read_from_json_lines_and_packed_ones(tmp_path):
    rows = rows_of(10, 10, 300, 300, 20, 20)
    plain = written(tmp_path / "validation.jsonl", rows)
    packed = tmp_path / "validation.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "validation.jsonl").read_bytes()))
    found = read_prompts("helpsteer2", plain)
    assert [question.text for question in found] == [rows[1]["prompt"], rows[5]["prompt"]]
    assert [q.text for q in read_prompts("helpsteer2", str(packed))] == [q.text for q in found]


def test_helpsteer2_is_loaded_by_datasets_from_a_folder_and_by_name(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    rows = rows_of(10, 10, 300, 300, 20, 20)
    folder = tmp_path / "data"
    folder.mkdir()
    written(folder / "validation.jsonl", rows)
    written(folder / "train.jsonl", rows_of(30, 30))
    found = read_prompts("helpsteer2", str(folder))
    assert [question.text for question in found] == [rows[1]["prompt"], rows[5]["prompt"]]
    named = read_prompts("helpsteer2", f"hub:{folder}:train")
    assert [len(question.text) for question in named] == [30]


def test_a_data_set_that_is_not_there_is_one_sentence():
    with pytest.raises(DataFileError, match="cannot be loaded as a data set"):
        read_prompts("helpsteer2", "hub:nobody/nothing")


def test_lines_are_text_or_json_lines(tmp_path):
    text = tmp_path / "q.txt"
    text.write_text("How?\n\n  Why?\u2028Because?  \n")
    assert read_prompts("lines", str(text)) == [
        Question("1", "How?"),
        Question("3", "Why?\u2028Because?"),
    ]
    lines = written(tmp_path / "q.jsonl", [{"prompt": "How?", "id": "a"}, {"prompt": "Why?"}])
    assert read_prompts("lines", lines) == [Question("a", "How?"), Question("2", "Why?")]


@pytest.mark.parametrize(
    ("kind", "name", "text", "match"),
    [
        ("psoups", "a.json", "{}", "JSON array"),
        ("psoups", "a.json", "[", "not JSON"),
        ("psoups", "a.json", '[{"id": "1"}]', "prompt 0"),
        ("psoups", "a.json", '[{"prompt": "a", "id": 1}, {"prompt": "b", "id": 1}]', "same id"),
        ("psoups", "a.json", "[]", "no prompt is left"),
        ("helpsteer2", "a.jsonl", '{"prompt": "a"}\n', "no prompt is left"),
        ("helpsteer2", "a.jsonl", '{"prompt": "a"}\nx\n', "line 2 .*not JSON"),
        ("helpsteer2", "a.jsonl", "[1]\n", "line 1 .*not a JSON object"),
        ("lines", "a.txt", "\n \n", "no prompt is left"),
    ],
)
def test_what_holds_no_prompts_is_refused(tmp_path, kind, name, text, match):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(DataFileError, match=match):
        read_prompts(kind, str(file))


def test_other_kinds_and_sizes_are_refused(tmp_path):
    with pytest.raises(InvalidParameterError, match="set"):
        read_prompts("koala", "x")
    with pytest.raises(InvalidParameterError, match="n must"):
        read_prompts("lines", "x", 0)


def test_the_digest_tells_lists_apart():
    a, b = Question("1", "a"), Question("2", "b")
    assert digest([a, b]) == digest([a, b])
    assert len({digest(qs) for qs in ([a], [b], [a, b], [b, a], [Question("1", "b")])}) == 5
