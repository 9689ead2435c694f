"""Weights in half precision: exactly those that it holds, and each row for itself."""

import copy
import pickle

import pytest
import torch
from torch import nn

from persona_judge_llm.models.weights import half, packed, prepare_weights, preparing
from persona_judge_llm.models.weights.half import HalfLinear, holds
from persona_judge_llm.models.weights.packed import PackedLinear
from persona_judge_llm.testing import tiny_model

DTYPES = [torch.float32, torch.bfloat16, torch.float16]

pytestmark = pytest.mark.skipif(
    not half.is_available(), reason="this CPU or torch has no such kernels"
)


@pytest.mark.parametrize("factor", [1.0, 2.0**-40, 2.0**80])
def test_a_checkpoint_in_bfloat16_is_held_exactly(factor):
    weight = (torch.randn(300, 200) * 0.02).bfloat16().float() * factor
    weight[3, :50] *= 2.0**-14  # what half precision would round without the scale
    assert holds(weight)
    layer = HalfLinear(weight, None)
    assert torch.equal(layer.weight, weight)
    x = torch.randn(4, 200)
    truth = x.double() @ weight.double().T
    assert ((layer(x) - truth).abs().amax() < 1e-6 * weight.abs().max() * 200).all()


def test_what_would_be_rounded_is_not_held():
    weight = torch.randn(9000, 8).bfloat16().float()
    assert holds(weight)
    assert holds(weight.half())
    weight[8999, 7] = 1 + 2**-13
    assert not holds(weight)
    assert not holds(torch.randn(20, 8))
    assert not holds(weight * 2.0**-125)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_is_not_held(bad):
    weight = torch.ones(4, 4)
    weight[2, 1] = bad
    assert not holds(weight)
    assert not holds(torch.empty(4, 0))


def test_a_weight_of_zeros_is_held():
    assert holds(torch.zeros(3, 5))
    bias = torch.randn(3)
    assert torch.equal(HalfLinear(torch.zeros(3, 5), bias)(torch.randn(2, 5)), bias.expand(2, 3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(64,), (1, 64), (2, 5, 64), (1, 40, 64), (0, 64), (2, 64, 64)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_takes_inputs_of_any_shape(shape, dtype, bias):
    layer = nn.Linear(64, 33, bias=bias).bfloat16().to(dtype).requires_grad_(False)
    x = torch.randn(*shape).to(dtype)
    found = HalfLinear(layer.weight, layer.bias)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, layer(x))


@pytest.mark.parametrize(("out", "columns"), [(1, 1), (7, 5), (33, 4865), (48, 896), (16, 300)])
def test_a_row_does_not_depend_on_its_neighbours(out, columns):
    layer = HalfLinear(torch.randn(out, columns).bfloat16().float(), torch.randn(out))
    x = torch.randn(260, 2 * columns)[:, ::2]
    together = layer(x)
    for rows in range(1, 150):
        assert torch.equal(layer(x[-rows:]), together[-rows:])
    assert torch.equal(torch.cat([layer(row) for row in x[:40].split(1)]), together[:40])


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_can_be_saved_copied_and_pickled(dtype):
    layer = nn.Linear(64, 33).bfloat16().to(dtype).requires_grad_(False)
    made = HalfLinear(layer.weight, layer.bias)
    x = torch.randn(3, 64).to(dtype)
    for copied in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(copied(x), made(x))
        for name, saved in copied.state_dict().items():
            assert torch.equal(saved, layer.state_dict()[name])
            assert saved.dtype == dtype


def test_each_layer_takes_the_form_that_is_exact_for_it():
    model = tiny_model().bfloat16().float()
    nn.init.normal_(model.model.layers[0].mlp.up_proj.weight)
    expected = copy.deepcopy(model.state_dict())
    assert prepare_weights(model, "packed") == "packed"
    assert type(model.model.layers[0].mlp.up_proj) is PackedLinear
    assert type(model.model.layers[1].mlp.up_proj) is HalfLinear
    assert all(torch.equal(expected[name], saved) for name, saved in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_auto_takes_it_where_a_dtype_has_no_other_form(dtype, monkeypatch):
    monkeypatch.setattr(packed, "is_available", lambda dtype: dtype == torch.float32)
    monkeypatch.setattr(preparing, "WORTHWHILE_BYTES", 0)
    monkeypatch.setattr(preparing, "is_slower", lambda layer, than: False)
    model = tiny_model().to(dtype)
    model.lm_head.weight.data[0, 0] = torch.nan
    assert prepare_weights(model) == "packed"
    assert type(model.model.layers[0].mlp.up_proj) is HalfLinear
    assert type(model.lm_head) is nn.Linear  # nothing holds it, so it stays


@pytest.mark.parametrize("engine", ["qnnpack", "onednn"])
def test_another_quantisation_engine_is_told_apart(engine):
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        assert not half.is_available()
        assert preparing.packed_kind(torch.ones(4, 4)) is PackedLinear
    finally:
        torch.backends.quantized.engine = before


def test_a_cpu_without_the_instructions_is_told_apart(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert not half.is_available()
    assert preparing.packed_kind(torch.ones(4, 4)) is PackedLinear
