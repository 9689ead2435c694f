"""Both decoders on real transformers models: greedy agreement, batches, ends, randomness."""

import pytest
import torch
import transformers

from persona_judge_llm.decoding.dual import DualDecoding
from persona_judge_llm.decoding.reference import ReferenceDecoding
from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.errors import (
    InvalidParameterError,
    NumericalError,
    PersonaJudgeError,
    UnsupportedModelError,
)
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import HistoryModel, tiny_model

A, B = (5, 9, 200, 31), (7, 7, 120, 44, 18, 90)
GREEDY = SamplingParams(temperature=0, max_new_tokens=40).resolved(SamplingParams())
SAMPLED = SamplingParams(
    temperature=0.9, top_k=20, top_p=0.9, repetition_penalty=1.2, max_new_tokens=40
).resolved(SamplingParams())
DECODERS = {"dual": DualDecoding, "reference": ReferenceDecoding}


def task(params=GREEDY, prompt_a=A, prompt_b=B, *, lam=4, turns=(1, 1), seed=11):
    return DecodeTask(
        prompt_a=prompt_a, prompt_b=prompt_b, params=params, seed=seed, num_draft_tokens=lam,
        turns=turns,
    )  # fmt: skip


def decoded(decoder, model, tasks):
    decoding = decoder(model, tasks)
    tokens = [[] for _ in tasks]
    limits = [t.params.max_new_tokens for t in tasks]
    while step := decoding.step():
        for index, new in step:
            if isinstance(new, PersonaJudgeError):
                raise new
            tokens[index] += new
            if len(tokens[index]) >= limits[index]:
                del tokens[index][limits[index] :]
                decoding.finish(index)
    return tokens


def ids(tokens):
    return [t.token_id for t in tokens]


@pytest.fixture(scope="module")
def model():
    return HuggingFaceModel(tiny_model())


@pytest.mark.parametrize("lam", [1, 2, 4, 6])
@pytest.mark.parametrize("turns", [(1, 1), (0, 1), (2, 1)])
def test_greedy_decoders_agree_token_for_token(model, lam, turns):
    [dual] = decoded(DualDecoding, model, [task(lam=lam, turns=turns)])
    [reference] = decoded(ReferenceDecoding, model, [task(lam=lam, turns=turns)])
    assert ids(dual) == ids(reference)
    assert [t.outcome for t in dual] == [t.outcome for t in reference]
    assert [t.judged_by for t in dual] == [t.judged_by for t in reference]


@pytest.mark.parametrize("turns", [(1, 1), (0, 1)])
def test_greedy_follows_the_judges_own_argmax_at_every_token(model, turns):
    """Against the model run without any cache, prompt by prompt."""
    [tokens] = decoded(DualDecoding, model, [task(turns=turns)])
    text = []
    for token in tokens:
        prompt = A if token.judged_by == "A" else B
        with torch.inference_mode():
            logits = model.model(torch.tensor([[*prompt, *text]])).logits[0, -1]
        assert token.token_id == int(logits.argmax())
        text.append(token.token_id)
    assert {t.judged_by for t in tokens} == ({"A", "B"} if turns == (1, 1) else {"B"})


def test_one_prompt_alone_gives_what_generate_gives(model):
    [tokens] = decoded(DualDecoding, model, [task(prompt_b=None)])
    expected = model.model.generate(
        torch.tensor([A]), max_new_tokens=40, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert ids(tokens) == expected[0, len(A) :].tolist()
    assert {t.outcome for t in tokens} == {"sampled"}


@pytest.mark.parametrize("decoder", DECODERS)
def test_equal_prompts_never_refuse_and_windows_are_full(decoder):
    [tokens] = decoded(DECODERS[decoder], HistoryModel(), [task(SAMPLED, (1,), (1,), lam=3)])
    assert [t.outcome for t in tokens[:8]] == (["accepted"] * 3 + ["bonus"]) * 2
    assert [t.judged_by for t in tokens[:8]] == ["B"] * 4 + ["A"] * 4


@pytest.mark.parametrize("decoder", DECODERS)
def test_sides_that_share_no_token_take_strict_turns(decoder):
    class Disjoint(HistoryModel):
        """Rows that begin with token 1 have tokens 2 and 3 only, the others 0 and 1."""

    model = Disjoint(opposed=True)
    model.table[:] = torch.tensor([40.0, 40.0, -40.0, -40.0])
    [tokens] = decoded(DECODERS[decoder], model, [task(SAMPLED, (0,), (1,))])
    assert {t.outcome for t in tokens} == {"recovered"}
    assert "".join(t.judged_by for t in tokens) == "BA" * 20
    assert all((t.token_id in (2, 3)) == (t.judged_by == "B") for t in tokens)


def test_each_task_of_a_batch_is_decoded_as_if_alone(model):
    tasks = [
        task(SAMPLED, seed=1),
        task(SAMPLED, B, A, seed=2, lam=2),
        task(GREEDY, prompt_b=None),
        task(SAMPLED, (9,) * 30, B, seed=3, turns=(2, 1)),
        task(SamplingParams(max_new_tokens=7, temperature=1.3).resolved(SamplingParams()), seed=4),
    ]
    together = decoded(DualDecoding, model, tasks)
    for tokens, one in zip(together, tasks, strict=True):
        [alone] = decoded(DualDecoding, model, [one])
        assert ids(tokens) == ids(alone)
        assert [t.outcome for t in tokens] == [t.outcome for t in alone]


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_same_seed_repeats_and_the_global_generator_is_untouched(model, decoder):
    state = torch.random.get_rng_state()
    first, second = (ids(decoded(DECODERS[decoder], model, [task(SAMPLED)])[0]) for _ in "12")
    other = ids(decoded(DECODERS[decoder], model, [task(SAMPLED, seed=12)])[0])
    assert first == second != other
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("decoder", DECODERS)
def test_reported_probabilities_are_those_of_the_two_sides(model, decoder):
    [tokens] = decoded(DECODERS[decoder], model, [task(params=GREEDY_LIKE)])
    text = []
    for token in tokens:
        with torch.inference_mode():
            probs = {
                side: torch.softmax(model.model(torch.tensor([[*p, *text]])).logits[0, -1], -1)
                for side, p in (("A", A), ("B", B))
            }
        judge, draft = (probs[s][token.token_id] for s in (token.judged_by, other(token)))
        assert token.judge_prob == pytest.approx(float(judge), rel=1e-3)
        if token.outcome != "bonus":
            assert token.draft_prob == pytest.approx(float(draft), rel=1e-3, abs=1e-9)
        text.append(token.token_id)


GREEDY_LIKE = SamplingParams(max_new_tokens=20).resolved(SamplingParams())


def other(token):
    return "B" if token.judged_by == "A" else "A"


def test_the_reference_loop_refuses_models_that_cannot_rewind():
    config = transformers.MambaConfig(
        vocab_size=97, hidden_size=32, num_hidden_layers=2, state_size=8
    )
    with pytest.raises(UnsupportedModelError, match="back"):
        ReferenceDecoding(HuggingFaceModel(tiny_model(config)), [task()])


def test_the_dual_loop_runs_models_that_cannot_rewind():
    config = transformers.MambaConfig(
        vocab_size=97, hidden_size=32, num_hidden_layers=2, state_size=8
    )
    model = HuggingFaceModel(tiny_model(config, scale=2.0))
    [tokens] = decoded(DualDecoding, model, [task(prompt_a=(5, 6), prompt_b=(8,))])
    assert len(tokens) == 40


def test_the_reference_loop_refuses_tasks_of_different_windows(model):
    with pytest.raises(InvalidParameterError, match="num_draft_tokens"):
        ReferenceDecoding(model, [task(lam=2), task(lam=3)])


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_model_that_returns_nan_is_an_error_and_not_a_text(decoder):
    model = HistoryModel()
    model.table[:] = torch.nan
    with pytest.raises(NumericalError, match="NaN"):
        decoded(DECODERS[decoder], model, [task(SAMPLED, (0,), (1,))])


def test_an_unread_decoding_runs_no_forward_pass(model):
    decoding = DualDecoding(model, [task()])
    assert decoding.forward_passes == 0
    decoding.finish(0)
    assert decoding.step() == []
    assert decoding.forward_passes == 0


def test_one_forward_pass_a_token_serves_both_sides(model):
    decoding = DualDecoding(model, [task()])
    for _ in range(5):
        decoding.step()
    assert decoding.forward_passes == 5
