"""Files that only grow: torn ends, foreign lines, two writers."""

import json
import os
import sys

import pytest

from persona_judge_llm.errors import DataFileError
from persona_judge_llm.evaluation.records import Records, read_records, write_whole


def test_what_is_written_is_found_again(tmp_path):
    path = tmp_path / "new" / "a.jsonl"
    with Records(path) as records:
        assert records.found == []
        records.append({"a": "\ud800 \u2028 é"})
        records.append({"b": 1})
    with Records(path) as records:
        assert records.found == [{"a": "\ud800 \u2028 é"}, {"b": 1}]
    assert read_records(path) == records.found
    assert path.read_bytes().isascii()


@pytest.mark.parametrize("torn", [b'{"b": ', b"{", b"\0\0\0", b'{"b": 2}', b'{"b"\n', b"\0\0\n"])
def test_a_torn_last_line_is_dropped_and_written_over(tmp_path, torn):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' + torn)
    assert read_records(path) == [{"a": 1}]
    assert path.read_bytes().endswith(torn)  # reading changes nothing
    with Records(path) as records:
        assert records.found == [{"a": 1}]
        records.append({"c": 3})
    assert path.read_bytes() == b'{"a": 1}\n{"c": 3}\n'


def test_a_line_of_somebody_else_in_the_middle_is_an_error_and_nothing_is_lost(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\nhello\n{"b": 2}\n')
    with pytest.raises(DataFileError, match="line 2"):
        Records(path)
    with pytest.raises(DataFileError, match="line 2"):
        read_records(path)
    assert path.read_bytes() == b'{"a": 1}\nhello\n{"b": 2}\n'


def test_each_record_is_on_the_disk_before_append_returns(tmp_path, monkeypatch):
    synced = []
    path = tmp_path / "a.jsonl"
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_bytes()))
    with Records(path) as records:
        records.append({"a": 1})
        assert synced == [b'{"a": 1}\n']


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_a_second_writer_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    with Records(path), pytest.raises(DataFileError, match="another process"):
        Records(path)
    with Records(path) as again:
        again.append({})


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match="cannot be written"):
        Records(tmp_path / "file" / "a.jsonl")
    with pytest.raises(DataFileError, match="cannot be written"):
        write_whole(tmp_path / "file" / "a.json", "x")
    with pytest.raises(DataFileError, match="cannot be read"):
        read_records(tmp_path)


def test_a_missing_file_holds_no_records(tmp_path):
    assert read_records(tmp_path / "none.jsonl") == []


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    write_whole(path, json.dumps([1]))
    write_whole(path, json.dumps([2]))
    assert json.loads(path.read_text()) == [2]
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
