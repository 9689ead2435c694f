"""Grouped attention gives what transformers' `sdpa` gives, and leaves the model as it was."""

import threading
from typing import Any

import pytest
import torch
import transformers
from torch.nn import functional

from persona_judge_llm.models import grouped_attention as module
from persona_judge_llm.models.grouped_attention import MOST_QUERIES, NAME, grouped_attention
from persona_judge_llm.testing import tiny_model

WINDOW = 8
SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {
    "Llama": transformers.LlamaConfig(**SHAPE, num_key_value_heads=2),
    "Llama, one key-value head": transformers.LlamaConfig(**SHAPE, num_key_value_heads=1),
    "Llama, no groups": transformers.LlamaConfig(**SHAPE, num_key_value_heads=4),
    "Qwen2": transformers.Qwen2Config(**SHAPE, num_key_value_heads=2),
    "Qwen3": transformers.Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=8),
    "Mistral": transformers.MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=WINDOW),
    "Gemma 3": transformers.Gemma3TextConfig(
        **SHAPE, num_key_value_heads=2, head_dim=8, sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "GPT-2": transformers.GPT2Config(
        vocab_size=97, n_embd=32, n_layer=3, n_head=4, n_positions=256, bos_token_id=1,
        eos_token_id=2,
    ),
}  # fmt: skip
QUERIES = (1, 2, 5, MOST_QUERIES, MOST_QUERIES + 1, 40)


@pytest.fixture(params=FAMILIES)
def model(request):
    return tiny_model(FAMILIES[request.param], scale=3.0)


def visible(queries, end, *, window=None):
    """The first row sees all earlier slots; the second, only every other one, and its own."""
    slot, own = torch.arange(end), torch.arange(end - queries, end)[:, None]
    seen = slot <= own
    if window is not None:
        seen = seen & (own - slot < window)
    return torch.stack([seen, seen & ((slot % 2 == 0) | (slot == own))])[:, None]


def masks(model, queries, end):
    def additive(window=None):
        seen = visible(queries, end, window=window)
        lowest = torch.finfo(torch.float32).min
        return torch.zeros(seen.shape).masked_fill(~seen, lowest)

    window = getattr(model.config, "sliding_window", None)
    if "Gemma3" in type(model).__name__:
        return {"full_attention": additive(), "sliding_attention": additive(window)}
    return additive(window)


def run(model, passes):
    """The logits of passes over one cache, which give two rows so many tokens each."""
    cache = transformers.DynamicCache()
    generator = torch.Generator().manual_seed(4)
    found, end = [], 0
    with torch.inference_mode():
        for queries in passes:
            tokens = torch.randint(3, 97, (2, queries), generator=generator)
            places = torch.arange(end, end + queries).expand(2, -1)
            end += queries
            mask = masks(model, queries, end)
            found.append(
                model(
                    tokens, attention_mask=mask, position_ids=places, past_key_values=cache
                ).logits
            )
    return torch.cat(found, dim=1)


def test_with_masks_the_logits_are_those_of_sdpa(model):
    expected = run(model, QUERIES)
    with grouped_attention(model):
        found = run(model, QUERIES)
    assert expected.std() > 0.1  # else everything would be near everything
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 7, 50])
def test_without_a_mask_a_prompt_is_causal(model, length):
    tokens = torch.arange(3, 3 + length)[None]
    with torch.inference_mode():
        expected = model(tokens).logits
        with grouped_attention(model):
            found = model(tokens).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_without_a_mask_a_prompt_in_a_cache_is_continued(model):
    tokens = torch.arange(3, 23)[None]

    def answer():
        cache = transformers.DynamicCache(config=model.config)
        pieces = tokens.split([17, 1, 1, 1], dim=1)
        return torch.cat([model(piece, past_key_values=cache).logits for piece in pieces], dim=1)

    with torch.inference_mode():
        expected = answer()
        with grouped_attention(model):
            found = answer()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("scaling", [None, 0.5])
@pytest.mark.parametrize("boolean", [True, False])
def test_scaling_and_masks_of_either_kind_are_kept(queries, scaling, boolean):
    query = torch.randn(2, 6, queries, 8)
    key, value = torch.randn(2, 2, 9, 8), torch.randn(2, 2, 9, 8)
    seen = visible(queries, 9)
    mask = seen if boolean else torch.zeros(seen.shape).masked_fill(~seen, -1e30)
    found, weights = module.grouped_attention_forward(
        torch.nn.Module(), query, key, value, mask, scaling=scaling
    )
    expected = functional.scaled_dot_product_attention(
        query, key.repeat_interleave(3, 1), value.repeat_interleave(3, 1), mask, scale=scaling
    )
    assert weights is None
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected.transpose(1, 2))


def test_keys_and_values_are_not_copied_for_few_queries(monkeypatch):
    sizes = []
    sdpa = functional.scaled_dot_product_attention

    def spy(query, key, value, **kwargs):
        sizes.append((tuple(query.shape[1:3]), key.shape[1]))
        return sdpa(query, key, value, **kwargs)

    model = tiny_model(FAMILIES["Llama"])
    monkeypatch.setattr(functional, "scaled_dot_product_attention", spy)
    with grouped_attention(model):
        run(model, [5])
    assert sizes == [((2, 10), 2)] * 3


def test_a_mask_is_repeated_once_for_all_layers_and_let_go(monkeypatch):
    repeats = []
    repeat = torch.Tensor.repeat
    model = tiny_model(FAMILIES["Gemma 3"])
    monkeypatch.setattr(
        torch.Tensor, "repeat", lambda self, *sizes: repeats.append(sizes) or repeat(self, *sizes)
    )
    context = grouped_attention(model)
    for passes in (1, 2):
        with context:
            run(model, [5])
        assert repeats.count((1, 1, 2, 1)) == 2 * passes  # full and sliding
    assert module._repeated.masks is None


def test_the_model_is_as_it_was_also_after_a_failure():
    model = tiny_model(FAMILIES["Llama"])
    with grouped_attention(model):
        assert model.config._attn_implementation == NAME
    assert model.config._attn_implementation == "sdpa"
    with pytest.raises(IndexError), torch.inference_mode(), grouped_attention(model):
        model(torch.tensor([[10_000]]))
    assert model.config._attn_implementation == "sdpa"
    assert NAME not in model.config.to_json_string()


def test_eager_attention_stays():
    config = transformers.LlamaConfig(**SHAPE, num_key_value_heads=2)
    config._attn_implementation = "eager"
    model = tiny_model(config)
    with grouped_attention(model):
        assert model.config._attn_implementation == "eager"


def test_a_pass_of_another_thread_meanwhile_is_right():
    model = tiny_model(FAMILIES["Mistral"], scale=3.0)
    padded = torch.ones(2, 20, dtype=torch.long)
    padded[1, :6] = 0
    tokens = torch.arange(3, 43).reshape(2, 20)
    found = []

    def other():
        with torch.inference_mode():
            found.append(model(tokens, attention_mask=padded).logits)

    other()
    with grouped_attention(model):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    torch.testing.assert_close(found[1][padded > 0], found[0][padded > 0], atol=1e-5, rtol=1e-5)
