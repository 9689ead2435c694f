"""Rows of different lengths in one pass give the logits of separate runs, for every family.

Random weights, real architectures, no cache in the comparison: before and after rewinds, after
rows have left, and past the sliding window.
"""

import pytest
import torch
import transformers

from persona_judge_llm.errors import UnsupportedModelError
from persona_judge_llm.models.grouped_attention import NAME, GroupedAttention
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.models.slot_context import SlotContext
from persona_judge_llm.testing import tiny_model
from tests.unit.models.families import IN_SLOTS, ROW_BY_ROW, SHAPE, VOCAB

PROMPTS = (15, 9, 22)  # the longest is far past the sliding window
TOTAL = 40


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(3, VOCAB, (len(PROMPTS), TOTAL), generator=generator)


class Compared:
    """A context, and what separate runs without any cache give for the same tokens."""

    def __init__(self, config, rows):
        self.model = tiny_model(config, scale=3.0)
        self.context = HuggingFaceModel(self.model).open(len(rows))
        self.rows = rows
        self.order = list(range(len(rows)))
        self.lengths = dict.fromkeys(self.order, 0)
        self.difference = 0.0

    def extend(self, counts, last=1):
        width = max(counts)
        tokens = torch.stack(
            [self.rows[r, self.lengths[r] : self.lengths[r] + width] for r in self.order]
        )
        for i, count in enumerate(counts):
            tokens[i, count:] = 0
        logits = self.context.extend(tokens, counts, last)
        for i, (row, count) in enumerate(zip(self.order, counts, strict=True)):
            self.lengths[row] += count
            with torch.inference_mode():
                alone = self.model(self.rows[row : row + 1, : self.lengths[row]]).logits
            gap = (logits[i] - alone[0, -last:]).abs().max()
            self.difference = max(self.difference, float(gap))
        return logits

    def rewind(self, counts):
        self.context.rewind(counts)
        for row, count in zip(self.order, counts, strict=True):
            self.lengths[row] -= count

    def keep(self, places):
        self.context.keep(places)
        self.order = [self.order[p] for p in places]


@pytest.mark.parametrize("family", IN_SLOTS)
def test_rows_of_different_lengths_give_the_logits_of_separate_runs(family, rows):
    compared = Compared(IN_SLOTS[family], rows)
    assert isinstance(compared.context, SlotContext)
    logits = compared.extend(PROMPTS, last=2)
    assert logits.std() > 0.1  # else everything would be near everything
    compared.extend([4, 3, 4], last=3)
    compared.rewind([2, 3, 0])
    compared.extend([5, 1, 2])
    compared.rewind([4, 0, 1])
    compared.keep([2, 0])
    for _ in range(4):
        compared.extend([1, 1])
    assert compared.difference < 1e-4


@pytest.mark.parametrize("family", ROW_BY_ROW)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_models_with_other_memories_run_row_by_row(family, rows):
    compared = Compared(ROW_BY_ROW[family], rows)
    compared.extend(PROMPTS, last=2)
    compared.extend([3, 2, 3], last=2)
    compared.keep([1, 2])
    compared.extend([1, 1])
    assert compared.difference < 1e-4


@pytest.mark.parametrize("family", ROW_BY_ROW)
def test_a_memory_that_cannot_be_taken_back_is_refused_by_name(family, rows):
    compared = Compared(ROW_BY_ROW[family], rows)
    assert not HuggingFaceModel(compared.model).can_rewind
    compared.extend(PROMPTS)
    with pytest.raises(UnsupportedModelError, match=type(compared.model).__name__):
        compared.rewind([1, 0, 0])


def test_buffers_grow_without_losing_what_they_hold():
    generator = torch.Generator().manual_seed(2)
    long_rows = torch.randint(3, VOCAB, (2, 700), generator=generator)
    compared = Compared(
        transformers.LlamaConfig(**{**SHAPE, "max_position_embeddings": 1024}), long_rows
    )
    compared.extend([250, 240])
    compared.extend([300, 3])
    compared.extend([1, 1])
    assert compared.difference < 1e-4


def test_a_model_that_is_no_causal_decoder_is_refused():
    config = transformers.T5Config(
        vocab_size=50, d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8
    )
    with pytest.raises(UnsupportedModelError, match="T5"):
        HuggingFaceModel(transformers.T5ForConditionalGeneration(config))


LONG_FACTORS = {"long_factor": [4.0] * 4, "short_factor": [1.0] * 4, "rope_theta": 10_000.0}


@pytest.mark.parametrize(
    "config",
    [
        transformers.Phi3Config(
            **{**SHAPE, "max_position_embeddings": 512},
            original_max_position_embeddings=128,
            rope_parameters={
                "rope_type": "longrope", "original_max_position_embeddings": 128, **LONG_FACTORS
            },
        ),
        transformers.LlamaConfig(
            **{**SHAPE, "max_position_embeddings": 128},
            rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0},
        ),
    ],
    ids=["longrope", "dynamic"],
)  # fmt: skip
def test_texts_end_where_longer_ones_would_change_how_positions_are_rotated(config):
    model = HuggingFaceModel(tiny_model(config))
    assert model.context_window == 128
    assert model.uses_slots


def test_layers_that_share_keys_and_values_run_row_by_row():
    config = transformers.LlamaConfig(**SHAPE)
    config.num_kv_shared_layers = 1
    assert not HuggingFaceModel(tiny_model(config)).uses_slots


def test_a_second_adapter_made_during_a_pass_works_like_the_first():
    model = tiny_model(transformers.LlamaConfig(**SHAPE))
    with GroupedAttention(model):
        second = HuggingFaceModel(model)
    assert second.uses_slots
    with second._grouped:
        assert model.config._attn_implementation == NAME
    assert model.config._attn_implementation == "sdpa"
