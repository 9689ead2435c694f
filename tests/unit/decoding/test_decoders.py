"""Both decoders on real transformers models: greedy agreement, batches, ends, randomness.

And what only the dual loop does: tasks that come and go, and beginnings that were left in memory.
"""

import dataclasses

import pytest
import torch
import transformers

from persona_judge_llm.candidates import Candidates, candidates
from persona_judge_llm.decoding import seats
from persona_judge_llm.decoding.dual import PIECE, DualDecoding
from persona_judge_llm.decoding.reference import ReferenceDecoding
from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.errors import (
    InvalidParameterError,
    NumericalError,
    PersonaJudgeError,
    UnsupportedModelError,
)
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.sampling import SamplingParams, logits_to_probs
from persona_judge_llm.testing import FakeJoining, HistoryContext, HistoryModel, tiny_model

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


@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("side", ["A", "B"])
def test_nan_on_either_side_is_an_error_whatever_the_sampling(
    model_with_a_hole, decoder, params, side
):
    prompts = {
        "prompt_a": (5, HOLE, 9) if side == "A" else A,
        "prompt_b": (HOLE,) if side == "B" else B,
    }
    with pytest.raises(NumericalError, match="NaN"):
        decoded(DECODERS[decoder], model_with_a_hole, [task(params, **prompts, turns=(0, 1))])


# --- tasks that come and go -----------------------------------------------------------------------

HOLE = 200
WITHOUT_HOLE = SamplingParams(
    temperature=0.9, top_k=20, max_new_tokens=40, logit_bias={HOLE: -1000}
).resolved(SamplingParams())


@pytest.fixture(scope="module")
def model_with_a_hole():
    """A model that gives NaN for every text which holds one certain token."""
    hollow = tiny_model()
    with torch.no_grad():
        hollow.get_input_embeddings().weight[HOLE] = torch.nan
    return HuggingFaceModel(hollow)


def run(decoding, arrivals, leave=None):
    """Decode; return each task's tokens, or why it failed.

    Args:
        decoding: empty.
        arrivals: tasks by the step before which they join.
        leave: the step before which some are finished early, by index.
    """
    arrivals, leave, limits, found = dict(arrivals), leave or {}, {}, {}
    step = 0
    while True:
        for one in arrivals.pop(step, ()):
            limits[decoding.join(one)] = one.params.max_new_tokens
        for index in [i for i, when in leave.items() if when == step]:
            decoding.finish(index)
        new = decoding.step()
        step += 1
        if not new and not arrivals and found.keys() | leave.keys() >= limits.keys():
            return found
        for index, tokens in new:
            assert index not in leave or leave[index] >= step
            if isinstance(tokens, PersonaJudgeError):
                found[index] = tokens
                decoding.finish(index)
                continue
            text = found.setdefault(index, [])
            text += tokens
            if len(text) >= limits[index]:
                del text[limits[index] :]
                decoding.finish(index)


def assert_as_alone(model, found, tasks):
    for index, one in enumerate(tasks):
        if index in found:
            assert_same(found[index], run(DualDecoding(model), {0: [one]})[0])


def assert_same(tokens, expected):
    """What is reported of every token is the same; probabilities but for rounding."""
    assert ids(tokens) == ids(expected)
    for token, other_token in zip(tokens, expected, strict=True):
        assert token.outcome == other_token.outcome
        assert token.judged_by == other_token.judged_by
        assert token.judge_prob == pytest.approx(other_token.judge_prob, rel=1e-3, abs=1e-6)


SHORT = SamplingParams(max_new_tokens=9, temperature=1.2).resolved(SamplingParams())
MANY = [
    task(SAMPLED, seed=1),
    task(GREEDY, B, A, lam=2),
    task(SHORT, (8,) * 50, None, seed=2),
    task(SHORT, (8,) * 50, (*(8,) * 40, 3, 4), seed=3, turns=(2, 1)),
    task(SAMPLED, (9,) * 30, B, seed=4, lam=1),
]


@pytest.mark.parametrize("step", [1, 2, 8, 9, 20])
def test_a_task_that_joins_at_any_step_is_decoded_as_if_alone(model, step):
    found = run(DualDecoding(model), {0: MANY[:2], step: MANY[2:4], step + 1: MANY[4:]})
    assert len(found) == len(MANY)
    assert_as_alone(model, found, MANY)


def test_a_seed_gives_the_same_text_beside_any_others_and_behind_those_that_left(model):
    one = task(SAMPLED, seed=77)
    [alone] = run(DualDecoding(model), {0: [one]}).values()
    crowded = run(DualDecoding(model), {0: MANY[2:4], 3: MANY, 11: [one], 13: MANY[:3]})
    assert ids(crowded[2 + len(MANY)]) == ids(alone)


def test_twins_of_one_seed_are_one_text_wherever_they_sit(model):
    found = run(DualDecoding(model), {0: [MANY[0], *MANY[1:3]], 4: [MANY[0]], 6: [MANY[0]]})
    assert ids(found[0]) == ids(found[3]) == ids(found[4])


def test_indices_are_never_used_twice(model):
    decoding = DualDecoding(model)
    first = decoding.join(MANY[0])
    decoding.step()
    decoding.finish(first)
    decoding.settle()
    assert decoding.join(MANY[0]) != first


LONG = tuple(range(3, 200)) * 3  # far more than one piece
assert len(LONG) > 2 * PIECE


def test_others_go_on_while_a_long_prompt_is_computed(model):
    decoding = DualDecoding(model, [MANY[0]])
    decoding.step()
    newcomer = decoding.join(task(SHORT, LONG, None))
    steps = [dict(decoding.step()) for _ in range(4)]
    assert all(0 in step for step in steps)
    # Pieces of 256 and 256, and the rest with the logits behind the prompt; then one by one.
    assert [newcomer in step for step in steps] == [False, False, True, True]
    assert decoding.passes(newcomer) == 3 + 1
    assert decoding.passes(0) == 5


def test_a_long_prompt_in_pieces_gives_the_same_text(model):
    tasks = [MANY[0], task(SHORT, LONG, (*LONG[:400], 7), seed=5)]
    assert_as_alone(model, run(DualDecoding(model), {0: tasks[:1], 2: tasks[1:]}), tasks)


@pytest.mark.parametrize("left_at", [3, 4])
def test_one_that_leaves_while_its_prompt_is_computed_disturbs_nobody(model, left_at):
    tasks = [MANY[0], task(SHORT, LONG, None), MANY[3]]
    decoding = DualDecoding(model)
    found = run(decoding, {0: tasks[:1], 2: tasks[1:2], 3: tasks[2:]}, leave={1: left_at})
    assert found.keys() == {0, 2}
    assert_as_alone(model, found, tasks)
    assert decoding.passes(1) == 0  # forgotten


class Slowly(HistoryModel):
    """A model whose newcomers take two steps, however short their prompts are."""

    def open(self, num_rows=0):
        return SlowContext(self, num_rows)


class SlowContext(HistoryContext):
    def join(self, groups):
        return SlowJoining(groups, self.take_over)


class SlowJoining(FakeJoining):
    def __init__(self, groups, take_over):
        super().__init__(groups, take_over)
        self._half = self._missing // 2 + 1

    def advance(self, max_tokens):
        return super().advance(self._half)


def test_one_that_leaves_a_wave_under_way_gets_nothing_and_the_others_all():
    tasks = [task(SHORT, (0, 3, 1), (2, 4), seed=seed) for seed in range(4)]
    decoding = DualDecoding(Slowly(vocab_size=6), tasks)
    assert decoding.step() == []
    decoding.finish(2)
    texts = {index: [] for index in range(4)}
    for _ in range(5):
        for index, new in decoding.step():
            texts[index] += new
    assert [len(text) for text in texts.values()] == [5, 5, 0, 5]
    assert decoding.passes(2) == 0
    plain = HistoryModel(vocab_size=6)
    for index in (0, 1, 3):
        [alone] = run(DualDecoding(plain), {0: [tasks[index]]}).values()
        assert texts[index] == alone[:5]


def test_a_wave_that_all_have_left_is_given_up(model):
    before = model.prompt_tokens_computed
    decoding = DualDecoding(model, [MANY[0]])
    decoding.step()
    started = model.prompt_tokens_computed
    assert started > before
    newcomer = decoding.join(task(SHORT, LONG, None))
    decoding.step()
    assert model.prompt_tokens_computed == started + PIECE
    decoding.finish(newcomer)
    for _ in range(4):
        assert [index for index, _ in decoding.step()] == [0]
    assert model.prompt_tokens_computed == started + PIECE


def test_one_that_leaves_before_its_turn_is_never_computed(model):
    before = model.prompt_tokens_computed
    decoding = DualDecoding(model, MANY)
    for index in range(len(MANY)):
        decoding.finish(index)
    assert decoding.step() == []
    assert model.prompt_tokens_computed == before


def test_rows_are_freed_by_settling_without_a_step(model):
    decoding = DualDecoding(model, MANY)
    decoding.step()
    passes = decoding.forward_passes
    assert len(decoding._context.layout.lines) == len(MANY)
    for index in (0, 3):
        decoding.finish(index)
    decoding.settle()
    assert len(decoding._context.layout.lines) == len(MANY) - 2
    for index in (1, 2, 4):
        decoding.finish(index)
    decoding.settle()
    assert decoding._context.layout.lines == []
    assert decoding.forward_passes == passes
    assert decoding.step() == []


def test_passes_are_those_that_a_task_took_part_in(model):
    decoding = DualDecoding(model, MANY[:1])
    assert decoding.passes(0) == 0
    for _ in range(3):
        decoding.step()
    late = decoding.join(MANY[1])
    assert (decoding.passes(0), decoding.passes(late)) == (3, 0)
    for _ in range(2):
        decoding.step()
    assert (decoding.passes(0), decoding.passes(late)) == (5, 2)
    assert decoding.forward_passes == 5 + 1  # one more for the newcomer's prompt
    decoding.finish(0)
    assert decoding.passes(0) == 5
    decoding.settle()
    assert decoding.passes(0) == 0


# --- what cannot be sampled from ------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("params", [GREEDY, WITHOUT_HOLE], ids=["greedy", "sampled"])
def test_nan_in_one_task_fails_that_task_alone(model_with_a_hole, place, params):
    """Also not those that get its row's place in memory, behind whose own end its NaN were."""
    tasks = [task(params, (4,) * 60, (3,) * 50), task(params, (5,), (6, 8))]
    tasks.insert(place, task(params, (HOLE,) * 60, (3,) * 50))
    late = [task(params, (7, 8), (9,)), task(params, (11,), None)]
    found = run(DualDecoding(model_with_a_hole), {0: tasks, 3: late})
    failed = found.pop(place)
    assert isinstance(failed, NumericalError)
    assert len(found) == 4
    assert_as_alone(model_with_a_hole, found, [*tasks, *late])


def test_a_call_that_failed_leaves_nothing_to_those_that_begin_like_it():
    hollow = tiny_model()
    with torch.no_grad():
        hollow.get_input_embeddings().weight[HOLE] = torch.nan
    model = HuggingFaceModel(hollow, prefix_cache_bytes=10**8)
    common = tuple(range(20, 60))
    clean = task(GREEDY, (*common, 5), (*common, 6))
    bad = task(GREEDY, (*common, HOLE), (*common, 7))
    [expected] = run(DualDecoding(model), {0: [clean]}).values()
    model.prefix_cache.clear()
    [failed] = run(DualDecoding(model), {0: [bad]}).values()
    assert isinstance(failed, NumericalError)
    assert len(model.prefix_cache) == 0
    [found] = run(DualDecoding(model), {0: [clean]}).values()
    assert ids(found) == ids(expected)


def test_no_room_to_remember_a_call_fails_none(monkeypatch):
    model = HuggingFaceModel(tiny_model(), prefix_cache_bytes=10**8)

    def add(snapshot):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model.prefix_cache, "add", add)
    short, long = task(params(5)), task(params(9), B, A)
    found = run(DualDecoding(model), {0: [short, long]})
    assert [len(tokens) for tokens in found.values()] == [5, 9]


def params(length):
    return dataclasses.replace(GREEDY, max_new_tokens=length)


def test_a_prompt_that_fails_fails_its_own_wave_alone_and_quotes_it_to_nobody_else():
    class Fragile(HistoryModel):
        def open(self, num_rows=0):
            context = super().open(num_rows)
            take_over = context.take_over

            def fail(prompts):
                if any(3 in prompt for prompt in prompts):
                    raise RuntimeError(f"cannot read {prompts}")
                return take_over(prompts)

            context.take_over = fail
            return context

    steady, late = task(SAMPLED, (0,), (1,)), task(SAMPLED, (1, 1), (0, 2))
    bad = task(SAMPLED, (3,), (2,))
    found = run(DualDecoding(Fragile()), {0: [steady], 2: [bad], 5: [late], 7: [bad, bad]})
    failed = [found.pop(index) for index in (1, 3, 4)]
    assert [str(error) for error in failed] == [
        "the prompt failed with RuntimeError: cannot read [(3,), (2,)]",
        "the prompt failed with RuntimeError",
        "the prompt failed with RuntimeError",
    ]
    assert_as_alone(HistoryModel(), found, [steady, None, late])


# --- memory of earlier calls ----------------------------------------------------------------------


def test_what_earlier_calls_left_changes_no_token():
    weights = tiny_model()
    plain, remembering = (
        HuggingFaceModel(weights),
        HuggingFaceModel(weights, prefix_cache_bytes=10**8),
    )
    common = tuple(range(20, 50))
    first = task(SAMPLED, (*common, 5, 6), (*common, 7, 8, 9))
    [text] = run(DualDecoding(remembering), {0: [first]}).values()
    follow_up = tuple(ids(text))[:30]
    tasks = [
        first,
        task(GREEDY, first.prompt_b, first.prompt_a),
        task(SAMPLED, (*first.prompt_a, *follow_up, 3), (*first.prompt_b, *follow_up, 3), seed=2),
        task(SAMPLED, (*first.prompt_b, *follow_up[:5], 99, 98), None, seed=3),
        task(GREEDY, (*common[:10], 99, *common[11:], 5), (*common, 7, 8, 99, 98)),
        task(GREEDY, common, None),
        task(GREEDY, (*first.prompt_b, *follow_up), (1, 2, 3)),
        task(SAMPLED, (1, *common), (*common, 5, 6, 99), seed=4),
    ]
    for one in tasks:  # each alone, for the memory to be that of the calls before
        reused = remembering.prefix_cache.tokens_reused
        [found] = run(DualDecoding(remembering), {0: [one]}).values()
        [expected] = run(DualDecoding(plain), {0: [one]}).values()
        assert_same(found, expected)
        assert remembering.prefix_cache.tokens_reused > reused
    together = run(DualDecoding(remembering), {0: tasks[:4], 3: tasks[4:]})
    assert_as_alone(plain, together, tasks)


def test_a_conversation_that_goes_on_computes_its_new_tokens_only():
    model = HuggingFaceModel(tiny_model(), prefix_cache_bytes=10**8)
    first = task(SHORT, tuple(range(20, 60)), (*range(20, 50), 7, 8))
    [text] = run(DualDecoding(model), {0: [first]}).values()
    told = tuple(ids(text))
    before = model.prompt_tokens_computed
    run(
        DualDecoding(model),
        {0: [task(SHORT, (*first.prompt_a, *told, 3, 4), (*first.prompt_b, *told, 3, 4))]},
    )
    # Of each side the two new tokens, and the last one drawn, which was never fed.
    assert model.prompt_tokens_computed - before == 2 * 3


# --- candidates instead of the whole vocabulary ---------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0),
        SamplingParams(temperature=0.9, top_k=20, top_p=0.9),
        SamplingParams(temperature=0.7, top_p=0.8),
        SamplingParams(top_k=5, repetition_penalty=1.3, min_p=0.02, logit_bias={7: 2.0}),
    ],
    ids=["greedy", "top-k", "top-p", "penalty"],
)
def test_few_candidates_give_the_tokens_of_the_whole_vocabulary(params, monkeypatch):
    config = transformers.LlamaConfig(
        vocab_size=9_000,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = HuggingFaceModel(tiny_model(config, scale=20.0))
    params = dataclasses.replace(params, max_new_tokens=40).resolved(SamplingParams())
    one = task(params)
    widths = set()

    def noting(logits, row_params, seen=None):
        found = candidates(logits, row_params, seen)
        widths.add(found.probs.shape[1])
        return found

    monkeypatch.setattr(seats, "candidates", noting)
    [few] = run(DualDecoding(model), {0: [one]}).values()
    assert max(widths) < 9_000

    def whole(logits, row_params, seen=None):
        return Candidates(logits_to_probs(logits, row_params, seen), None)

    monkeypatch.setattr(seats, "candidates", whole)
    [expected] = run(DualDecoding(model), {0: [one]}).values()
    assert_same(few, expected)
