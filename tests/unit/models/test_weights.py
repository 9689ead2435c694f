"""Prepared weights: the plain layer's results, who gets them, and what is refused."""

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional

from persona_judge_llm.errors import InvalidParameterError, UnsupportedModelError
from persona_judge_llm.models.weights import half, int8, packed, prepare_weights, preparing, trial
from persona_judge_llm.models.weights.int8 import Int8Linear
from persona_judge_llm.models.weights.linear import PreparedLinear
from persona_judge_llm.models.weights.packed import PackedLinear
from persona_judge_llm.testing import tiny_model

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {
    "Llama": transformers.LlamaConfig(**SHAPE),
    "Llama, tied": transformers.LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "Qwen2": transformers.Qwen2Config(**SHAPE),
    "Gemma 2": transformers.Gemma2Config(**SHAPE, head_dim=16),
    "Mixtral": transformers.MixtralConfig(**SHAPE, num_local_experts=3),
    "GPT-2": transformers.GPT2Config(
        vocab_size=97, n_embd=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2
    ),
    "Bloom": transformers.BloomConfig(vocab_size=97, hidden_size=64, n_layer=2, n_head=4),
    "Falcon": transformers.FalconConfig(
        vocab_size=97, hidden_size=64, num_hidden_layers=2, num_attention_heads=4
    ),
    "Mamba": transformers.MambaConfig(
        vocab_size=97, hidden_size=64, num_hidden_layers=2, state_size=8
    ),
}  # fmt: skip
TOKENS = torch.arange(3, 33).reshape(2, 15)
DTYPES = [torch.float32, torch.bfloat16]
SHAPES = [(64,), (1, 64), (3, 64), (2, 5, 64), (1, 40, 64)]
NOT_HERE = "this CPU or torch has no such kernels"
PACKED = [
    pytest.param(dtype, marks=pytest.mark.skipif(not packed.is_available(dtype), reason=NOT_HERE))
    for dtype in DTYPES
]
exact_int8 = pytest.mark.skipif(not int8.is_available(), reason=NOT_HERE)


def logits(model):
    with torch.inference_mode():
        found: torch.Tensor = model(TOKENS).logits
    return found.float()


@pytest.fixture
def model():
    return tiny_model(FAMILIES["Qwen2"])


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_float32_gives_the_same_logits(family):
    model = tiny_model(FAMILIES[family], scale=2.0)
    plain = logits(model)
    assert prepare_weights(model, "packed") == "packed"
    assert not any(type(layer) is nn.Linear for layer in model.modules())
    torch.testing.assert_close(logits(model), plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_bfloat16_is_no_further_from_the_truth_than_plain(family):
    model = tiny_model(FAMILIES[family], scale=2.0).bfloat16()
    truth = logits(copy.deepcopy(model).float())
    plain = (logits(model) - truth).abs().mean()
    prepare_weights(model, "packed")
    assert (logits(model) - truth).abs().mean() < 1.5 * plain + 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_int8_logits_are_near(family, dtype):
    model = tiny_model(FAMILIES[family], scale=2.0).to(dtype)
    plain = logits(model)
    assert prepare_weights(model, "int8") == "int8"
    found = logits(model)
    tolerance = 0.2 if family == "Mamba" else 0.1  # a recurrence amplifies
    assert (found - plain).std() < tolerance * plain.std()
    assert (found.argmax(-1) == plain.argmax(-1)).float().mean() > 0.7


def close_to_plain(kind, shape, dtype, *, bias, tolerance):
    layer = nn.Linear(64, 33, bias=bias).to(dtype).requires_grad_(False)
    x = torch.randn(*shape).to(dtype)
    found = kind(layer.weight, layer.bias)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, layer(x), atol=tolerance, rtol=1e-2)


@pytest.mark.parametrize("dtype", PACKED)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_takes_inputs_of_any_shape(shape, dtype, bias):
    close_to_plain(PackedLinear, shape, dtype, bias=bias, tolerance=1e-2)


@exact_int8
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_an_int8_layer_takes_inputs_of_any_shape(shape, dtype, bias):
    close_to_plain(Int8Linear, shape, dtype, bias=bias, tolerance=5e-2)


@pytest.mark.parametrize("kind", [PackedLinear, pytest.param(Int8Linear, marks=exact_int8)])
def test_a_layer_takes_a_part_of_a_tensor(kind):
    layer = nn.Linear(64, 33).requires_grad_(False)
    x = torch.randn(2, 9, 128)[:, -3:, ::2]
    found = kind(layer.weight, layer.bias)(x)
    torch.testing.assert_close(found, layer(x), atol=5e-2, rtol=1e-2)


@exact_int8
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_int8_row_does_not_depend_on_its_neighbours(dtype):
    layer = Int8Linear(torch.randn(48, 64).to(dtype), torch.randn(48).to(dtype))
    x = (torch.randn(40, 64) * torch.logspace(-3, 3, 40)[:, None]).to(dtype)
    together = layer(x)
    for rows in (1, 2, 3, 7, 16):
        assert torch.equal(torch.cat([layer(part) for part in x.split(rows)]), together)


@pytest.mark.parametrize("dtype", PACKED)
def test_a_packed_row_alone_goes_the_way_of_rows_in_a_batch(dtype):
    layer = PackedLinear((torch.randn(64, 4864) * 0.02).to(dtype), None)
    x = torch.randn(1, 4864).to(dtype)
    in_a_batch = layer(torch.cat([x, torch.zeros(3, 4864, dtype=dtype)]))[:1]
    torch.testing.assert_close(layer(x), in_a_batch, atol=1e-6, rtol=1e-6)


@exact_int8
def test_int8_rows_of_zeros_and_bad_numbers_stay_what_they_are():
    weight = torch.randn(48, 64)
    weight[3] = 0
    layer = Int8Linear(weight, None)
    x = torch.randn(4, 64)
    x[1] = 0
    x[2, 5] = torch.nan
    x[3, 5] = torch.inf
    found = layer(x)
    assert torch.isfinite(found[:2]).all()
    assert (found[1] == 0).all()
    assert (found[0, 3] == 0).all()
    assert found[2].isnan().all()
    assert not torch.isfinite(found[3]).any()


@pytest.mark.parametrize("weights", ["packed", "int8"])
def test_plain_weights_are_freed_except_a_tied_embedding(weights):
    model = tiny_model(FAMILIES["Llama, tied"])
    freed = [
        weakref.ref(layer.weight) for layer in model.model.modules() if type(layer) is nn.Linear
    ]
    embedding = model.get_input_embeddings().weight
    before = embedding.clone()
    prepare_weights(model, weights)
    gc.collect()
    assert freed
    assert all(weight() is None for weight in freed)
    assert model.get_input_embeddings().weight is embedding
    assert torch.equal(embedding, before)
    assert isinstance(model.get_output_embeddings(), PreparedLinear)


def test_a_layer_held_in_two_places_is_prepared_once(model):
    first, second = model.model.layers
    second.mlp.up_proj = first.mlp.up_proj
    plain = logits(model)
    prepare_weights(model, "packed")
    assert first.mlp.up_proj is second.mlp.up_proj
    torch.testing.assert_close(logits(model), plain, atol=1e-4, rtol=1e-4)


def test_layers_with_hooks_and_subclasses_are_left_alone(model):
    class Adapted(nn.Linear):
        pass

    mlp = model.model.layers[0].mlp
    mlp.up_proj.register_forward_hook(lambda *_: None)
    mlp.gate_proj = Adapted(64, 128, bias=False)
    prepare_weights(model, "packed")
    assert type(mlp.up_proj) is nn.Linear
    assert type(mlp.gate_proj) is Adapted
    assert type(mlp.down_proj) is PackedLinear


def test_plain_changes_nothing(model):
    layers = list(model.modules())
    assert prepare_weights(model, "plain") == "plain"
    assert list(model.modules()) == layers


def test_auto_leaves_small_models_alone_and_packs_large_ones(model, monkeypatch):
    assert prepare_weights(model) == "plain"
    monkeypatch.setattr(preparing, "WORTHWHILE_BYTES", 0)
    monkeypatch.setattr(preparing, "is_slower", lambda layer, than: True)
    assert prepare_weights(model, "auto") == "plain"
    monkeypatch.setattr(preparing, "is_slower", lambda layer, than: False)
    assert prepare_weights(model, "auto") == "packed"


def test_a_model_is_prepared_once(model):
    prepare_weights(model, "packed")
    assert prepare_weights(model, "auto") == "plain"
    with pytest.raises(InvalidParameterError, match="prepared before"):
        prepare_weights(model, "int8")


def test_auto_leaves_what_cannot_be_packed(model, monkeypatch):
    monkeypatch.setattr(half, "is_available", lambda: False)
    monkeypatch.setattr(preparing, "WORTHWHILE_BYTES", 0)
    assert prepare_weights(model.half(), "auto") == "plain"
    assert prepare_weights(model.to("meta"), "auto") == "plain"


@pytest.mark.parametrize("seconds", [(1.0, 1.0), (1.4, 1.0)])
def test_nearly_equal_times_are_not_slower(seconds, monkeypatch):
    found = iter(seconds)
    monkeypatch.setattr(trial, "_seconds", lambda layer, x: next(found))
    layer = nn.Linear(2, 2)
    assert not trial.is_slower(layer, layer)


def test_a_layer_that_takes_clearly_longer_is_slower():
    small, large = nn.Linear(64, 8), nn.Linear(64, 200_000)
    assert trial.is_slower(large, small)
    assert not trial.is_slower(small, large)


@pytest.mark.parametrize("weights", ["int4", None, "PACKED"])
def test_unknown_names_are_refused(model, weights):
    with pytest.raises(InvalidParameterError, match="weights"):
        prepare_weights(model, weights)


@pytest.mark.parametrize("weights", ["packed", "int8"])
def test_models_elsewhere_are_refused(model, weights):
    with pytest.raises(InvalidParameterError, match="CPU"):
        prepare_weights(model.to("meta"), weights)


def test_dtypes_without_packed_form_are_refused(model, monkeypatch):
    monkeypatch.setattr(half, "is_available", lambda: False)
    with pytest.raises(InvalidParameterError, match="float16"):
        prepare_weights(model.half(), "packed")


@pytest.mark.parametrize("weights", ["packed", "int8"])
def test_a_build_without_the_kernels_is_told_apart(model, weights, monkeypatch):
    for name in ("mkldnn", "onednn", "quantized"):
        monkeypatch.setattr(torch.ops, name, object())
    assert not packed.is_available(torch.float32)
    assert not int8.is_available()
    with pytest.raises(InvalidParameterError, match="weights"):
        prepare_weights(model, weights)


def test_packed_weights_can_be_saved_copied_and_pickled(model, tmp_path):
    plain = model.state_dict()
    expected = logits(model)
    prepare_weights(model, "packed")
    saved = model.state_dict()
    assert saved.keys() == plain.keys()
    assert all(torch.equal(saved[name], plain[name]) for name in plain)
    model.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(loaded), expected)
    torch.testing.assert_close(logits(copy.deepcopy(model)), expected, atol=1e-4, rtol=1e-4)


def test_int8_weights_are_neither_saved_nor_copied(model):
    prepare_weights(model, "int8")
    with pytest.raises(UnsupportedModelError, match="plain"):
        model.state_dict()
    with pytest.raises(UnsupportedModelError, match="copied"):
        copy.deepcopy(model)


@pytest.mark.parametrize("weights", ["packed", "int8"])
def test_a_prepared_model_stays_where_it_is(model, weights):
    prepare_weights(model, weights)
    model.to("cpu", torch.float32)
    with pytest.raises(UnsupportedModelError, match="plain"):
        model.bfloat16()
    with pytest.raises(UnsupportedModelError, match="plain"):
        model.lm_head.to("meta")


@pytest.mark.parametrize(("weights", "error"), [("packed", 0.0), ("int8", 0.02)])
def test_the_plain_weight_can_be_read(model, weights, error):
    expected = model.lm_head.weight.detach().clone()
    prepare_weights(model, weights)
    assert (model.lm_head.weight - expected).abs().max() <= error * expected.abs().max()
    assert functional.linear(torch.ones(64), model.lm_head.weight).shape == (97,)
    assert "out_features=97" in repr(model)
