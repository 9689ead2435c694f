"""What was inferred counts only once its user agreed."""

from typing import Any

import pytest

from persona_judge_llm.errors import InvalidPreferenceError
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.store_suite.common import (
    CompleteProfileStore,
    StoreSuite,
    abc,
    guess,
    texts,
)


class Inferred(StoreSuite):
    """Inferred preferences lie inactive until they are confirmed or rejected."""

    @pytest.mark.parametrize("way", ["add", "put", "put_many", "import", "update"])
    def test_an_inferred_preference_is_never_active(
        self, store: CompleteProfileStore, way: str
    ) -> None:
        line = '{"user_id": "ana", "preferences": [{"text": "x", "id": "g", "source": "inferred"}]}'
        if way == "add":
            store.add("ana", guess(active=True))
        elif way == "put":
            store.put(Profile("ana", (guess(active=True),)))
        elif way == "put_many":
            store.put_many([Profile("ana", (guess(active=True),))])
        elif way == "import":
            store.import_jsonl([line])
        else:
            store.add("ana", Preference("x", id="g"))
            store.update("ana", "g", source="inferred")
        (kept,) = store.get("ana").preferences
        assert not kept.active
        assert not kept.confirmed
        assert not kept.in_force()
        assert kept.source == "inferred"

    @pytest.mark.parametrize("fields", [{"active": True}, {"active": True, "text": "other"}])
    def test_an_update_that_would_make_it_active_names_the_way(
        self, store: CompleteProfileStore, fields: dict[str, Any]
    ) -> None:
        before = store.add("ana", guess())
        with pytest.raises(InvalidPreferenceError, match="confirm"):
            store.update("ana", "g", **fields)
        assert store.get("ana") == before
        assert len(store.history("ana")) == 1

    def test_other_updates_leave_it_waiting(self, store: CompleteProfileStore) -> None:
        store.add("ana", guess())
        store.update("ana", "g", text="Likes puns a lot", weight=2, active=False)
        store.reorder("ana", ["g"])
        (kept,) = store.get("ana").preferences
        assert (kept.text, kept.weight) == ("Likes puns a lot", 2)
        assert not kept.active
        assert not kept.confirmed

    def test_a_confirmed_one_counts(self, store: CompleteProfileStore) -> None:
        store.put(Profile("ana", (*abc().preferences, guess(weight=3, scope="work"))))
        stored = store.confirm("ana", "g")
        assert stored == store.get("ana")
        assert stored.preferences[-1] == guess(weight=3, scope="work", confirmed=True)
        assert stored.preferences[-1].in_force()
        assert stored.preferences[:3] == abc().preferences

    def test_a_confirmed_one_can_be_switched_off_and_on(self, store: CompleteProfileStore) -> None:
        store.add("ana", guess())
        store.confirm("ana", "g")
        assert not store.update("ana", "g", active=False).preferences[0].active
        assert store.update("ana", "g", active=True).preferences[0].in_force()

    def test_confirmed_is_kept_by_every_whole_write(self, store: CompleteProfileStore) -> None:
        sure = guess(confirmed=True)
        assert store.put(Profile("ana", (sure,))).preferences == (sure,)
        assert store.put_many([Profile("ben", (sure,))]) == 1
        assert store.get("ben").preferences == (sure,)
        store.add("kim", sure)
        assert store.get("kim").preferences == (sure,)

    def test_a_rejected_one_is_gone(self, store: CompleteProfileStore) -> None:
        store.put(Profile("ana", (guess(), *abc().preferences)))
        assert texts(store.reject("ana", "g")) == ["a", "b", "c"]
        assert texts(store.get("ana")) == ["a", "b", "c"]

    @pytest.mark.parametrize("source", ["user", "import"])
    def test_only_an_inferred_one_can_be_confirmed_or_rejected(
        self, store: CompleteProfileStore, source: str
    ) -> None:
        before = store.add("ana", guess(source=source, active=False))
        for write in (store.confirm, store.reject):
            with pytest.raises(InvalidPreferenceError, match="inferred"):
                write("ana", "g")
        assert store.get("ana") == before
        assert len(store.history("ana")) == 1

    def test_a_confirmed_one_cannot_be_rejected(self, store: CompleteProfileStore) -> None:
        store.add("ana", guess())
        before = store.confirm("ana", "g")
        with pytest.raises(InvalidPreferenceError, match="confirmed"):
            store.reject("ana", "g")
        assert store.get("ana") == before

    def test_undo_takes_back_a_confirmation_and_a_rejection(
        self, store: CompleteProfileStore
    ) -> None:
        before = store.add("ana", guess())
        store.confirm("ana", "g")
        assert store.undo("ana").preferences == before.preferences
        store.reject("ana", "g")
        assert store.undo("ana").preferences == before.preferences

    def test_a_full_profile_takes_guesses_but_confirms_none(
        self, store: CompleteProfileStore
    ) -> None:
        store.put(Profile("ana", tuple(Preference(f"text {n}", id=f"t{n}") for n in range(64))))
        before = store.add("ana", guess())
        with pytest.raises(InvalidPreferenceError, match="64"):
            store.confirm("ana", "g")
        assert store.get("ana") == before
        store.update("ana", "t0", active=False)
        assert store.confirm("ana", "g").preferences[-1].in_force()
