"""Laws of the division of preferences between the two sides."""

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_judge_llm.errors import InvalidParameterError, PreferenceBudgetError
from persona_judge_llm.messages import preference_block
from persona_judge_llm.preferences import Preference
from persona_judge_llm.splitting import (
    Split,
    SplitCall,
    Splitter,
    Stage,
    alternate,
    balanced,
    by_dimension,
    default_splitter,
    fit_budget,
    rotating,
    select_active,
)

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
CALL = SplitCall(count_tokens=lambda text: len(text.split()), now=NOW)
EVERY_SPLITTER = {
    "default": default_splitter,
    "balanced": balanced,
    "alternate": alternate,
    "by_dimension": by_dimension,
    "rotating": rotating(3),
}


@st.composite
def profiles(draw: st.DrawFn, conflicts: bool = True) -> list[Preference]:
    size = draw(st.integers(0, 6))
    ids = [f"p{i}" for i in range(size)]
    return [
        Preference(
            text=draw(st.sampled_from(["short", "a b c d", "one two", "same text"])),
            weight=draw(st.one_of(st.sampled_from([1, 1.0, 2, 0.5]), st.floats(1e-300, 1e300))),
            kind=draw(st.sampled_from(["prefer", "prefer", "prefer", "must"])),
            dimension=draw(st.sampled_from([None, "tone", "length"])),
            active=draw(st.sampled_from([True, True, True, False])),
            expires_at=draw(
                st.sampled_from([None, None, NOW - timedelta(days=1), NOW + timedelta(days=1)])
            ),
            opposes=frozenset(draw(st.sets(st.sampled_from(ids), max_size=2)) if conflicts else ()),
            id=one,
        )
        for one in ids
    ]


def weight(side: tuple[Preference, ...]) -> Fraction:
    return sum((Fraction(p.weight) for p in side if p.kind == "prefer"), Fraction())


def texts(side: tuple[Preference, ...]) -> list[str]:
    return [p.text for p in side]


def opposed(one: Preference, other: Preference) -> bool:
    return other.id in one.opposes or one.id in other.opposes


@pytest.mark.parametrize("splitter", EVERY_SPLITTER.values(), ids=EVERY_SPLITTER)
@settings(max_examples=30)
@given(profile=profiles())
def test_no_preference_is_lost_and_none_comes_out_of_nowhere(
    splitter: Splitter, profile: list[Preference]
) -> None:
    split = splitter(profile, CALL)
    assert {p.id for p in (*split.a, *split.b, *split.dropped)} == {p.id for p in profile}
    placed = [p.id for p in (*split.a, *split.b) if p.kind == "prefer"]
    undropped = [p.id for p in profile if p.kind == "prefer" and p not in split.dropped]
    assert sorted(map(str, placed)) == sorted(map(str, undropped))


@pytest.mark.parametrize("splitter", EVERY_SPLITTER.values(), ids=EVERY_SPLITTER)
@settings(max_examples=30)
@given(profile=profiles())
def test_what_a_user_demands_stands_first_on_both_sides(
    splitter: Splitter, profile: list[Preference]
) -> None:
    profile = [p for p in profile if p.in_force(NOW)]
    musts = tuple(p for p in profile if p.kind == "must")
    split = splitter(profile, CALL)
    assert split.a[: len(musts)] == split.b[: len(musts)] == musts
    assert not split.dropped


@pytest.mark.parametrize("splitter", [default_splitter, balanced, alternate, rotating(1)])
@settings(max_examples=30)
@given(profile=profiles(conflicts=False))
def test_sides_differ_by_at_most_the_largest_weight(
    splitter: Splitter, profile: list[Preference]
) -> None:
    split = splitter(profile, CALL)
    prefers = [Fraction(p.weight) for p in (*split.a, *split.b) if p.kind == "prefer"]
    assert abs(weight(split.a) - weight(split.b)) <= max(prefers, default=Fraction())


@pytest.mark.parametrize("splitter", EVERY_SPLITTER.values(), ids=EVERY_SPLITTER)
@settings(max_examples=30)
@given(profile=profiles())
def test_conflicts_on_one_side_are_reported_and_no_others(
    splitter: Splitter, profile: list[Preference]
) -> None:
    split = splitter(profile, CALL)
    together = {
        frozenset((str(one.id), str(other.id)))
        for side in (split.a, split.b)
        for one in side
        for other in side
        if one is not other and opposed(one, other)
    }
    reported = [frozenset((str(one.id), str(other.id))) for one, other in split.conflicts]
    assert sorted(map(sorted, reported)) == sorted(map(sorted, together))


@given(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4), data=st.data())
def test_conflicts_that_can_be_kept_apart_are(sizes: list[int], data: st.DataObject) -> None:
    # Trees have no odd cycle: each node opposes one that came before it in its tree.
    profile: list[Preference] = []
    for tree, size in enumerate(sizes):
        for node in range(size + 1):
            other = data.draw(st.integers(0, node - 1)) if node else None
            profile.append(
                Preference(
                    "x",
                    weight=data.draw(st.sampled_from([1, 2, 3])),
                    id=f"{tree}.{node}",
                    opposes=frozenset() if other is None else frozenset([f"{tree}.{other}"]),
                )
            )
    assert balanced(data.draw(st.permutations(profile)), CALL).conflicts == ()


def test_a_conflict_declared_by_one_side_only_counts_for_both() -> None:
    heavy, light, other = (
        Preference("brief", weight=3, id="a"),
        Preference("detailed", weight=1, id="b", opposes=frozenset("a")),
        Preference("kind", weight=2, id="c", opposes=frozenset("b")),
    )
    split = balanced([heavy, light, other], CALL)
    assert split.a == (heavy, other)
    assert split.b == (light,)


def test_an_odd_ring_of_conflicts_is_divided_and_reported() -> None:
    ring = [Preference(n, id=n, opposes=frozenset(o)) for n, o in ("ab", "bc", "ca")]
    split = balanced(ring, CALL)
    assert len(split.conflicts) == 1
    assert split.b


def test_two_demands_in_conflict_are_reported_once() -> None:
    musts = [Preference(n, kind="must", id=n, opposes=frozenset(o)) for n, o in ("ab", "ba")]
    assert balanced(musts, CALL).conflicts == (tuple(musts),)


def test_a_demand_in_conflict_with_a_preference_is_reported_on_either_side() -> None:
    must = Preference("must", kind="must", id="m")
    first, second = (Preference(n, id=n, opposes=frozenset("m")) for n in "xy")
    assert balanced([must, first, second], CALL).conflicts == ((must, first), (must, second))


def test_the_order_of_two_equal_ones_is_a_then_b() -> None:
    first, second = Preference("a much longer text"), Preference("short")
    for splitter in EVERY_SPLITTER.values():
        if splitter is not EVERY_SPLITTER["rotating"]:
            assert splitter([first, second], CALL) == Split((first,), (second,))
            assert splitter([second, first], CALL) == Split((second,), (first,))


def test_sides_of_equal_weight_are_levelled_by_tokens() -> None:
    long, short, third = Preference("x x x x x"), Preference("x"), Preference("y")
    assert balanced([long, short, third], CALL).b == (short, third)
    assert balanced([short, long, third], CALL).a == (short, third)


def test_the_same_text_twice_stays_twice() -> None:
    split = default_splitter([Preference("x"), Preference("x")], CALL)
    assert (texts(split.a), texts(split.b)) == (["x"], ["x"])


def test_one_preference_leaves_the_other_side_empty() -> None:
    only = Preference("brief")
    assert default_splitter([only], CALL) == Split((only,), ())


def test_demands_alone_make_equal_sides() -> None:
    musts = (Preference("a", kind="must"), Preference("b", kind="must", weight=9))
    assert default_splitter(musts, CALL) == Split(musts, musts)


def test_nobody_wants_anything() -> None:
    assert default_splitter([], CALL) == Split((), ())


@pytest.mark.parametrize(
    ("weights", "turns"),
    [
        ((1, 1), (1, 1)),
        ((1.01, 1), (1, 1)),
        ((2, 1), (2, 1)),
        ((3, 1.5), (2, 1)),
        ((3, 2), (3, 2)),
        ((4, 3), (4, 3)),
        ((3, 1), (3, 1)),
        ((1000, 1), (4, 1)),
        ((1e308, 1e-308), (4, 1)),
        ((1e308, 1e308), (1, 1)),
    ],
)
def test_turns_follow_the_weights_of_the_sides(
    weights: tuple[float, float], turns: tuple[int, int]
) -> None:
    first, second = (Preference("x", weight=w) for w in weights)
    assert balanced([first, second], CALL).turns == turns


def test_turns_can_favour_b() -> None:
    prefers = [
        Preference("x", weight=3, id="x"),
        Preference("y", weight=2, id="y", opposes=frozenset("x")),
        Preference("z", weight=2, id="z", opposes=frozenset("x")),
        Preference("w", weight=2, id="w", opposes=frozenset("x")),
    ]
    split = balanced(prefers, CALL)
    assert (texts(split.a), split.turns) == (["x"], (1, 2))


@settings(max_examples=30)
@given(profile=profiles())
def test_turns_are_small_whole_numbers(profile: list[Preference]) -> None:
    assert all(1 <= t <= 4 for t in default_splitter(profile, CALL).turns)


# --- Stages ---------------------------------------------------------------------------------------


def test_what_is_inactive_or_expired_takes_no_part() -> None:
    off = Preference("off", active=False)
    late = Preference("late", expires_at=NOW, kind="must")
    good = Preference("good", expires_at=NOW + timedelta(seconds=1))
    split = default_splitter([off, late, good], CALL)
    assert (split.a, split.dropped) == ((good,), (off, late))


@given(profile=profiles(conflicts=False), budget=st.integers(10, 40))
def test_the_budget_holds_on_each_side_and_the_lightest_go_first(
    profile: list[Preference], budget: int
) -> None:
    musts = [p for p in profile if p.kind == "must" and p.in_force(NOW)]
    if musts and CALL.count_tokens(preference_block(musts)) > budget:
        with pytest.raises(PreferenceBudgetError):
            (select_active >> fit_budget(budget) >> balanced)(profile, CALL)
        return
    split = (select_active >> fit_budget(budget) >> balanced)(profile, CALL)
    for side in (split.a, split.b):
        assert CALL.count_tokens(preference_block(side)) <= budget
    over = [p for p in split.dropped if p.in_force(NOW)]
    kept = [p.weight for p in (*split.a, *split.b) if p.kind == "prefer"]
    assert all(p.kind == "prefer" for p in over)
    assert max((p.weight for p in over), default=0) <= min(kept, default=float("inf"))
    if over:  # one more would have been too much
        back = max(over, key=lambda p: p.weight)
        placed = [*musts, *(p for p in (*split.a, *split.b) if p.kind == "prefer")]
        assert any(
            CALL.count_tokens(preference_block([*placed, p])) > budget
            for p in over
            if p.weight == back.weight
        )


def test_demands_over_the_budget_are_an_error_that_tells_how_far() -> None:
    must = Preference("x " * 20, kind="must")
    with pytest.raises(PreferenceBudgetError) as error:
        fit_budget(10)([must], CALL)
    assert (error.value.needed, error.value.budget) == (25, 10)


@pytest.mark.parametrize("tokens", [0, -1, 1.5, True, "512"])
def test_a_budget_is_a_whole_number_above_zero(tokens: int) -> None:
    with pytest.raises(InvalidParameterError, match="tokens"):
        fit_budget(tokens)


def test_users_compose_their_own_stages_and_splitters() -> None:
    @Stage
    def tone_only(preferences: Sequence[Preference], call: SplitCall) -> list[Preference]:
        """Keep the tone."""
        return [p for p in preferences if p.dimension == "tone"]

    def all_to_a(preferences: Sequence[Preference], call: SplitCall) -> Split:
        return Split(tuple(preferences), ())

    kind = Preference("kind", dimension="tone")
    brief = Preference("brief", dimension="length")
    off = Preference("off", active=False)
    splitter = select_active >> tone_only >> all_to_a
    assert splitter([kind, brief, off], CALL) == Split((kind,), (), dropped=(brief, off))
    assert (select_active >> (tone_only >> all_to_a))([kind], CALL) == Split((kind,), ())
    assert tone_only.__doc__ == "Keep the tone."


def test_a_stage_leads_to_nothing_but_a_callable() -> None:
    with pytest.raises(TypeError):
        select_active >> 3  # type: ignore[operator]


def test_of_equal_preferences_each_counts_for_itself_in_whatever_order_a_stage_returns() -> None:
    one, two, other = Preference("x"), Preference("x"), Preference("y")
    kept = Stage(lambda preferences, call: [other, two])
    split = (kept >> balanced)([one, two, other], CALL)
    assert split == Split((other,), (two,), dropped=(one,))


# --- The other splitters --------------------------------------------------------------------------


def test_alternate_deals_by_weight() -> None:
    deck = [Preference(str(w), weight=w) for w in (1, 4, 2, 3)]
    split = alternate(deck, CALL)
    assert (texts(split.a), texts(split.b)) == (["4", "2"], ["3", "1"])


@settings(max_examples=30)
@given(profile=profiles())
def test_a_dimension_stays_on_one_side(profile: list[Preference]) -> None:
    split = by_dimension(profile, CALL)
    a, b = ({p.dimension for p in s if p.kind == "prefer"} - {None} for s in (split.a, split.b))
    assert not a & b


def test_dimensions_are_balanced() -> None:
    tone = [Preference(t, dimension="tone") for t in ("kind", "calm")]
    rest = [Preference("brief", dimension="length"), Preference("german")]
    split = by_dimension([*rest, *tone], CALL)
    assert (texts(split.a), texts(split.b)) == (["kind", "calm"], ["brief", "german"])


def test_rotating_depends_on_the_seeds_alone_and_mixes_over_calls() -> None:
    deck = [Preference(t) for t in "abcd"]
    rotated = rotating(5)
    calls = [SplitCall(CALL.count_tokens, NOW, seed=seed) for seed in range(30)]
    splits = [rotated(deck, call) for call in calls]
    assert splits == [rotating(5)(deck, call) for call in calls]
    beside_a = {
        text for s in splits for side in (s.a, s.b) if deck[0] in side for text in texts(side)
    }
    assert beside_a == set("abcd")
    assert splits != [rotating(6)(deck, call) for call in calls]


def test_the_division_is_the_same_in_every_process() -> None:
    program = """
from datetime import datetime, timezone
from persona_judge_llm.preferences import Preference
from persona_judge_llm.splitting import *
call = SplitCall(len, datetime.now(timezone.utc), seed=4)
ids = [f"p{i}" for i in range(12)]
deck = [Preference(i, id=i, opposes={ids[(3 * n + 1) % 12], ids[n - 5]}) for n, i in enumerate(ids)]
for splitter in (default_splitter, rotating(1), by_dimension):
    split = splitter(deck, call)
    print([p.id for p in split.a], [p.id for p in split.b], len(split.conflicts))
    print([[p.id for p in pair] for pair in split.conflicts])
"""
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
