"""Lines that cannot be imported."""

import json
from pathlib import Path
from typing import Any

import pytest

from persona_judge_llm.errors import (
    InvalidParameterError,
    InvalidPreferenceError,
    ProfileImportError,
)
from persona_judge_llm.preferences import Profile
from persona_judge_llm.testing.store_suite.common import (
    LONE_SURROGATE,
    SECRET,
    CompleteProfileStore,
    StoreSuite,
    line,
)


def field(**fields: object) -> str:
    """Return a line of one preference with these fields."""
    return line([{"text": SECRET, **fields}])


BAD_LINES = {
    "no JSON": "{" + SECRET,
    "half a line": line([{"text": SECRET}])[:-2],
    "two values": "{} {}",
    "a list": f'["{SECRET}"]',
    "a text": f'"{SECRET}"',
    "null": "null",
    "no user": '{"preferences": []}',
    "user is a number": '{"user_id": 7}',
    "user is empty": '{"user_id": " "}',
    "user with NUL": '{"user_id": "a\\u0000"}',
    "user with a lone surrogate": '{"user_id": "\\ud800"}',
    "user of 300 characters": json.dumps({"user_id": "x" * 300}),
    "unknown key": line(name=SECRET),
    "a version": line(version=3),
    "preferences are an object": line({"text": SECRET}),
    "preferences are null": line(None),
    "a preference is a text": line([SECRET]),
    "a preference is null": line([None]),
    "unknown field": field(colour=SECRET),
    "no text": line([{"weight": 1}]),
    "text is null": line([{"text": None}]),
    "text with NUL": field(text="a\0"),
    "text with a lone surrogate": field(text=LONE_SURROGATE),
    "text too long": field(text="x" * 2_001),
    "weight is NaN": line([{"text": SECRET, "weight": float("nan")}]),
    "weight is infinite": line([{"text": SECRET, "weight": float("inf")}]),
    "weight overflows": field(weight=10**400),
    "weight is 1e999": '{"user_id": "bad", "preferences": [{"text": "x", "weight": 1e999}]}',
    "weight is 0": field(weight=0),
    "weight is a text": field(weight="1"),
    "weight is true": field(weight=True),
    "kind is a list": field(kind=["must"]),
    "kind is unknown": field(kind=SECRET),
    "active is 1": field(active=1),
    "active is null": field(active=None),
    "confirmed is a text": field(confirmed="true"),
    "opposes is a text": field(opposes="p1"),
    "opposes holds a number": field(opposes=[1]),
    "opposes is null": field(opposes=None),
    "expires without a zone": field(expires_at="2030-01-01T00:00:00"),
    "expires at some time": field(expires_at=SECRET),
    "expires at a number": field(expires_at=7),
    "source is unknown": field(source=SECRET),
    "source is an object": field(source={}),
    "scope is empty": field(scope=""),
    "scope of 300 characters": field(scope="x" * 300),
    "id of 300 characters": field(id="x" * 300),
    "id with NUL": field(id="a\0"),
    "id is a number": field(id=7),
    "an id twice": line([{"text": "a", "id": "x"}, {"text": "b", "id": "x"}]),
    "65 active ones": line([{"text": f"text {n}"} for n in range(65)]),
    "settings are a list": line(settings=[SECRET]),
    "settings are null": line(settings=None),
    "settings hold NaN": line(settings={"n": float("nan")}),
    "nested without end": '{"user_id": "bad", "settings": ' + '{"a":' * 100_000,
    "a number without end": f'{{"user_id": "bad", "settings": {{"n": 1{"0" * 10_000}}}}}',
    "a user who is named again": '{"user_id": "first"}',
}


class BadLines(StoreSuite):
    """Every way in which a file can be wrong, told by the number of its line."""

    def test_a_bad_line_is_named_by_its_number_and_quoted_by_nobody(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        for name, bad in BAD_LINES.items():
            given_lines = ['{"user_id": "first"}', "", bad, '{"user_id": "last"}']
            with subtests.test(name):
                with pytest.raises(ProfileImportError) as caught:
                    store.import_jsonl(given_lines)
                assert caught.value.line == 3
                assert caught.value.reason
                assert "line 3" in str(caught.value)
                assert SECRET not in str(caught.value)
            assert list(store.list_users()) == ["first"]

    def test_a_skipped_line_is_reported_and_the_others_are_stored(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        store.put(Profile("first"))
        for name, bad in BAD_LINES.items():
            given_lines = ['{"user_id": "first"}', "", bad, '{"user_id": "last"}']
            with subtests.test(name):
                report = store.import_jsonl(given_lines, on_error="skip")
                assert (report.written, report.unchanged) == (1, 1)
                assert [error.line for error in report.errors] == [3]
            assert list(store.list_users()) == ["first", "last"]
            store.erase("last")

    def test_bytes_that_are_no_text_are_a_bad_line(
        self, store: CompleteProfileStore, tmp_path: Path
    ) -> None:
        path = tmp_path / "latin.jsonl"
        path.write_bytes(b'{"user_id": "a"}\n{"user_id": "\xe9"}\n{"user_id": "c"}\n')
        with pytest.raises(ProfileImportError, match="line 2"):
            store.import_jsonl(path)
        report = store.import_jsonl(path, on_error="skip")
        assert [error.line for error in report.errors] == [2]
        assert list(store.list_users()) == ["a", "c"]

    def test_all_bad_lines_are_reported_when_they_are_skipped(
        self, store: CompleteProfileStore
    ) -> None:
        # More than any batch, with bad lines at both ends.
        count = 2_100
        bad = {1, 1_000, 1_001, 1_500, count}
        given_lines = (
            "nonsense" if n in bad else json.dumps({"user_id": f"user {n:04}"})
            for n in range(1, count + 1)
        )
        seen: list[int] = []
        report = store.import_jsonl(given_lines, on_error="skip", progress=seen.append)
        assert report.written == count - len(bad)
        assert [error.line for error in report.errors] == sorted(bad)
        assert seen == sorted(seen)
        assert seen[-1] == count
        assert len(list(store.list_users())) == count - len(bad)

    def test_a_policy_that_does_not_exist_is_refused(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        policies: list[Any] = ["ignore", None, True, ["skip"]]
        for on_error in policies:
            with (
                subtests.test(on_error=on_error),
                pytest.raises(InvalidParameterError, match="on_error"),
            ):
                store.import_jsonl(['{"user_id": "ana"}'], on_error=on_error)
        assert list(store.list_users()) == []

    def test_a_source_that_cannot_be_read_is_refused(
        self, store: CompleteProfileStore, tmp_path: Path, subtests: pytest.Subtests
    ) -> None:
        sources: list[Any] = [None, 7, b"{}", {"user_id": "ana"}, tmp_path / "none", tmp_path, "\0"]
        for source in sources:
            with (
                subtests.test(source=source),
                pytest.raises(InvalidParameterError, match="source"),
            ):
                store.import_jsonl(source)

    def test_a_target_that_cannot_be_written_is_refused(
        self, store: CompleteProfileStore, tmp_path: Path, subtests: pytest.Subtests
    ) -> None:
        store.put(Profile("ana"))
        targets: list[Any] = [None, 7, b"x", ["x"], tmp_path / "none" / "x", tmp_path, "\0"]
        for target in targets:
            with (
                subtests.test(target=target),
                pytest.raises(InvalidParameterError, match="target"),
            ):
                store.export_jsonl(target)

    def test_an_items_that_is_no_text_is_a_bad_line(self, store: CompleteProfileStore) -> None:
        source: Any = ['{"user_id": "ana"}', {"user_id": "ben"}]
        with pytest.raises(ProfileImportError, match="line 2"):
            store.import_jsonl(source)

    def test_a_bad_actor_stops_an_import_before_it_begins(
        self, store: CompleteProfileStore
    ) -> None:
        with pytest.raises(InvalidPreferenceError, match="actor"):
            store.import_jsonl([line()], actor="a\0b")
        assert list(store.list_users()) == []
