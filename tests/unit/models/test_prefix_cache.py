"""What earlier calls computed is reused by equal beginnings, changes nothing, and is bounded."""

import random
import sys
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from persona_judge_llm.models import prefix_cache as module
from persona_judge_llm.models import slot_context
from persona_judge_llm.models.prefix_cache import PrefixCache, Snapshot
from tests.unit.models.compared import Compared
from tests.unit.models.families import IN_SLOTS, ROW_BY_ROW, WINDOW, text

LLAMA = IN_SLOTS["Llama"]
ROOM = 2**20
TOKEN = 8
"""Bytes of one token in the made-up entries: a key and a value of four bytes."""


def entry(*texts):
    """A made-up entry whose rows share no slots."""
    ends = torch.tensor([len(tokens) for tokens in texts]).cumsum(0).tolist()
    states = torch.zeros(1, ends[-1], 1)
    return Snapshot(
        tuple(torch.tensor(list(tokens)) for tokens in texts),
        tuple(
            torch.arange(end - len(tokens), end) for tokens, end in zip(texts, ends, strict=True)
        ),
        ((states, states.clone()),),
    )


def common(a, b):
    """How many first tokens are the same."""
    for count, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return count
    return min(len(a), len(b))


# --- The cache by itself ------------------------------------------------------------------------


texts = st.lists(st.integers(0, 1), min_size=1, max_size=8)


@given(st.lists(st.lists(texts, min_size=1, max_size=2), max_size=5), texts)
def test_the_longest_beginning_of_equal_tokens_is_found_short_of_the_last_one(entries, prompt):
    cache = PrefixCache(ROOM)
    for rows in entries:
        cache.add(entry(*rows))
    found = cache.find(prompt)
    longest = max((common(row, prompt[:-1]) for rows in entries for row in rows), default=0)
    assert (found.length if found else 0) == longest
    if found:
        row = found.snapshot.texts[found.row].tolist()
        assert row[:longest] == prompt[:longest]


def test_the_slots_are_those_of_the_row_that_was_found():
    cache = PrefixCache(ROOM)
    cache.add(entry([1, 2, 3], [1, 4, 5, 6]))
    found = cache.find([1, 4, 5, 9, 9])
    assert found is not None
    assert (found.row, found.length) == (1, 3)
    assert found.slots(1, 3).tolist() == [4, 5]


def test_hits_and_misses_are_counted_by_prompt():
    cache = PrefixCache(ROOM)
    cache.add(entry([1, 2, 3]))
    for prompt in ([1, 2, 3, 4], [1, 9], [2, 1, 3], [7]):
        cache.find(prompt)  # a single token is no beginning of anything
    assert (cache.hits, cache.misses) == (2, 1)


def test_the_entry_that_was_not_used_for_the_longest_time_goes_first():
    cache = PrefixCache(3 * 4 * TOKEN)
    for first in (1, 2, 3):
        cache.add(entry([first] * 4))
    cache.find([1, 1, 9])
    cache.add(entry([4] * 4))
    assert [cache.find([n, n, 9]) is not None for n in (1, 2, 3, 4)] == [True, False, True, True]
    cache.add(entry([5] * 8))  # takes the room of two
    assert [cache.find([n, n, 9]) is not None for n in (1, 3, 4, 5)] == [False, False, True, True]


@given(st.lists(st.lists(texts, min_size=1, max_size=2), max_size=12), st.integers(0, 20))
def test_the_bound_holds_and_the_count_of_bytes_is_right(entries, room):
    cache = PrefixCache(room * TOKEN)
    for rows in entries:
        cache.add(entry(*rows))
        assert cache.nbytes <= cache.max_bytes
        assert cache.nbytes == sum(kept.nbytes for kept in cache._entries)
        assert len(cache) == len(cache._entries)


def test_an_entry_that_continues_an_older_one_takes_its_place():
    cache = PrefixCache(ROOM)
    cache.add(entry([1, 2], [1, 3]))
    cache.add(entry([5, 5]))
    longer = entry([1, 3, 4], [1, 2, 4])
    cache.add(longer)
    assert len(cache) == 2
    assert cache.nbytes == (2 + 6) * TOKEN


def test_an_entry_that_continues_only_one_row_of_another_leaves_it():
    cache = PrefixCache(ROOM)
    cache.add(entry([1, 2], [1, 3]))
    cache.add(entry([1, 2, 4], [1, 5]))
    found = cache.find([1, 3, 9])
    assert found is not None
    assert found.length == 2


def test_an_entry_larger_than_the_cache_is_not_kept_and_displaces_nothing():
    cache = PrefixCache(4 * TOKEN)
    cache.add(entry([1, 2, 3, 4]))
    cache.add(entry([1, 2, 3, 4, 5]))
    found = cache.find([1, 2, 3, 4, 5, 6])
    assert found is not None
    assert found.length == 4
    assert cache.nbytes == 4 * TOKEN


def test_no_bytes_is_off():
    cache = PrefixCache(0)
    cache.add(entry([1, 2, 3]))
    assert cache.find([1, 2, 3, 4]) is None
    assert (len(cache), cache.nbytes, cache.hits, cache.misses) == (0, 0, 0, 0)


def test_clear_forgets_everything():
    cache = PrefixCache(ROOM)
    cache.add(entry([1, 2, 3]))
    cache.clear()
    assert cache.find([1, 2, 3, 4]) is None
    assert (len(cache), cache.nbytes) == (0, 0)


def test_threads_that_find_and_add_at_once_get_only_their_own_and_keep_the_bound():
    cache = PrefixCache(30 * TOKEN)
    prompts, rounds, wrong = 6, 60, []

    def user(number):
        chance = random.Random(number)
        for _ in range(rounds):
            own = [number, *(chance.randint(0, 1) for _ in range(4))]
            found = cache.find([*own, 9])
            if found:
                row = found.snapshot.texts[found.row].tolist()
                if row[: found.length] != own[: found.length]:
                    wrong.append((own, row))
            cache.add(entry(own))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=user, args=(n,)) for n in range(prompts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
    assert cache.hits + cache.misses == prompts * rounds
    assert cache.nbytes == sum(kept.nbytes for kept in cache._entries) <= cache.max_bytes


def test_an_entry_added_while_another_is_being_added_is_not_lost(monkeypatch):
    cache = PrefixCache(ROOM)
    cache.add(entry([1, 1]))
    other = threading.Thread(target=cache.add, args=(entry([2, 2]),))
    continues = module._continues

    def interrupted(new, old):
        if other.ident is None:
            other.start()
            other.join(0.2)  # it comes in between, or waits for its turn
        return continues(new, old)

    monkeypatch.setattr(module, "_continues", interrupted)
    cache.add(entry([3, 3]))
    other.join()
    assert [cache.find([n, n, 9]) is not None for n in (1, 2, 3)] == [True] * 3
    assert cache.nbytes == 3 * 2 * TOKEN


# --- In a context -------------------------------------------------------------------------------


COMMON = text(0, 2 * WINDOW)
CHAT = [[*COMMON, *text(1, 4)], [*COMMON, *text(2, 7)]]


def leave(compared, *places):
    """End the calls of some groups, as a decoder does, after what they hold was offered."""
    for place in places:
        compared.remember(place)
    compared.keep([p for p in range(len(compared.groups)) if p not in places])


def counted(compared):
    """Tokens computed and tokens reused since the last time."""
    model, cache = compared.model, compared.model.prefix_cache
    now = model.prompt_tokens_computed, cache.tokens_reused
    before, compared.before = getattr(compared, "before", (0, 0)), now
    return now[0] - before[0], now[1] - before[1]


@pytest.mark.parametrize("family", IN_SLOTS)
def test_the_next_turn_of_a_chat_computes_its_new_tokens_only_and_gives_the_same(family):
    compared = Compared(IN_SLOTS[family], ROOM)
    compared.join(CHAT)
    compared.extend([1], seed=1)
    compared.extend([4], seed=2)
    compared.rewind([2])
    compared.extend([1], seed=3)
    held = [list(row) for row in compared.texts]
    leave(compared, 0)
    assert counted(compared) == (16 + 4 + 7, 0)

    compared.join([[*row, *text(3, 5)] for row in held], piece=6)
    assert counted(compared) == (2 * 5, 16 + (4 + 4) + (7 + 4))
    assert compared.used == [16 + (4 + 4) + (7 + 4) + 2 * 5]
    compared.extend([3], last=3, seed=4)
    compared.rewind([2])
    compared.join([text(4, 9)])
    compared.extend([1, 1], seed=5)
    assert compared.difference < 1e-4


def test_the_same_prompts_again_compute_their_last_tokens_only():
    compared = Compared(LLAMA, ROOM)
    compared.join(CHAT)
    leave(compared, 0)
    counted(compared)
    compared.join(CHAT)
    assert counted(compared) == (2, 16 + 3 + 6)
    assert (compared.model.prefix_cache.hits, compared.model.prefix_cache.misses) == (2, 2)
    assert compared.difference < 1e-4


@pytest.mark.parametrize(
    ("prompts", "computed", "reused"),
    [
        # One row is known, the other one's end is not.
        ([[*CHAT[0], 3], [*COMMON, *text(9, 6)]], 1 + 6, 16 + 4),
        # What is common goes on beyond what is known.
        ([[*COMMON, 3, 3, 3, 4], [*COMMON, 3, 3, 3, 5, 5]], 3 + 1 + 2, 16),
        # What is known is longer than what is common.
        ([[*COMMON, *text(8, 3)], [*COMMON[:9], *text(7, 5)]], 3 + 5, 16),
        # The sides have changed places.
        ([[*CHAT[1], 3], [*CHAT[0], 3]], 2, 16 + 4 + 7),
        # The beginning of a beginning, alone.
        ([[*COMMON[:5], *text(6, 3)]], 3, 5),
        # Nothing.
        ([[3, *COMMON], [3, *COMMON, 4]], 16 + 1 + 2, 0),
    ],
)
def test_whatever_two_prompts_share_with_what_is_known_is_reused_and_no_more(
    prompts, computed, reused
):
    compared = Compared(LLAMA, ROOM)
    compared.join(CHAT)
    leave(compared, 0)
    counted(compared)
    compared.join(prompts)
    assert counted(compared) == (computed, reused)
    compared.extend([2], seed=1)
    compared.rewind([1])
    compared.extend([1], seed=2)
    assert compared.difference < 1e-4


@pytest.mark.parametrize("family", ["Llama", "Mistral"])
@pytest.mark.parametrize("seed", range(2))
def test_no_history_of_a_small_cache_changes_any_logits(family, seed):
    chance = random.Random(seed)
    compared = Compared(IN_SLOTS[family], 60_000)  # some entries' worth
    for step in range(12):
        groups = []
        for _ in range(chance.randint(1, 2)):
            shared = [chance.choice([3, 4]) for _ in range(chance.randint(0, 9))]
            groups.append(
                [
                    [*shared, *(chance.choice([3, 4]) for _ in range(chance.randint(1, 9)))]
                    for _ in range(chance.randint(1, 2))
                ]
            )
        compared.join(*groups, piece=chance.choice([2, 1000]))
        count = len(compared.groups)
        compared.extend([chance.randint(1, 3) for _ in range(count)], seed=step)
        compared.rewind([chance.randint(0, 1) for _ in range(count)])
        while len(compared.groups) > chance.randint(0, 2):
            leave(compared, chance.randrange(len(compared.groups)))
    cache = compared.model.prefix_cache
    assert cache.hits > 0
    assert cache.nbytes <= cache.max_bytes
    assert compared.difference < 1e-4


def test_of_several_groups_the_one_that_leaves_is_remembered():
    compared = Compared(LLAMA, ROOM)
    compared.join(CHAT, [text(5, 6)], [text(6, 8), text(7, 3)])
    compared.extend([2, 2, 2])
    left = [list(row) for row in compared.groups[1]]
    leave(compared, 1)
    [kept] = compared.model.prefix_cache._entries
    assert [row.tolist() for row in kept.texts] == left


def test_an_entry_holds_what_the_rows_hold_and_nothing_that_was_taken_back():
    compared = Compared(LLAMA, ROOM)
    compared.join(CHAT, [text(5, 40)])  # a longer line than the one that is remembered
    compared.extend([5, 1], seed=1)
    compared.rewind([3, 0])
    compared.remember(0)
    [kept] = compared.model.prefix_cache._entries
    assert [row.tolist() for row in kept.texts] == compared.groups[0]
    used = 16 + (4 + 2) + (7 + 2)
    assert sorted({int(slot) for slots in kept.slots for slot in slots}) == list(range(used))
    assert {s.shape[1] for layer in kept.states for s in layer} == {used}


def test_an_entry_is_a_copy_for_whoever_left_it_and_for_whoever_takes_it():
    compared = Compared(LLAMA, ROOM)
    compared.join(CHAT)
    compared.remember(0)
    [kept] = compared.model.prefix_cache._entries
    before = [s.clone() for layer in kept.states for s in layer]
    compared.rewind([1])
    compared.extend([2], seed=1)
    compared.join([[*CHAT[0], 3], [*CHAT[1], 3]])
    compared.rewind([1, 1])
    compared.extend([3, 3], seed=2)
    compared.keep([1])
    after = [s for layer in kept.states for s in layer]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    compared.join([[*CHAT[0], 4], [*CHAT[1], 4]])
    assert compared.difference < 1e-4


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 1e30])
def test_nothing_private_of_one_user_reaches_a_prompt_with_the_same_beginning(poison):
    """X's states behind the common beginning are made deadly: Y must not notice."""
    compared = Compared(LLAMA, ROOM)
    compared.join(CHAT)
    compared.extend([3])
    leave(compared, 0)
    [kept] = compared.model.prefix_cache._entries
    with torch.inference_mode():
        for layer in kept.states:
            for states in layer:
                states[:, len(COMMON) :] = poison
    counted(compared)
    compared.join([[*COMMON, *text(8, 3)], [*COMMON, *text(9, 5)]])
    assert counted(compared) == (3 + 5, len(COMMON))
    compared.extend([2], last=2)
    assert compared.difference < 1e-4


def test_what_is_common_is_really_read_from_the_cache():
    compared = Compared(LLAMA, ROOM)
    compared.join(CHAT)
    leave(compared, 0)
    [kept] = compared.model.prefix_cache._entries
    with torch.inference_mode():
        for layer in kept.states:
            for states in layer:
                states[:, 0] += 1.0
    compared.join([[*COMMON, 3]])
    assert compared.difference > 1e-2


def test_a_model_without_a_cache_remembers_nothing():
    compared = Compared(LLAMA, 0)
    compared.join(CHAT)
    leave(compared, 0)
    counted(compared)
    compared.join(CHAT)
    assert counted(compared) == (16 + 4 + 7, 0)
    assert len(compared.model.prefix_cache) == 0


@pytest.mark.parametrize("family", ROW_BY_ROW)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_memory_of_another_kind_is_not_remembered_and_still_right(family):
    compared = Compared(ROW_BY_ROW[family], ROOM)
    for _ in range(2):
        compared.join(CHAT)
        leave(compared, 0)
    assert len(compared.model.prefix_cache) == 0
    assert compared.difference < 1e-4


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_states_that_are_no_numbers_are_not_kept(poison):
    compared = Compared(LLAMA, ROOM)
    compared.join(CHAT)
    with torch.inference_mode():
        compared.context.cache.slot_layers[1].states()[0][0, 0, 1, 0] = poison
    leave(compared, 0)
    assert len(compared.model.prefix_cache) == 0


def test_a_line_that_would_not_fit_is_not_even_copied(monkeypatch):
    compared = Compared(LLAMA, 1)
    compared.join(CHAT)
    monkeypatch.setattr(slot_context, "snapshot", None)  # not to be called
    leave(compared, 0)
    assert len(compared.model.prefix_cache) == 0
