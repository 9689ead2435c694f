"""Who gets what: dividing a user's preferences between sides A and B.

A splitter is any callable `(preferences, call) -> Split`. Larger ones are composed of stages,
which choose what takes part, and end in a callable that divides it:

    default_splitter = select_active >> fit_budget(512) >> balanced

Canonical order: weight, heaviest first; then the position in the profile. Nothing here depends
on hashes, so the same profile is divided in the same way in every process.
"""

import functools
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from hashlib import sha256
from itertools import combinations
from typing import TypeAlias, overload

from persona_judge_llm.errors import InvalidParameterError, PreferenceBudgetError
from persona_judge_llm.messages import preference_block
from persona_judge_llm.preferences import Preference

MAX_SPLIT_TURNS = 4
DEFAULT_BUDGET = 512
TEMPLATE_TOKENS = 32
"""What a chat template may put around messages, for those who count the messages' text alone."""


def reserved_tokens(context_window: int) -> int:
    """Return how much of a context is best kept free for a side's preferences.

    The default budget, but no more than a quarter of a small window: a larger block of
    preferences then shows as `ContextOverflowError`, never as a prompt cut short.
    """
    return min(DEFAULT_BUDGET + TEMPLATE_TOKENS, context_window // 4)


@dataclass(frozen=True, slots=True)
class Split:
    """What each side is told, and what neither is."""

    a: tuple[Preference, ...]
    b: tuple[Preference, ...]
    dropped: tuple[Preference, ...] = ()
    """Inactive, expired, or over the budget."""
    turns: tuple[int, int] = (1, 1)
    """Windows judged by A and by B in each round: A governs about a / (a + b) of the text."""
    conflicts: tuple[tuple[Preference, Preference], ...] = ()
    """Declared conflicts that could not be kept apart: both stand on one side."""


@dataclass(frozen=True, slots=True)
class SplitCall:
    """What a splitter may know of the call."""

    count_tokens: Callable[[str], int]
    now: datetime
    seed: int = 0
    """The call's seed, for splitters that vary from call to call."""


Splitter: TypeAlias = Callable[[Sequence[Preference], SplitCall], Split]
Chooser: TypeAlias = Callable[[Sequence[Preference], SplitCall], Sequence[Preference]]


class Stage:
    """Chooses which preferences take part; what it leaves out is reported as dropped.

    `stage >> stage` is a stage, `stage >> splitter` is a splitter. Use as a decorator:

        @Stage
        def tone_only(preferences, call):
            return [p for p in preferences if p.dimension == "tone"]

        splitter = select_active >> tone_only >> balanced
    """

    def __init__(self, choose: Chooser) -> None:
        self._choose = choose
        functools.update_wrapper(self, choose)

    def __call__(
        self, preferences: Sequence[Preference], call: SplitCall
    ) -> tuple[Preference, ...]:
        """Return the preferences that take part."""
        return tuple(self._choose(preferences, call))

    @overload
    def __rshift__(self, then: "Stage") -> "Stage": ...
    @overload
    def __rshift__(self, then: Splitter) -> Splitter: ...
    def __rshift__(self, then: "Stage | Splitter") -> "Stage | Splitter":
        if isinstance(then, Stage):
            return Stage(lambda preferences, call: then(self(preferences, call), call))
        if not callable(then):
            return NotImplemented

        def splitter(preferences: Sequence[Preference], call: SplitCall) -> Split:
            kept = self(preferences, call)
            split = then(kept, call)
            return replace(split, dropped=(*_left_out(preferences, kept), *split.dropped))

        return splitter


@Stage
def select_active(preferences: Sequence[Preference], call: SplitCall) -> list[Preference]:
    """Keep what is active and not expired at the time of the call."""
    return [p for p in preferences if p.in_force(call.now)]


def fit_budget(tokens: int) -> Stage:
    """Make a stage that drops the lightest `prefer`s until all that is left fits in `tokens`.

    Counted is the block of everything kept, as if it all stood on one side, so that each side
    fits whatever the division that follows.

    Raises:
        PreferenceBudgetError: (the stage) the `must`s alone, which are never dropped, do not fit.
    """
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise InvalidParameterError("tokens", tokens, "a whole number above 0")

    def within_budget(preferences: Sequence[Preference], call: SplitCall) -> list[Preference]:
        musts = [p for p in preferences if p.kind == "must"]
        prefers = _canonical(preferences)

        def needed(kept: int) -> int:
            block = preference_block([*musts, *prefers[:kept]])
            return call.count_tokens(block) if block else 0

        if needed(0) > tokens:
            raise PreferenceBudgetError(needed(0), tokens)
        fits, tried = 0, len(prefers)
        while fits < tried:  # bisection: a count of tokens is not free
            middle = (fits + tried + 1) // 2
            if needed(middle) <= tokens:
                fits = middle
            else:
                tried = middle - 1
        dropped = prefers[fits:]
        return _left_out(preferences, dropped)

    return Stage(within_budget)


def balanced(preferences: Sequence[Preference], call: SplitCall) -> Split:
    """Divide by weight: each preference, heaviest first, goes to the lighter side.

    Declared conflicts go to opposite sides where that is possible. Preferences that hang
    together by conflicts are placed as one, so their weights may outweigh the balance; without
    conflicts the sides differ by at most the largest weight.
    """
    return _place(preferences, _components(_canonical(preferences)), call)


def alternate(preferences: Sequence[Preference], call: SplitCall) -> Split:  # noqa: ARG001
    """Deal in canonical order: A, B, A, B."""
    dealt = _canonical(preferences)
    return _split(preferences, dealt[::2], dealt[1::2])


def by_dimension(preferences: Sequence[Preference], call: SplitCall) -> Split:
    """Keep the preferences of one dimension together on a side; balance the dimensions."""
    groups: dict[object, list[Preference]] = {}
    for position, preference in enumerate(_canonical(preferences)):
        groups.setdefault(preference.dimension or position, []).append(preference)
    return _place(preferences, [(group, []) for group in groups.values()], call)


def rotating(seed: int) -> Splitter:
    """Make a splitter that is balanced and divides differently from call to call.

    The division depends on `seed` and on the seed of the call, and on nothing else. Over many
    calls every two preferences meet on one side and on opposite sides.
    """

    def rotated(preferences: Sequence[Preference], call: SplitCall) -> Split:
        def drawn(position: int) -> bytes:
            return sha256(f"{seed}:{call.seed}:{position}".encode()).digest()

        prefers = _canonical(preferences)
        shuffled = [prefers[i] for i in sorted(range(len(prefers)), key=drawn)]
        return _place(preferences, _components(shuffled), call, heaviest_first=False)

    return rotated


default_splitter: Splitter = select_active >> fit_budget(DEFAULT_BUDGET) >> balanced

# Two groups that must stand on opposite sides; the second is empty for what hangs on nothing.
_Unit: TypeAlias = tuple[list[Preference], list[Preference]]


def _canonical(preferences: Sequence[Preference]) -> list[Preference]:
    """Return the `prefer`s, heaviest first; sorting is stable, so position decides ties."""
    return sorted((p for p in preferences if p.kind == "prefer"), key=lambda p: -p.weight)


def _left_out(whole: Sequence[Preference], part: Sequence[Preference]) -> list[Preference]:
    """Return what of `whole` is not in `part`; of two equal ones, each counts for itself."""
    rest = list(part)
    left = []
    for preference in whole:
        if preference in rest:
            rest.remove(preference)
        else:
            left.append(preference)
    return left


def _weight(preferences: Sequence[Preference]) -> Fraction:
    """Sum the weights of the `prefer`s exactly, so that balance is no matter of rounding."""
    return sum((Fraction(p.weight) for p in preferences if p.kind == "prefer"), Fraction())


def _opposed(one: Preference, other: Preference) -> bool:
    return (
        one.id is not None
        and other.id is not None
        and (other.id in one.opposes or one.id in other.opposes)
    )


def _components(prefers: Sequence[Preference]) -> list[_Unit]:
    """Colour the graph of conflicts: neighbours go to opposite groups, short of odd cycles."""
    colours: dict[int, int] = {}
    units = []
    for start in range(len(prefers)):
        if start in colours:
            continue
        colours[start] = 0
        unit: _Unit = ([prefers[start]], [])
        queue = deque([start])
        while queue:
            here = queue.popleft()
            for there in range(len(prefers)):
                if there not in colours and _opposed(prefers[here], prefers[there]):
                    colours[there] = 1 - colours[here]
                    unit[colours[there]].append(prefers[there])
                    queue.append(there)
        units.append(unit)
    return units


def _place(
    preferences: Sequence[Preference],
    units: Sequence[_Unit],
    call: SplitCall,
    *,
    heaviest_first: bool = True,
) -> Split:
    """Put each unit one way round or the other, whichever leaves the sides more alike.

    Alike in weight, then in tokens; where neither decides, the unit's first goes to A.
    """
    a: list[Preference] = []
    b: list[Preference] = []
    heavier = tokens_more = Fraction()
    weighed = [
        (first, second, _weight(first) - _weight(second), _tokens(first, second, call))
        for first, second in units
    ]
    if heaviest_first:
        weighed.sort(key=lambda unit: -abs(unit[2]))
    for first, second, weight, tokens in weighed:
        as_is = (abs(heavier + weight), abs(tokens_more + tokens))
        turned = (abs(heavier - weight), abs(tokens_more - tokens))
        sign = 1 if as_is <= turned else -1
        a += first if sign == 1 else second
        b += second if sign == 1 else first
        heavier += sign * weight
        tokens_more += sign * tokens
    return _split(preferences, a, b)


def _tokens(first: Sequence[Preference], second: Sequence[Preference], call: SplitCall) -> int:
    return sum(call.count_tokens(p.text) for p in first) - sum(
        call.count_tokens(p.text) for p in second
    )


def _split(
    preferences: Sequence[Preference], a: Sequence[Preference], b: Sequence[Preference]
) -> Split:
    """Add the `must`s to both sides and tell what follows from the division."""
    musts = [p for p in preferences if p.kind == "must"]
    side_a = (*musts, *_canonical(a))
    side_b = (*musts, *_canonical(b))
    pairs = [
        *combinations(side_a, 2),
        # Two `must`s met on side A already.
        *(p for p in combinations(side_b, 2) if "prefer" in (p[0].kind, p[1].kind)),
    ]
    conflicts = tuple(pair for pair in pairs if _opposed(*pair))
    return Split(side_a, side_b, turns=_turns(side_a, side_b), conflicts=conflicts)


def _turns(a: Sequence[Preference], b: Sequence[Preference]) -> tuple[int, int]:
    """Return the pair of numbers up to 4 whose ratio is nearest to that of the sides' weights."""
    weight_a, weight_b = _weight(a), _weight(b)
    if weight_a == weight_b or not a or not b:
        return (1, 1)
    most = Fraction(MAX_SPLIT_TURNS)
    ratio = min(max(weight_a / weight_b, 1 / most), most) if weight_b else most
    whole = range(1, MAX_SPLIT_TURNS + 1)
    pairs = [(m, n) for m in whole for n in whole]
    return min(pairs, key=lambda pair: (abs(math.log(pair[0] / pair[1] / ratio)), sum(pair)))
