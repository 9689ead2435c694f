"""What was done to a profile, and the way back."""

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from persona_judge_llm.errors import (
    InvalidPreferenceError,
    NothingToUndoError,
    ProfileConflictError,
    UnknownUserError,
)
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.store_suite.common import (
    SECRET,
    CompleteProfileStore,
    StoreSuite,
    abc,
    guess,
    texts,
)

UNDO_STEPS = 20

WRITES: dict[str, Callable[[CompleteProfileStore], object]] = {
    "text": lambda s: s.update("ana", "b", text="B"),
    "weight": lambda s: s.update("ana", "b", weight=9),
    "every field": lambda s: s.update(
        "ana",
        "b",
        kind="must",
        dimension="tone",
        active=False,
        opposes={"a"},
        expires_at=datetime(2040, 1, 1, tzinfo=timezone.utc),
        scope="work",
        source="import",
    ),
    "added": lambda s: s.add("ana", Preference("new")),
    "removed": lambda s: s.remove("ana", "a"),
    "order": lambda s: s.reorder("ana", ["c", "g", "a", "b"]),
    "confirmed": lambda s: s.confirm("ana", "g"),
    "rejected": lambda s: s.reject("ana", "g"),
    "put": lambda s: s.put(Profile("ana", (Preference("other", id="b"),), settings={"n": 2})),
    "put_many": lambda s: s.put_many([Profile("ana", settings={"n": 2})]),
    "imported": lambda s: s.import_jsonl(['{"user_id": "ana"}']),
}


class Past(StoreSuite):
    """The history tells of each write; undo takes one back after the other."""

    def test_the_history_tells_every_write_and_who_made_it(
        self, store: CompleteProfileStore
    ) -> None:
        begun = datetime.now(timezone.utc)
        store.put(abc(), actor="signup")
        store.add("ana", Preference("one", id="x"), actor="ana")
        store.update("ana", "x", text="two")
        store.reorder("ana", ["x", "c", "b", "a"], actor="ana")
        store.remove("ana", "a", actor="ana")
        store.add("ana", guess(), actor="model")
        store.confirm("ana", "g", actor="ana")
        store.add("ana", guess(id="h"), actor="model")
        store.reject("ana", "h", actor="ana")
        store.undo("ana", actor="support")
        store.put_many([Profile("ana")], actor="job")
        store.import_jsonl(['{"user_id": "ana", "preferences": [{"text": "x"}]}'], actor="job")
        history = store.history("ana")
        assert [(e.version, e.action, e.preference_id, e.actor, e.undoes) for e in history] == [
            (1, "put", None, "signup", None),
            (2, "add", "x", "ana", None),
            (3, "update", "x", None, None),
            (4, "reorder", None, "ana", None),
            (5, "remove", "a", "ana", None),
            (6, "add", "g", "model", None),
            (7, "confirm", "g", "ana", None),
            (8, "add", "h", "model", None),
            (9, "reject", "h", "ana", None),
            (10, "undo", None, "support", 9),
            (11, "put", None, "job", None),
            (12, "import", None, "job", None),
        ]
        times = [begun, *(e.at for e in history), datetime.now(timezone.utc)]
        assert times == sorted(times)

    def test_the_history_names_the_id_that_was_assigned(self, store: CompleteProfileStore) -> None:
        stored = store.add("ana", Preference("one"))
        assert store.history("ana")[0].preference_id == stored.preferences[0].id

    def test_the_history_of_a_user_is_theirs_alone(self, store: CompleteProfileStore) -> None:
        store.put(Profile("ben"))
        store.put(Profile("ana"))
        store.add("ben", Preference("one"))
        assert [e.action for e in store.history("ana")] == ["put"]
        assert [e.action for e in store.history("ben")] == ["put", "add"]

    def test_the_history_holds_no_text(self, store: CompleteProfileStore) -> None:
        store.put(Profile("ana", (Preference(SECRET, id="x"),), settings={SECRET: SECRET}))
        store.update("ana", "x", text=f"{SECRET} again", dimension=SECRET, scope=SECRET)
        store.undo("ana")
        assert SECRET not in repr(store.history("ana"))

    def test_a_changed_history_is_not_changed_in_the_store(
        self, store: CompleteProfileStore
    ) -> None:
        store.put(Profile("ana"))
        store.history("ana").clear()
        assert len(store.history("ana")) == 1

    def test_a_write_that_was_refused_is_in_no_history(self, store: CompleteProfileStore) -> None:
        store.put(abc())
        refused: list[tuple[type[Exception], Callable[[], object]]] = [
            (ProfileConflictError, lambda: store.put(Profile("ana"), 7)),
            (InvalidPreferenceError, lambda: store.remove("ana", "x")),
            (InvalidPreferenceError, lambda: store.add("ana", Preference("again", id="a"))),
            (InvalidPreferenceError, lambda: store.reorder("ana", ["a"])),
            (NothingToUndoError, lambda: store.undo("ana")),
        ]
        for error, call in refused:
            with pytest.raises(error):
                call()
        assert [e.version for e in store.history("ana")] == [1]

    @pytest.mark.parametrize("write", WRITES)
    def test_undo_restores_what_was_before(self, store: CompleteProfileStore, write: str) -> None:
        a, b, c = abc().preferences
        full = Preference(
            "b 🇫🇷",
            weight=0.1 + 0.2,
            dimension="length",
            opposes=frozenset("ac"),
            expires_at=datetime(2031, 2, 3, 4, 5, 6, 789, tzinfo=timezone.utc),
            scope="home",
            id=b.id,
        )
        before = store.put(Profile("ana", (a, full, guess(), c), settings={"n": [1, {"m": None}]}))
        WRITES[write](store)
        assert store.get("ana").preferences != before.preferences
        undone = store.undo("ana", actor="ana")
        assert undone == store.get("ana")
        assert undone.preferences == before.preferences
        assert undone.settings == before.settings
        assert undone.version == 3
        event = store.history("ana")[-1]
        assert (event.version, event.action, event.actor, event.undoes) == (3, "undo", "ana", 2)

    def test_undo_again_goes_further_back(self, store: CompleteProfileStore) -> None:
        states = [store.put(abc())]
        for write in ("text", "removed", "added", "every field"):
            WRITES[write](store)
            states.append(store.get("ana"))
        for wanted in states[-2::-1]:
            assert store.undo("ana").preferences == wanted.preferences
        assert [e.undoes for e in store.history("ana")][5:] == [5, 4, 3, 2]
        self._is_at_its_end(store)

    def test_a_write_after_an_undo_is_undone_before_what_is_older(
        self, store: CompleteProfileStore
    ) -> None:
        for said in ("one", "two", "three"):
            store.put(Profile("ana", (Preference(said),)))
        assert texts(store.undo("ana")) == ["two"]
        store.put(Profile("ana", (Preference("four"),)))
        assert texts(store.undo("ana")) == ["two"]
        assert texts(store.undo("ana")) == ["one"]
        assert [e.undoes for e in store.history("ana") if e.undoes] == [3, 5, 2]
        self._is_at_its_end(store)

    def test_the_first_write_cannot_be_undone(self, store: CompleteProfileStore) -> None:
        store.add("ana", Preference("one"))
        self._is_at_its_end(store)

    def test_the_write_that_made_a_user_of_many_cannot_be_undone(
        self, store: CompleteProfileStore
    ) -> None:
        store.put_many([abc("ana"), abc("ben")])
        self._is_at_its_end(store)
        store.import_jsonl(['{"user_id": "kim"}'])
        self._is_at_its_end(store, "kim")

    def test_the_last_twenty_writes_can_be_undone_and_no_more(
        self, store: CompleteProfileStore
    ) -> None:
        for n in range(UNDO_STEPS + 5):
            store.put(Profile("ana", (Preference(f"text {n}"),)))
        for n in reversed(range(4, UNDO_STEPS + 4)):
            assert texts(store.undo("ana")) == [f"text {n}"]
        self._is_at_its_end(store)
        store.put(Profile("ana"))
        assert texts(store.undo("ana")) == ["text 4"]

    def test_an_erased_past_cannot_be_returned_to(self, store: CompleteProfileStore) -> None:
        store.put(Profile("ana", (Preference("old"),)))
        store.put(Profile("ana", (Preference("older"),)))
        store.erase("ana")
        with pytest.raises(UnknownUserError):
            store.undo("ana")
        store.put(Profile("ana"))
        self._is_at_its_end(store)

    def test_what_was_undone_can_be_written_to(self, store: CompleteProfileStore) -> None:
        store.put(abc())
        store.remove("ana", "a")
        store.undo("ana")
        fields: dict[str, Any] = {"text": "A", "weight": 2}
        store.update("ana", "a", **fields)
        assert texts(store.add("ana", Preference("d"))) == ["A", "b", "c", "d"]

    def _is_at_its_end(self, store: CompleteProfileStore, user_id: str = "ana") -> None:
        before, history = store.get(user_id), store.history(user_id)
        with pytest.raises(NothingToUndoError):
            store.undo(user_id)
        assert store.get(user_id) == before
        assert store.history(user_id) == history
