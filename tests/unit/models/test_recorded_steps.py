"""Steps that are recorded and replayed give what steps that are run give.

What a GPU would record is rehearsed here: every replay runs from the recorded inputs. That texts
come, go and are taken back without touching each other is in `test_slot_context`.
"""

import logging

import pytest
import torch

from persona_judge_llm import PersonaJudge, SamplingParams
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.models import recorded_steps
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.models.recorded_steps import RecordedSteps, rehearsed
from persona_judge_llm.testing import HistoryModel, tiny_model
from tests.unit.models.compared import Compared
from tests.unit.models.families import IN_SLOTS, ROW_BY_ROW, text

LLAMA = IN_SLOTS["Llama"]
GRAIN = 16
PAIR = [[*text(0, 9), 3], [*text(0, 9), 4, 5]]


class Counting:
    """Records as `rehearsed` does, and counts."""

    def __init__(self):
        self.recorded = 0

    def __call__(self, run):
        self.recorded += 1
        return rehearsed(run)


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def steps(counting, monkeypatch):
    steps = RecordedSteps(counting, GRAIN)
    monkeypatch.setattr(Compared, "recorded_steps", steps)
    return steps


def test_a_step_is_recorded_when_it_comes_again_and_replayed_from_then_on(steps, counting):
    compared = Compared(LLAMA)
    compared.join(PAIR)  # 12 slots
    for step in range(9):  # of two slots: two steps in the first block, and seven in the next
        compared.extend([1], seed=step)
    assert (counting.recorded, steps.replayed) == (2, 5)
    assert compared.difference < 1e-4
    assert compared.spread > 0.1


@pytest.mark.parametrize("family", IN_SLOTS)
def test_replayed_steps_see_their_own_tokens_places_and_masks(steps, family):
    compared = Compared(IN_SLOTS[family])
    compared.join(PAIR, [text(1, 12)], [text(2, 3)])
    for step in range(12):
        compared.extend([1, 1, 1], seed=step)
        compared.extend([3, 3, 3], last=3, seed=step)
        compared.rewind([3, 4, 2 + step % 2])
    assert steps.replayed > 8
    assert compared.difference < 1e-4


def test_what_is_recorded_is_of_the_tensors_that_are_written_to(steps, counting):
    compared = Compared(LLAMA)
    compared.join([text(3, 3)])
    for step in range(4):
        compared.extend([1], seed=step)
    before = counting.recorded, steps.replayed
    compared.join(*[[text(seed, 3)] for seed in range(4, 9)])  # the buffers move
    for step in range(3):
        compared.extend([1] * 6, seed=step)
    compared.keep([0])
    for step in range(3):
        compared.extend([1], seed=step)
    assert counting.recorded > before[0]
    assert compared.difference < 1e-4


def test_the_next_text_finds_the_recordings_of_the_last_one_and_nothing_of_its_tokens(
    steps, counting
):
    compared = Compared(LLAMA)
    for prompt in ([text(5, 9)], [text(6, 2)], [text(7, 12)]):
        compared.join(prompt)
        for step in range(3):
            compared.extend([1], seed=step)
        compared.keep([])
        compared.context = compared.model.open()  # as decoders do when nobody is left
    assert (counting.recorded, steps.replayed) == (1, 7)
    assert compared.difference < 1e-4


def test_logits_stay_what_they_are_when_the_next_step_is_replayed(steps):
    compared = Compared(LLAMA)
    compared.join([text(5, 9)])
    found = [compared.context.extend(torch.tensor([[token]])) for token in range(3, 7)]
    before = [logits.clone() for logits in found]
    compared.context.extend(torch.tensor([[7]]))
    assert steps.replayed == 3
    assert all(map(torch.equal, found, before))
    assert not torch.equal(found[-1], found[-2])


def test_large_buffers_are_not_kept_for_the_next_text(steps, monkeypatch):
    monkeypatch.setattr(recorded_steps, "KEPT_BYTES", 1_000)
    compared = Compared(LLAMA)
    compared.join([text(5, 9)])
    compared.keep([])
    assert steps.take() is None


def test_recordings_are_bounded(steps, monkeypatch):
    monkeypatch.setattr(recorded_steps, "MOST", 2)
    compared = Compared(LLAMA)
    compared.join([text(5, 9)])
    for _ in range(2):
        for width in (1, 2, 3, 4):
            compared.extend([width], last=width)
            compared.rewind([width])
    assert len(steps._recordings) == 2
    compared.extend([4], last=4)
    assert steps.replayed == 1
    assert compared.difference < 1e-4


def test_a_model_that_cannot_be_recorded_is_run(monkeypatch, caplog):
    def fail(run):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Compared, "recorded_steps", RecordedSteps(fail, GRAIN))
    compared = Compared(LLAMA)
    compared.join(PAIR)
    with caplog.at_level(logging.WARNING):
        for step in range(6):
            compared.extend([1], seed=step)
    (record,) = caplog.records
    assert record.getMessage().startswith("steps of this model cannot be recorded, and run as")
    assert compared.difference < 1e-4


def test_answers_are_those_of_an_engine_that_records_nothing():
    plain, recording = PersonaJudge.bundled(device="cpu"), PersonaJudge.bundled(device="cpu")
    recording.language_model.recorded_steps = RecordedSteps(rehearsed)
    calls = [
        {
            "prompt": question,
            "preferences": ["Be concise", "Use vivid images"],
            "params": SamplingParams(max_new_tokens=24, seed=seed),
        }
        for seed, question in enumerate(["How can I sleep better?", "What is a good breakfast?"])
    ]
    for call in calls * 2:
        assert recording.generate(**call).token_ids == plain.generate(**call).token_ids
    assert recording.language_model.recorded_steps.replayed > 20


def test_graphs_are_refused_where_there_can_be_none():
    with pytest.raises(InvalidParameterError, match="a model on cpu"):
        PersonaJudge.bundled(device="cpu", cuda_graphs=True)
    tokenizer = PersonaJudge.bundled(device="cpu").tokenizer
    with pytest.raises(InvalidParameterError, match="LanguageModel"):
        PersonaJudge(HistoryModel(vocab_size=len(tokenizer)), tokenizer, cuda_graphs=True)


@pytest.mark.parametrize("family", ROW_BY_ROW)
def test_a_memory_that_is_not_in_slots_is_left_alone(family):
    steps = RecordedSteps(rehearsed)
    model = HuggingFaceModel(tiny_model(ROW_BY_ROW[family]), recorded_steps=steps)
    context = model.open()
    context.join([[[3, 4, 5]]]).advance(100)
    for _ in range(3):
        context.extend(torch.tensor([[3]]))
    assert steps.replayed == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records CUDA graphs, without which no")
def test_cuda_graphs_give_what_steps_that_are_run_give():
    plain = PersonaJudge.bundled(device="cuda")
    recording = PersonaJudge.bundled(device="cuda", cuda_graphs=True)
    params = SamplingParams(max_new_tokens=48, temperature=0.0)
    for question in ("How can I sleep better?", "What is a good breakfast?"):
        call = {"preferences": ["Be concise", "Use vivid images"], "params": params}
        assert (
            recording.generate(question, **call).token_ids
            == plain.generate(question, **call).token_ids
        )
    assert recording.language_model.recorded_steps.replayed > 20
