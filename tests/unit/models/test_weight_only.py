"""8-bit weights with bfloat16 inputs: near the plain weights, and each row for itself.

What they share with other prepared weights is in `test_weights`, on CPUs that have all of them.
"""

import copy

import pytest
import torch
import transformers
from torch import nn

from persona_judge_llm.errors import InvalidParameterError, UnsupportedModelError
from persona_judge_llm.models.weights import int8, prepare_weights, weight_only
from persona_judge_llm.models.weights.weight_only import WeightOnlyLinear
from persona_judge_llm.testing import tiny_model

DTYPES = [torch.float32, torch.bfloat16]
TOKENS = torch.arange(3, 33).reshape(2, 15)

pytestmark = pytest.mark.skipif(
    not weight_only.is_available(), reason="this CPU or torch has no such kernel"
)


@pytest.fixture
def without_exact_products(monkeypatch):
    monkeypatch.setattr(int8, "is_available", lambda: False)


def logits(model):
    with torch.inference_mode():
        return model(TOKENS).logits.float()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.usefixtures("without_exact_products")
def test_logits_are_near_those_of_plain_weights(dtype):
    # 72 columns are no whole number of the kernel's blocks.
    config = transformers.Qwen2Config(
        vocab_size=97, hidden_size=72, intermediate_size=100, num_hidden_layers=2,
        num_attention_heads=6, num_key_value_heads=2,
    )  # fmt: skip
    model = tiny_model(config, scale=2.0).to(dtype)
    plain = logits(model)
    assert prepare_weights(model, "int8") == "int8"
    assert sum(isinstance(m, WeightOnlyLinear) for m in model.modules()) == 2 * 7 + 1
    found = logits(model)
    assert 0 < (found - plain).std() < 0.1 * plain.std()
    assert (found.argmax(-1) == plain.argmax(-1)).float().mean() > 0.7


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(64,), (1, 64), (2, 5, 64), (1, 40, 64), (0, 64), (2, 64, 64)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_takes_inputs_of_any_shape(shape, dtype, bias):
    layer = nn.Linear(64, 33, bias=bias).to(dtype).requires_grad_(False)
    x = torch.randn(*shape).to(dtype)
    found = WeightOnlyLinear(layer.weight, layer.bias)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, layer(x), atol=5e-2, rtol=1e-2)


@pytest.mark.parametrize("columns", [1, 18, 63, 64, 65, 200])
def test_any_number_of_columns_is_computed(columns):
    layer = nn.Linear(columns, 7).requires_grad_(False)
    x = torch.randn(3, 2 * columns)[:, ::2]
    found = WeightOnlyLinear(layer.weight, layer.bias)(x)
    torch.testing.assert_close(found, layer(x), atol=5e-2, rtol=1e-2)


def test_a_row_does_not_depend_on_its_neighbours():
    layer = WeightOnlyLinear(torch.randn(48, 72), torch.randn(48))
    x = torch.randn(40, 72) * torch.logspace(-3, 3, 40)[:, None]
    together = layer(x)
    for rows in (1, 2, 3, 7, 16):
        assert torch.equal(torch.cat([layer(part) for part in x.split(rows)]), together)


def test_rows_of_zeros_and_bad_numbers_stay_what_they_are():
    weight = torch.randn(48, 64)
    weight[3] = 0
    x = torch.randn(3, 64)
    x[1] = 0
    x[2, 5] = torch.nan
    found = WeightOnlyLinear(weight, None)(x)
    assert torch.isfinite(found[:2]).all()
    assert (found[1] == 0).all()
    assert (found[0, 3] == 0).all()
    assert found[2].isnan().all()


@pytest.mark.usefixtures("without_exact_products")
def test_such_weights_are_neither_saved_nor_copied_but_can_be_read():
    model = tiny_model()
    expected = model.lm_head.weight.detach().clone()
    prepare_weights(model, "int8")
    assert (model.lm_head.weight - expected).abs().max() <= 0.02 * expected.abs().max()
    with pytest.raises(UnsupportedModelError, match="plain"):
        model.state_dict()
    with pytest.raises(UnsupportedModelError, match="copied"):
        copy.deepcopy(model)


@pytest.mark.usefixtures("without_exact_products")
def test_a_cpu_without_any_kernel_is_told_apart(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with pytest.raises(InvalidParameterError, match="kernels for 8-bit weights"):
        prepare_weights(tiny_model(), "int8")
