"""A task's n-th random number depends on its seed alone."""

import pytest
import torch

from persona_judge_llm.decoding.uniforms import BLOCK, Uniforms

CPU = torch.device("cpu")
MANY = 5 * BLOCK


def numbers(seed, count=MANY):
    generator = torch.Generator().manual_seed(seed)
    return [float(torch.rand(1, generator=generator, dtype=torch.float64)) for _ in range(count)]


def taken(uniforms, columns, total, row=0):
    found = []
    while len(found) < total:
        found += uniforms.take(columns)[row].tolist()
    return found[:total]


@pytest.mark.parametrize("columns", [1, 2, 18, BLOCK, 2 * BLOCK + 1])
def test_the_numbers_are_the_generators_however_many_are_taken_at_once(columns):
    assert taken(Uniforms([7, 8], CPU), columns, MANY, row=1) == numbers(8)


def test_peeking_uses_nothing_up():
    uniforms = Uniforms([7], CPU)
    assert uniforms.peek(3)[0].tolist() == uniforms.peek(3)[0].tolist() == numbers(7, 3)
    assert uniforms.peek(3 * BLOCK)[0].tolist() == numbers(7, 3 * BLOCK)


def test_every_task_goes_on_at_its_own_pace():
    uniforms, used = Uniforms([1, 2, 3], CPU), [0, 0, 0]
    expected = [numbers(seed) for seed in (1, 2, 3)]
    for step in range(40):
        found = uniforms.peek(6)
        counts = [2, 2 + 2 * (step % 3), 6]
        for row in range(3):
            assert found[row].tolist() == expected[row][used[row] : used[row] + 6]
            used[row] += counts[row]
        uniforms.advance(counts)


def test_a_slow_task_keeps_its_numbers_when_a_fast_one_needs_more():
    uniforms = Uniforms([1, 2], CPU)
    for counts in ([18, 2], [18, 2], [18, 2], [18, 2], [10, 2]):  # nine tokens a pass, and one
        uniforms.peek(18)
        uniforms.advance(counts)
    found = uniforms.take(2)
    assert found[0].tolist() == numbers(1)[82:84]
    assert found[1].tolist() == numbers(2)[10:12]


@pytest.mark.parametrize("before", [0, 10, BLOCK + 3])
@pytest.mark.parametrize("width", [2, 3 * BLOCK])
def test_those_that_join_begin_at_their_own_first_number(before, width):
    uniforms = Uniforms([1, 2], CPU)
    for _ in range(before):
        uniforms.take(1)
    newcomers = Uniforms([5], CPU)
    first = newcomers.take(width)[0].tolist()
    uniforms.join(newcomers)
    rest = uniforms.take(MANY - width)
    assert [*first, *rest[2].tolist()] == numbers(5)
    assert rest[1].tolist() == numbers(2, before + MANY - width)[before:]


def test_those_that_stay_go_on_in_their_new_order():
    uniforms = Uniforms([1, 2, 3], CPU)
    uniforms.take(4)
    uniforms.advance([0, 2, 0])
    uniforms.keep([2, 1])
    found = uniforms.take(2 * BLOCK)
    assert found[0].tolist() == numbers(3)[4 : 4 + 2 * BLOCK]
    assert found[1].tolist() == numbers(2)[6 : 6 + 2 * BLOCK]


def test_the_global_generator_is_untouched():
    state = torch.random.get_rng_state()
    Uniforms([1], CPU).take(MANY)
    assert torch.equal(torch.random.get_rng_state(), state)
