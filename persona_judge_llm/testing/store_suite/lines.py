"""Profiles as lines of JSON: out of one store, and into another one."""

import dataclasses
import io
import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.profile_lines import ImportReport
from persona_judge_llm.testing.store_suite.common import (
    CompleteProfileStore,
    StoreSuite,
    abc,
    guess,
    line,
    texts,
)

FULL = Preference(
    'Ünï "quoted"\u2028\x85\r\n\t🇫🇷',
    weight=0.1 + 0.2,
    kind="must",
    dimension="tone",
    active=False,
    opposes=frozenset({"b", "a"}),
    expires_at=datetime(2031, 2, 3, 4, 5, 6, 789, tzinfo=timezone(timedelta(hours=-7))),
    source="inferred",
    scope="work",
    confirmed=True,
    id="mine/1",
)


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=9)
names = names.filter(str.strip)
moments = st.datetimes(timezones=st.just(timezone.utc))
preferences = st.builds(
    Preference,
    names,
    weight=st.floats(0, exclude_min=True, allow_infinity=False) | st.integers(1, 2**70),
    kind=st.sampled_from(["prefer", "must"]),
    dimension=st.none() | names,
    active=st.booleans(),
    opposes=st.frozensets(st.text(max_size=3), max_size=3),
    expires_at=st.none() | moments,
    source=st.sampled_from(["user", "import", "inferred"]),
    scope=st.none() | names,
    confirmed=st.booleans(),
    id=st.none() | st.uuids().map(str),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
profiles = st.builds(
    Profile,
    names,
    st.lists(preferences, max_size=3).map(tuple),
    settings=st.dictionaries(st.text(max_size=5), json_values, max_size=3),
)


class Lines(StoreSuite):
    """Export and import: nothing is lost, and nothing is written twice."""

    def test_each_profile_is_a_line_in_the_order_of_the_users(
        self, store: CompleteProfileStore
    ) -> None:
        stored = store.put(
            Profile("ben", (FULL, Preference("Be brief")), settings={"z": 1, "a": [None]})
        )
        store.put(Profile("Ana"))
        store.put(Profile("ana", (Preference("x", id="p1"),)))
        *found, last = exported(store, count=3).split("\n")
        assert last == ""
        rows = [json.loads(text) for text in found]
        moment = datetime.fromisoformat(rows[2]["preferences"][0].pop("expires_at"))
        assert moment == FULL.expires_at
        full = dataclasses.asdict(FULL)
        del full["expires_at"]
        assert rows == [
            {"user_id": "Ana", "preferences": []},
            {"user_id": "ana", "preferences": [{"text": "x", "id": "p1"}]},
            {
                "user_id": "ben",
                "preferences": [
                    {**full, "opposes": ["a", "b"]},
                    {"text": "Be brief", "id": stored.preferences[1].id},
                ],
                "settings": {"z": 1, "a": [None]},
            },
        ]
        assert [list(json.loads(text)) for text in found][2] == [
            "user_id",
            "preferences",
            "settings",
        ]

    def test_an_empty_store_is_an_empty_file(
        self, store: CompleteProfileStore, tmp_path: Path
    ) -> None:
        target = tmp_path / "profiles.jsonl"
        target.write_text("old")
        assert store.export_jsonl(target) == 0
        assert target.read_bytes() == b""
        assert store.import_jsonl(target) == ImportReport(0, 0, ())

    def test_export_import_export_is_the_same_to_the_byte(
        self, store: CompleteProfileStore, tmp_path: Path
    ) -> None:
        store.put(Profile("ünï", (FULL, guess(), Preference("y")), settings={"n": [2**70, 0.1]}))
        store.put_many(abc(f"user {n}") for n in range(30))
        store.remove("user 7", "b")
        store.reorder("user 8", ["c", "a", "b"])
        first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
        before = [store.get(user) for user in store.list_users()]
        assert store.export_jsonl(first) == 31
        elsewhere = InMemoryProfileStore()
        assert elsewhere.import_jsonl(first) == ImportReport(31, 0, ())
        assert elsewhere.export_jsonl(str(second)) == 31
        assert second.read_bytes() == first.read_bytes()
        for user in list(store.list_users()):
            store.erase(user)
        assert store.import_jsonl(second) == ImportReport(31, 0, ())
        assert exported(store, count=31) == first.read_text("utf-8")
        for was in before:
            assert store.get(was.user_id) == dataclasses.replace(was, version=1)

    @pytest.mark.parametrize("weight", [3, 2**53 + 1, 2**70 + 1])
    def test_lines_of_another_store_come_out_as_they_went_in(
        self, store: CompleteProfileStore, weight: float
    ) -> None:
        elsewhere = InMemoryProfileStore()
        elsewhere.put(Profile("ana", (FULL, Preference("x", weight=weight))))
        there = exported(elsewhere, count=1)
        assert store.import_jsonl(io.StringIO(there)) == ImportReport(1, 0, ())
        assert exported(store, count=1) == there
        assert store.get("ana") == elsewhere.get("ana")

    @settings(
        max_examples=25,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
    )
    @given(given_profiles=st.lists(profiles, max_size=4, unique_by=lambda p: p.user_id))
    def test_any_profiles_come_back_from_their_lines(
        self, store: CompleteProfileStore, given_profiles: list[Profile]
    ) -> None:
        for user in list(store.list_users()):
            store.erase(user)
        for profile in given_profiles:
            store.put(profile)
        before = {user: store.get(user) for user in store.list_users()}
        text = exported(store, count=len(before))
        assert store.import_jsonl(io.StringIO(text)) == ImportReport(0, len(before), ())
        for user in before:
            store.erase(user)
        assert store.import_jsonl(io.StringIO(text)) == ImportReport(len(before), 0, ())
        assert {user: store.get(user) for user in store.list_users()} == before
        assert exported(store, count=len(before)) == text

    def test_importing_twice_writes_nothing_the_second_time(
        self, store: CompleteProfileStore
    ) -> None:
        given_lines = [
            line([{"text": "no id"}, {"text": "guessed", "source": "inferred"}]),
            json.dumps({"user_id": "ana", "settings": {"n": 1}}),
        ]
        assert store.import_jsonl(given_lines, actor="job") == ImportReport(2, 0, ())
        before = [store.get(user) for user in store.list_users()]
        assert store.import_jsonl(given_lines, actor="job") == ImportReport(0, 2, ())
        assert [store.get(user) for user in store.list_users()] == before
        assert [len(store.history(user)) for user in store.list_users()] == [1, 1]

    def test_an_import_replaces_the_whole_profile_of_who_is_named_and_of_nobody_else(
        self, store: CompleteProfileStore
    ) -> None:
        store.put(Profile("bad", abc().preferences, settings={"old": 1}))
        ana = store.put(abc())
        assert store.import_jsonl([line([{"text": "new", "id": "b"}])]).written == 1
        assert store.get("bad") == Profile("bad", (Preference("new", id="b"),), version=2)
        assert store.get("ana") == ana

    @pytest.mark.parametrize("way", ["path", "text path", "file", "iterable", "generator"])
    def test_lines_are_taken_from_a_path_a_file_and_any_iterable(
        self, store: CompleteProfileStore, tmp_path: Path, way: str
    ) -> None:
        # With what editors add: a byte order mark, other line ends, empty lines, no end.
        said = "\ufeff" + '\n\r\n{"user_id": "ünï", "preferences": [{"text": "好"}]}\r\n  \n'
        said += '{"user_id": "ana"}'
        path = tmp_path / "lines.jsonl"
        path.write_bytes(said.encode())
        sources: dict[str, Any] = {
            "path": path,
            "text path": str(path),
            "file": io.StringIO(said),
            "iterable": said.split("\n"),
            "generator": (each + "\n" for each in said.split("\n")),
        }
        assert store.import_jsonl(sources[way]) == ImportReport(2, 0, ())
        assert list(store.list_users()) == ["ana", "ünï"]
        assert texts(store.get("ünï")) == ["好"]

    def test_progress_tells_how_far_the_store_is(self, store: CompleteProfileStore) -> None:
        seen: list[int] = []
        store.import_jsonl(exported_lines(map(abc, "abcdef")), progress=seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == 6


def exported(store: CompleteProfileStore, *, count: int) -> str:
    """Return what the store exports, which is so many lines."""
    file = io.StringIO()
    assert store.export_jsonl(file) == count
    return file.getvalue()


def exported_lines(given_profiles: Iterable[Profile]) -> list[str]:
    """Return profiles as lines."""
    made = list(given_profiles)
    return exported(InMemoryProfileStore(made), count=len(made)).splitlines()
