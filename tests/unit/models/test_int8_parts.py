"""8-bit weights and inputs in two parts: near the plain weights, and each row for itself.

What they share with other prepared weights is in `test_weights`.
"""

import subprocess
import sys

import pytest
import torch
import transformers
from torch import nn

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.models.weights import int8, int8_parts, prepare_weights
from persona_judge_llm.models.weights.int8_parts import Int8PartsLinear
from persona_judge_llm.testing import tiny_model

DTYPES = [torch.float32, torch.bfloat16]
TOKENS = torch.arange(3, 33).reshape(2, 15)

pytestmark = pytest.mark.skipif(
    not int8_parts.is_available(), reason="this CPU or torch has no such kernel"
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
    config = transformers.Qwen2Config(
        vocab_size=97, hidden_size=72, intermediate_size=100, num_hidden_layers=2,
        num_attention_heads=6, num_key_value_heads=2,
    )  # fmt: skip
    model = tiny_model(config, scale=2.0).to(dtype)
    plain = logits(model)
    assert prepare_weights(model, "int8") == "int8"
    assert sum(isinstance(m, Int8PartsLinear) for m in model.modules()) == 2 * 7 + 1
    found = logits(model)
    assert 0 < (found - plain).std() < 0.1 * plain.std()
    assert (found.argmax(-1) == plain.argmax(-1)).float().mean() > 0.7


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(64,), (1, 64), (2, 5, 64), (1, 40, 64), (0, 64), (2, 64, 64)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_takes_inputs_of_any_shape(shape, dtype, bias):
    layer = nn.Linear(64, 33, bias=bias).to(dtype).requires_grad_(False)
    x = torch.randn(*shape).to(dtype)
    found = Int8PartsLinear(layer.weight, layer.bias)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, layer(x), atol=5e-2, rtol=1e-2)


@pytest.mark.parametrize("columns", [1, 18, 63, 64, 65, 200])
def test_any_number_of_columns_is_computed(columns):
    layer = nn.Linear(columns, 7).requires_grad_(False)
    x = torch.randn(3, 2 * columns)[:, ::2]
    found = Int8PartsLinear(layer.weight, layer.bias)(x)
    torch.testing.assert_close(found, layer(x), atol=5e-2, rtol=1e-2)


def test_inputs_lose_next_to_nothing():
    layer = Int8PartsLinear(torch.randn(200, 896), torch.randn(200))
    x = torch.randn(5, 896) * torch.logspace(-4, 4, 5)[:, None]
    truth = x @ layer.weight.T + layer.bias
    # 14 bits of the largest of a row's numbers, each rounded by chance up or down.
    tolerance = x.abs().amax(-1) * 2**-14 * layer.weight.norm(dim=1).max()
    assert ((layer(x) - truth).abs().amax(-1) < 3 * tolerance).all()


def test_the_largest_products_are_exact():
    layer = Int8PartsLinear(torch.full((16, 4864), 127.0), None)
    x = torch.full((2, 4864), 64.0)
    x[1] *= -1
    assert torch.equal(layer(x), x[:, :1].expand(-1, 16) * 127 * 4864)


def test_a_row_does_not_depend_on_its_neighbours():
    layer = Int8PartsLinear(torch.randn(48, 72), torch.randn(48))
    x = torch.randn(40, 72) * torch.logspace(-3, 3, 40)[:, None]
    together = layer(x)
    for rows in (1, 2, 3, 7, 16):
        assert torch.equal(torch.cat([layer(part) for part in x.split(rows)]), together)


def test_rows_of_zeros_and_bad_numbers_stay_what_they_are():
    weight = torch.randn(48, 64)
    weight[3] = 0
    x = torch.randn(4, 64)
    x[1] = 0
    x[2, 5] = torch.nan
    x[3, 5] = torch.inf
    found = Int8PartsLinear(weight, None)(x)
    assert torch.isfinite(found[:2]).all()
    assert (found[1] == 0).all()
    assert (found[0, 3] == 0).all()
    assert found[2].isnan().all()
    assert not torch.isfinite(found[3]).any()


@pytest.mark.usefixtures("without_exact_products")
@pytest.mark.parametrize(
    "name", ["linear_prepack", "linear_with_input_q_dq_qweight_dq_output_fp32"]
)
def test_a_build_without_the_kernels_is_told_apart(name, monkeypatch):
    class Others:
        def __getattr__(self, asked):
            if asked == name:
                raise AttributeError(asked)
            return getattr(kept, asked)

    kept = torch.ops.quantized
    monkeypatch.setattr(torch.ops, "quantized", Others())
    with pytest.raises(InvalidParameterError, match="kernels for 8-bit weights"):
        prepare_weights(tiny_model(), "int8")


def test_nothing_is_said_about_tensors_that_torch_is_to_drop():
    made_first = (  # torch says it once in a process
        "import warnings, torch\n"
        "from persona_judge_llm.models.weights.int8_parts import Int8PartsLinear\n"
        "warnings.simplefilter('error')\n"
        "Int8PartsLinear(torch.randn(48, 64), None)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", made_first], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
