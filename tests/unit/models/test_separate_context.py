"""Joining where every row has a memory of the model's own kind."""

import pytest

from tests.unit.models.compared import Compared
from tests.unit.models.families import ROW_BY_ROW, text

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
GROUPS = [text(0, 9), text(1, 4)], [text(2, 6)]


@pytest.fixture(params=ROW_BY_ROW)
def compared(request):
    return Compared(ROW_BY_ROW[request.param])


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_joined_prompts_give_the_logits_of_separate_runs(compared, piece):
    compared.join(*GROUPS, piece=piece)
    compared.extend([1, 1])
    compared.join([text(3, 5)])
    compared.extend([2, 1, 2])
    compared.keep([2, 0])
    compared.extend([1, 1])
    assert compared.difference < 1e-4
    assert compared.spread > 0.01


def test_prompts_are_computed_between_other_rows_steps(compared):
    compared.join(GROUPS[1])
    joining = compared.context.join(GROUPS)
    assert joining.advance(9) is None
    assert compared.model.prompt_tokens_computed == 6 + 9
    compared.extend([1])
    compared.finish(joining, *GROUPS)
    compared.extend([1, 1, 1])
    assert compared.difference < 1e-4


def test_a_joining_that_is_given_up_leaves_the_context_as_it_was(compared):
    compared.join(GROUPS[1])
    abandoned = compared.context.join(GROUPS)
    assert abandoned.advance(1) is None
    compared.extend([1])
    compared.join(GROUPS[0])
    compared.extend([1, 1])
    assert compared.difference < 1e-4
