"""The laws that every profile store keeps, run on each of them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from persona_judge_llm.errors import (
    InvalidPreferenceError,
    ProfileConflictError,
    UnknownUserError,
)
from persona_judge_llm.preferences import InMemoryProfileStore, Preference, Profile, ProfileStore
from persona_judge_profiles import SQLProfileStore

Store: TypeAlias = "InMemoryProfileStore | SQLProfileStore"

FIRST = datetime(1, 1, 1, tzinfo=timezone.utc)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc)
LONE_SURROGATE = "\ud800"
TWINS = ["user1", "user10", "user_1", "userX1", "USER1", "user1 ", "a.b", "a%", "%", "a_b"]
TWINS += ["\u00e9", "e\u0301"]  # one letter to the eye


@pytest.fixture(params=["memory", "sqlite file", "sqlite memory", "caller's engine"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield InMemoryProfileStore()
    elif request.param == "caller's engine":
        engine = create_engine(f"sqlite:///{tmp_path / 'theirs.db'}")
        with SQLProfileStore(engine) as store:
            store.upgrade()
            yield store
        engine.dispose()
    else:
        url = "sqlite://" if request.param == "sqlite memory" else f"sqlite:///{tmp_path / 'p.db'}"
        with SQLProfileStore(url) as store:
            yield store


def texts(profile: Profile) -> list[str]:
    return [p.text for p in profile.preferences]


def test_a_store_is_a_profile_store(store: Store) -> None:
    assert isinstance(store, ProfileStore)


def test_what_was_put_comes_back_with_every_field(store: Store) -> None:
    full = Preference(
        'Réponds en français 🇫🇷 — "court"; DROP TABLE pj_profile; --\n\t好',
        weight=0.1,
        kind="must",
        dimension="längé",
        active=False,
        opposes=frozenset({"other", "p9"}),
        expires_at=datetime(2031, 2, 3, 4, 5, 6, 789, tzinfo=timezone(timedelta(hours=-7))),
        source="inferred",
        id="mine/1",
    )
    profile = Profile(
        "ana@example.org",
        (full, Preference("Be brief", id="b")),
        settings={"nested": {"list": [1, 2.5, None, True, "ü\0"]}, "": []},
    )
    stored = store.put(profile)
    assert stored == store.get("ana@example.org")
    assert stored.preferences == profile.preferences
    assert stored.settings == profile.settings
    assert stored.version == 1


@pytest.mark.parametrize("weight", [2, 1e-300, 1e300, 0.1 + 0.2])
def test_weights_come_back_exactly(store: Store, weight: float) -> None:
    store.add("ana", Preference("Be brief", weight=weight))
    assert store.get("ana").preferences[0].weight == weight


@pytest.mark.parametrize("moment", [FIRST, LAST])
def test_the_first_and_the_last_moment_can_be_kept(store: Store, moment: datetime) -> None:
    store.add("ana", Preference("Be brief", expires_at=moment))
    assert store.get("ana").preferences[0].expires_at == moment


def test_the_longest_names_and_texts_fit(store: Store) -> None:
    longest = Preference("𝄞" * 2_000, dimension="𝄞" * 255, id="𝄞" * 255)
    store.put(Profile("𝄞" * 255, (longest,)))
    assert store.get("𝄞" * 255).preferences == (longest,)


def test_a_profile_without_preferences_is_a_profile(store: Store) -> None:
    assert store.put(Profile("ana")).version == 1
    assert store.get("ana") == Profile("ana", version=1)


def test_ids_are_assigned_once_and_kept(store: Store) -> None:
    first = store.put(Profile("ana", (Preference("one"), Preference("two", id="p1"))))
    ids = [p.id for p in first.preferences]
    assert None not in ids
    assert len(set(ids)) == 2
    assert ids[1] == "p1"
    second = store.add("ana", Preference("three"))
    assert [p.id for p in second.preferences][:2] == ids
    assert store.put(second).preferences == second.preferences


def test_the_order_of_preferences_is_kept(store: Store) -> None:
    wanted = [f"text {n}" for n in (3, 1, 2)]
    stored = store.put(Profile("ana", tuple(Preference(t) for t in wanted)))
    assert texts(store.get("ana")) == wanted
    store.put(Profile("ana", stored.preferences[::-1]))
    assert texts(store.get("ana")) == wanted[::-1]


def test_every_write_moves_the_version_by_one(store: Store) -> None:
    versions = [
        store.put(Profile("ana")).version,
        store.add("ana", Preference("one", id="x")).version,
        store.update("ana", "x", text="two").version,
        store.remove("ana", "x").version,
        store.put(Profile("ana", version=77)).version,
    ]
    assert versions == [1, 2, 3, 4, 5]
    assert store.get_version("ana") == store.get("ana").version == 5


def test_adding_to_nobody_makes_a_profile(store: Store) -> None:
    assert texts(store.add("ana", Preference("one"))) == ["one"]
    assert store.get_version("ana") == 1


def test_an_update_changes_the_named_fields_and_no_other(store: Store) -> None:
    store.put(Profile("ana", (Preference("a", id="1"), Preference("b", id="2", weight=3))))
    store.update("ana", "2", text="B", opposes={"1"})
    assert store.get("ana").preferences == (
        Preference("a", id="1"),
        Preference("B", id="2", weight=3, opposes=frozenset({"1"})),
    )


def test_a_removed_preference_is_gone_and_the_others_stay(store: Store) -> None:
    store.put(Profile("ana", tuple(Preference(t, id=t) for t in "abc")))
    store.remove("ana", "b")
    assert texts(store.get("ana")) == ["a", "c"]


def test_an_unknown_user_is_an_error_wherever_one_is_needed(store: Store) -> None:
    store.add("user10", Preference("one", id="x"))
    calls: list[Callable[[], object]] = [
        lambda: store.get("user1"),
        lambda: store.get_version("user1"),
        lambda: store.update("user1", "x", text="two"),
        lambda: store.remove("user1", "x"),
        lambda: store.erase("user1"),
    ]
    for call in calls:
        with pytest.raises(UnknownUserError, match="'user1'"):
            call()
    assert list(store.list_users()) == ["user10"]
    assert texts(store.get("user10")) == ["one"]


def test_an_unknown_preference_is_an_error_and_nothing_is_written(store: Store) -> None:
    store.add("ana", Preference("one", id="x"))
    calls: list[Callable[[], object]] = [
        lambda: store.update("ana", "y", text="two"),
        lambda: store.remove("ana", "y"),
    ]
    for call in calls:
        with pytest.raises(InvalidPreferenceError, match="preference_id"):
            call()
    assert store.get_version("ana") == 1


@pytest.mark.parametrize(
    "fields",
    [{"id": "new"}, {"txt": "typo"}, {"weight": -1}, {"text": " "}, {"expires_at": "soon"}],
)
def test_a_bad_update_is_refused_and_nothing_is_written(
    store: Store, fields: dict[str, Any]
) -> None:
    before = store.add("ana", Preference("one", id="x"))
    with pytest.raises(InvalidPreferenceError):
        store.update("ana", "x", **fields)
    assert store.get("ana") == before


def test_more_than_64_active_preferences_are_refused_and_nothing_is_written(store: Store) -> None:
    before = store.put(Profile("ana", tuple(Preference(f"text {n}") for n in range(64))))
    with pytest.raises(InvalidPreferenceError, match="64"):
        store.add("ana", Preference("one more"))
    assert store.get("ana") == before
    assert store.add("ana", Preference("asleep", active=False)).version == 2


@pytest.mark.parametrize("user_id", ["", " ", "a\0b", LONE_SURROGATE, "x" * 256, None, 7])
def test_a_user_id_that_cannot_be_used_is_refused_by_name(store: Store, user_id: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.get(user_id),
        lambda: store.get_version(user_id),
        lambda: store.add(user_id, Preference("one")),
        lambda: store.update(user_id, "x", text="one"),
        lambda: store.remove(user_id, "x"),
        lambda: store.erase(user_id),
    ]
    for call in calls:
        with pytest.raises(InvalidPreferenceError, match="user_id"):
            call()


def test_only_a_preference_can_be_added(store: Store) -> None:
    with pytest.raises(InvalidPreferenceError):
        store.add("ana", "Be brief")  # type: ignore[arg-type]
    assert list(store.list_users()) == []


@pytest.mark.parametrize("value", [float("nan"), {1: "int key"}, (1, 2), object(), b"bytes"])
def test_settings_that_json_cannot_carry_are_refused(store: Store, value: object) -> None:
    with pytest.raises(InvalidPreferenceError, match="settings"):
        store.put(Profile("ana", settings={"key": value}))


def test_settings_changed_after_the_put_are_not_changed_in_the_store(store: Store) -> None:
    mine: dict[str, Any] = {"list": [1]}
    store.put(Profile("ana", settings=mine))
    mine["list"].append(2)
    assert store.get("ana").settings == {"list": [1]}


def test_a_stale_write_is_a_conflict_that_names_both_versions_and_loses_nothing(
    store: Store,
) -> None:
    store.put(Profile("ana", (Preference("one", id="x"),)))
    current = store.add("ana", Preference("two"))
    calls: list[Callable[[], object]] = [
        lambda: store.put(Profile("ana"), expected_version=1),
        lambda: store.put(Profile("ana"), expected_version=0),
        lambda: store.add("ana", Preference("three"), expected_version=1),
        lambda: store.update("ana", "x", text="three", expected_version=3),
        lambda: store.remove("ana", "x", expected_version=1),
    ]
    for call in calls:
        with pytest.raises(ProfileConflictError) as caught:
            call()
        assert caught.value.found == 2
    assert store.get("ana") == current


def test_the_expected_version_lets_a_write_pass(store: Store) -> None:
    store.put(Profile("ana"), expected_version=0)
    store.add("ana", Preference("one", id="x"), expected_version=1)
    store.update("ana", "x", text="two", expected_version=2)
    store.remove("ana", "x", expected_version=3)
    assert store.put(Profile("ana"), expected_version=4).version == 5


def test_a_user_who_does_not_exist_cannot_be_at_a_version(store: Store) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.put(Profile("ana"), expected_version=1),
        lambda: store.add("ana", Preference("one"), expected_version=1),
    ]
    for call in calls:
        with pytest.raises(ProfileConflictError):
            call()
    assert list(store.list_users()) == []


def test_users_are_listed_in_the_order_of_their_code_points(store: Store) -> None:
    for user in [*TWINS, "𝄞", "\uffff"]:
        store.put(Profile(user))
    assert list(store.list_users()) == sorted([*TWINS, "𝄞", "\uffff"])


def test_users_who_look_alike_are_different_users(store: Store) -> None:
    for user in TWINS:
        store.add(user, Preference(f"of {user!r}"))
    for user in TWINS:
        assert texts(store.get(user)) == [f"of {user!r}"]
    store.erase("user1")
    store.erase("%")
    left = [user for user in TWINS if user not in ("user1", "%")]
    assert list(store.list_users()) == sorted(left)
    for user in left:
        assert texts(store.get(user)) == [f"of {user!r}"]


def test_an_erased_user_is_unknown_and_can_begin_anew(store: Store) -> None:
    store.add("ana", Preference("old"))
    store.add("ana", Preference("older"))
    store.erase("ana")
    with pytest.raises(UnknownUserError):
        store.get("ana")
    assert store.add("ana", Preference("new")).version == 1
    assert texts(store.get("ana")) == ["new"]


def test_no_write_of_many_threads_is_lost(store: Store) -> None:
    def write(n: int) -> None:
        store.add("ana", Preference(f"text {n}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(48)))
    profile = store.get("ana")
    assert profile.version == 48
    assert sorted(texts(profile)) == sorted(f"text {n}" for n in range(48))
    assert len({p.id for p in profile.preferences}) == 48


def test_of_many_writers_who_expect_one_version_one_wins(store: Store) -> None:
    store.put(Profile("ana"))

    def write(n: int) -> bool:
        try:
            store.add("ana", Preference(f"text {n}"), expected_version=1)
        except ProfileConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1
    assert store.get_version("ana") == 2


users = st.sampled_from(["user1", "user10", "%", "a_b"])
ids = st.sampled_from(["p1", "p2", "x"])
written = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
writes = st.one_of(
    st.tuples(st.just("put"), users, st.lists(written.filter(str.strip), max_size=3)),
    st.tuples(st.just("add"), users, written.filter(str.strip)),
    st.tuples(st.just("update"), users, ids, st.floats(0.5, 2)),
    st.tuples(st.just("remove"), users, ids),
    st.tuples(st.just("erase"), users),
)


def perform(store: Store, write: tuple[Any, ...]) -> object:
    """Do one write and return its outcome: what was stored, or the kind of refusal."""
    name, user, *rest = write
    try:
        if name == "put":
            return store.put(Profile(user, tuple(Preference(t) for t in rest[0])))
        if name == "add":
            return store.add(user, Preference(rest[0]))
        if name == "update":
            return store.update(user, rest[0], weight=rest[1])
        if name == "remove":
            return store.remove(user, rest[0])
        return store.erase(user)
    except (UnknownUserError, InvalidPreferenceError) as error:
        return type(error)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(writes, max_size=12))
def test_any_row_of_writes_does_what_it_does_in_a_dictionary(
    store: Store, sequence: list[tuple[Any, ...]]
) -> None:
    for user in list(store.list_users()):
        store.erase(user)
    model = InMemoryProfileStore()
    for write in sequence:
        assert perform(store, write) == perform(model, write)
    assert list(store.list_users()) == list(model.list_users())
    for user in model.list_users():
        assert store.get(user) == model.get(user)
