"""The engine's methods in both modes, on a tiny model."""

import pytest

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.cases import Case
from persona_judge_llm.evaluation.modes import method_in_mode
from persona_judge_llm.evaluation.protocol import NUM_DRAFT_TOKENS, SAMPLING
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import tiny_engine

CASE = Case(
    "Why?", ("Be kind.", "Be brief."), ("Be exact.",), SamplingParams(seed=3, max_new_tokens=9)
)
A_TURN = (
    "<|im_start|>user\nBe kind. Meanwhile: Be brief.<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n"
)
B_TURN = "<|im_start|>user\nBe exact.<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n"
QUESTION = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def engine():
    with tiny_engine() as engine:
        yield engine


def prepared(engine, name, mode="paper", case=CASE, **settings) -> PreparedCall:
    asked = method_in_mode(engine, name, mode, **settings).request(case)
    return engine.prepare(asked) if isinstance(asked, Request) else asked


def test_the_protocol_is_that_of_the_authors_code():
    assert (SAMPLING.temperature, SAMPLING.top_k, SAMPLING.top_p) == (0.9, 20, 0.9)
    assert SAMPLING.max_new_tokens == 128
    assert NUM_DRAFT_TOKENS == 4


@pytest.mark.parametrize("name", ["fixed", "alternate", "overlap", "compose:1.5"])
def test_in_paper_mode_preferences_are_a_users_turn_before_the_question(engine, name):
    call = prepared(engine, name)
    assert call.prompt_a == A_TURN + QUESTION
    assert call.prompt_b == B_TURN + QUESTION
    assert call.task().prompt_a == call.built_a.ids


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("plain", ""),
        ("single_a", A_TURN),
        ("single_b", B_TURN),
        ("direct", A_TURN.replace("brief.", "brief. Meanwhile: Be exact.")),
    ],
)
def test_prompting_alone_has_one_prompt(engine, name, turn):
    call = prepared(engine, name)
    assert call.prompt_a == turn + QUESTION
    assert call.prompt_b is None


@pytest.mark.parametrize("name", ["fixed", "alternate", "geometric"])
def test_in_fixed_mode_preferences_are_in_the_system_message(engine, name):
    call = prepared(engine, name, "fixed")
    assert call.prompt_a.startswith("<|im_start|>system\nPreferences of this user:\n- Be kind.")
    assert call.prompt_a.endswith(QUESTION)
    assert "Be exact." in (call.prompt_b or "")


@pytest.mark.parametrize("mode", ["fixed", "paper"])
def test_roles_swap_every_window_of_lambda_tokens(engine, mode):
    call = prepared(engine, "alternate", mode, num_draft_tokens=6)
    assert (call.num_draft_tokens, call.turns, call.rule) == (6, (1, 1), "alternate")
    fixed = prepared(engine, "fixed", mode, num_draft_tokens=2)
    assert (fixed.num_draft_tokens, fixed.task().turns) == (2, (0, 1))


def test_a_single_side_is_one_row(engine):
    case = Case("Why?", ("Be exact.",), params=CASE.params)
    call = prepared(engine, "alternate", case=case)
    assert call.prompt_a == B_TURN + QUESTION
    assert call.prompt_b is None


def test_strength_0_is_the_plain_model_in_both_modes(engine):
    for mode in ("fixed", "paper"):
        assert prepared(engine, "compose:0", mode).prompt_a == QUESTION


@pytest.mark.parametrize("mode", ["fixed", "paper"])
@pytest.mark.parametrize("name", ["plain", "direct", "alternate", "compose"])
def test_answers_come_in_order_and_repeat_by_seed(engine, mode, name):
    cases = [CASE, Case("How?", CASE.side_a, CASE.side_b, CASE.params), CASE]
    one = list(method_in_mode(engine, name, mode).answer(cases))
    two = list(method_in_mode(engine, name, mode, batch=3).answer(cases))
    assert [a.text for a in one] == [a.text for a in two]
    assert one[0].text == one[2].text
    assert all(answer.tokens <= 9 for answer in one)
    assert all((answer.acceptance_rate is not None) == (name == "alternate") for answer in one)


def test_modes_differ(engine):
    texts = {
        next(method_in_mode(engine, "direct", m).answer([CASE])).text for m in ("fixed", "paper")
    }
    assert len(texts) == 2


@pytest.mark.parametrize(
    ("name", "mode"),
    [("nothing", "fixed"), ("plain", "official"), ("compose_each", "paper"), ("fixed:2", "fixed")],
)
def test_what_is_not_known_is_refused(engine, name, mode):
    with pytest.raises(InvalidParameterError):
        method_in_mode(engine, name, mode)


def test_compose_each_gives_every_preference_a_row(engine):
    call = prepared(engine, "compose_each", "fixed")
    assert 1 + (call.built_b is not None) + len(call.built_more) == 3
