"""How answers were rated, and what it says of preferences."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from persona_judge_llm.errors import InvalidParameterError, UnknownUserError
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.testing.store_suite.common import (
    BAD_NAMES,
    CompleteProfileStore,
    StoreSuite,
    abc,
    answer,
)

A, B, C = abc().preferences


class Feedback(StoreSuite):
    """Ratings are kept for their user, add up, and change no profile."""

    def test_a_user_without_ratings_has_an_empty_summary(self, store: CompleteProfileStore) -> None:
        store.put(abc())
        summary = store.summary("ana")
        assert (summary.count, summary.mean_rating, summary.mean_acceptance_rate) == (0, None, None)
        assert summary.by_preference == {}

    def test_ratings_add_up(self, store: CompleteProfileStore) -> None:
        store.put(abc())
        half = answer("ana", [A], [B], outcomes=["accepted", "recovered", "bonus"])
        whole = answer("ana", [A, B], [B, C], outcomes=["accepted", "sampled"])
        store.record_feedback("ana", half, 1)
        store.record_feedback("ana", whole, -0.5)
        store.record_feedback("ana", answer("ana", [A], [], [C], outcomes=["sampled"]), 0.25)
        summary = store.summary("ana")
        assert summary.count == 3
        assert summary.mean_rating == pytest.approx(0.25)
        assert summary.mean_acceptance_rate == pytest.approx(0.75)
        found = {
            name: (f.count, f.mean_rating, f.side_a, f.side_b, f.dropped)
            for name, f in summary.by_preference.items()
        }
        wanted: dict[str, tuple[int, Any, int, int, int]] = {
            "a": (3, pytest.approx(0.25), 3, 0, 0),
            "b": (2, pytest.approx(0.25), 1, 2, 0),
            "c": (1, pytest.approx(-0.5), 0, 1, 1),
        }
        assert found == wanted

    def test_every_rating_in_range_is_kept(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        for n, rating in enumerate([-1, -1.0, 0, -0.0, 1, 1.0, 5e-324]):
            user = f"user {n}"
            store.put(Profile(user))
            store.record_feedback(user, answer(user), rating)
            with subtests.test(rating=rating):
                assert store.summary(user).mean_rating == rating

    def test_a_rating_out_of_range_is_refused(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        store.put(abc())
        ratings: list[Any] = [
            1.001,
            -2,
            float("nan"),
            float("inf"),
            2**70,
            10**400,
            True,
            "1",
            None,
        ]
        for rating in ratings:
            with (
                subtests.test(rating=rating),
                pytest.raises(InvalidParameterError, match="rating"),
            ):
                store.record_feedback("ana", answer("ana"), rating)
        assert store.summary("ana").count == 0

    def test_only_an_answer_to_the_user_can_be_rated(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        store.put_many([abc("ana"), abc("ben")])
        generations: dict[str, Any] = {
            "another user's": answer("ben"),
            "nearly hers": answer("ana "),
            "nobody's": answer(None),
            "neutral": answer("ana", version=None),
            "a text": "text",
            "none": None,
        }
        for name, generation in generations.items():
            with (
                subtests.test(name),
                pytest.raises(InvalidParameterError, match="generation"),
            ):
                store.record_feedback("ana", generation, 1.0)
        assert store.summary("ana").count == store.summary("ben").count == 0

    def test_ratings_of_two_users_stay_apart(self, store: CompleteProfileStore) -> None:
        store.put_many([abc("ana"), abc("ben")])
        store.record_feedback("ana", answer("ana", [A]), 1.0)
        store.record_feedback("ben", answer("ben", [B]), -1.0)
        assert store.summary("ana").mean_rating == 1.0
        assert list(store.summary("ben").by_preference) == ["b"]

    def test_a_rating_changes_no_profile(self, store: CompleteProfileStore) -> None:
        before = store.put(abc())
        store.record_feedback("ana", answer("ana", [A], [B]), -1.0, actor="ana")
        assert store.get("ana") == before
        assert store.get_version("ana") == 1
        assert len(store.history("ana")) == 1

    def test_ratings_outlive_what_they_are_about(self, store: CompleteProfileStore) -> None:
        store.put(abc())
        store.record_feedback("ana", answer("ana", [A], [Preference("without an id")]), 1.0)
        store.remove("ana", "a")
        store.put(Profile("ana"))
        assert list(store.summary("ana").by_preference) == ["a"]

    def test_ratings_go_with_their_user(self, store: CompleteProfileStore) -> None:
        store.put(abc())
        store.record_feedback("ana", answer("ana"), 1.0)
        store.erase("ana")
        with pytest.raises(UnknownUserError):
            store.summary("ana")
        store.put(abc())
        assert store.summary("ana").count == 0

    def test_an_old_version_can_be_rated(self, store: CompleteProfileStore) -> None:
        store.put(abc())
        store.put(Profile("ana"))
        store.record_feedback("ana", answer("ana", [A], version=1), 1.0)
        assert store.summary("ana").count == 1

    def test_an_actor_that_cannot_be_used_is_refused(
        self, store: CompleteProfileStore, subtests: pytest.Subtests
    ) -> None:
        store.put(abc())
        for actor in BAD_NAMES:
            with (
                subtests.test(actor=actor),
                pytest.raises(InvalidParameterError, match="actor"),
            ):
                store.record_feedback("ana", answer("ana"), 1.0, actor=actor)
        assert store.summary("ana").count == 0

    def test_no_rating_of_many_threads_is_lost(self, store: CompleteProfileStore) -> None:
        store.put(abc())

        def rate(n: int) -> None:
            store.record_feedback("ana", answer("ana", [A]), (-1.0) ** n)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(rate, range(40)))
        summary = store.summary("ana")
        assert summary.count == summary.by_preference["a"].count == 40
        assert summary.mean_rating == pytest.approx(0)
