"""Rows of different lengths in one pass give the logits of separate runs, for every family.

Random weights, real architectures, no cache in the comparison: before and after rewinds, after
rows have left, and past the sliding window.
"""

from typing import Any

import pytest
import torch
import transformers

from persona_judge_llm.errors import UnsupportedModelError
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.models.slot_context import SlotContext
from persona_judge_llm.testing import tiny_model

VOCAB = 97
WINDOW = 8
SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
IN_SLOTS = {
    "Llama": transformers.LlamaConfig(**SHAPE),
    "Qwen2": transformers.Qwen2Config(**SHAPE),
    "Qwen2 with sliding layers": transformers.Qwen2Config(
        **SHAPE, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=2
    ),
    "Qwen3": transformers.Qwen3Config(**SHAPE, head_dim=8),
    "Gemma 2": transformers.Gemma2Config(
        **SHAPE, head_dim=8, sliding_window=WINDOW, query_pre_attn_scalar=8
    ),
    "Gemma 3": transformers.Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=WINDOW),
    "Mistral": transformers.MistralConfig(**SHAPE, sliding_window=WINDOW),
    "Phi 3": transformers.Phi3Config(**SHAPE, sliding_window=WINDOW),
    "GPT-2": transformers.GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=3, n_head=4, n_positions=128, bos_token_id=1,
        eos_token_id=2,
    ),
}  # fmt: skip
ROW_BY_ROW = {
    "Bloom (ALiBi)": transformers.BloomConfig(
        vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4
    ),
    "Mamba (state space)": transformers.MambaConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, state_size=8
    ),
}
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
