"""Small configurations of many model families, and texts for them."""

from typing import Any

import torch
import transformers

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


def text(seed: int, length: int) -> list[int]:
    """Return random tokens, the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCAB, (length,), generator=generator).tolist()
