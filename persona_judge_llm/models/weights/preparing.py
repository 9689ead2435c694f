"""Choosing a form for the weights of a loaded model, and giving it to every linear layer."""

from collections import defaultdict
from typing import Literal, TypeAlias, get_args

import torch
from torch import nn
from transformers import PreTrainedModel

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.models.weights import int8, packed, weight_only
from persona_judge_llm.models.weights.linear import PreparedLinear
from persona_judge_llm.models.weights.trial import is_slower

WeightFormat: TypeAlias = Literal["auto", "plain", "packed", "int8"]
Place: TypeAlias = tuple[nn.Module, str]

WORTHWHILE_BYTES = 64 * 2**20
"""Weights that stay in a CPU's caches gain too little to be prepared unasked."""


def prepare_weights(model: PreTrainedModel, weights: WeightFormat = "auto") -> WeightFormat:
    """Change a model's linear layers, in place, to weights that are fast with few rows.

    The plain weights are freed, layer by layer; that of an embedding tied to the output layer
    stays for the embedding. The model must not be trained, moved or converted afterwards.

    Args:
        model: a loaded model that the caller owns.
        weights: "plain" changes nothing. "packed" rearranges float32 or bfloat16 weights for
            oneDNN: the same results, faster. "int8" rounds them to 8 bits, a scale for each row:
            about half the time of bfloat16 and somewhat different results; without exact 8-bit
            products (AVX2 alone) inputs are bfloat16. "auto" takes "packed"
            for a model on a CPU that gains from it, else "plain".

    Returns:
        What was done: "plain", "packed" or "int8".

    Raises:
        InvalidParameterError: an unknown name, or a form that this model, CPU or build of torch
            cannot have.
    """
    if weights not in get_args(WeightFormat):
        raise InvalidParameterError("weights", weights, f"one of {get_args(WeightFormat)}")
    if weights == "auto":
        weights = "packed" if _gains_from_packing(model) else "plain"
    if weights != "plain":
        _check(model, weights)
        kind = packed.PackedLinear if weights == "packed" else int8_kind()
        if kind is None:
            raise AssertionError("checked above")
        _swap(model, kind)
    return weights


def int8_kind() -> type[PreparedLinear] | None:
    """Return the layer with 8-bit weights that is best on this CPU; None where there is none."""
    if int8.is_available():
        return int8.Int8Linear
    return weight_only.WeightOnlyLinear if weight_only.is_available() else None


def _gains_from_packing(model: PreTrainedModel) -> bool:
    layers = list(_places(model))
    if not _is_plain_on_cpu(model) or not all(packed.is_available(d) for d in _dtypes(layers)):
        return False
    if not layers or sum(layer.weight.nbytes for layer in layers) < WORTHWHILE_BYTES:
        return False
    # Not the largest, which is the output layer: one of those that are many.
    typical = sorted(layers, key=lambda layer: layer.weight.nbytes)[len(layers) // 2]
    return not is_slower(packed.PackedLinear(typical.weight, typical.bias), typical)


def _check(model: PreTrainedModel, weights: WeightFormat) -> None:
    if not _is_plain_on_cpu(model):
        raise InvalidParameterError(
            "weights",
            weights,
            "'auto' or 'plain' for a model that is quantised, prepared before, or not on the CPU",
        )
    dtypes = _dtypes(list(_places(model)))
    if weights == "packed" and not all(packed.is_available(dtype) for dtype in dtypes):
        raise InvalidParameterError(
            "weights", weights, f"'plain' where {dtypes} has no packed form (this CPU and torch)"
        )
    if weights == "int8" and int8_kind() is None:
        raise InvalidParameterError(
            "weights", weights, "'packed' or 'plain' on a CPU without kernels for 8-bit weights"
        )


def _is_plain_on_cpu(model: PreTrainedModel) -> bool:
    if getattr(model, "is_quantized", False):
        return False
    if any(isinstance(layer, PreparedLinear) for layer in model.modules()):
        return False
    return all(parameter.device.type == "cpu" for parameter in model.parameters())


def _dtypes(layers: list[nn.Linear]) -> set[torch.dtype]:
    return {layer.weight.dtype for layer in layers}


def _places(model: nn.Module) -> dict[nn.Linear, list[Place]]:
    """Return where each linear layer is, once for every module that holds it.

    Subclasses are other things (adapters, quantised layers), and so is a layer with hooks.
    """
    places: dict[nn.Linear, list[Place]] = defaultdict(list)
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Linear and not _is_hooked(child):
                places[child].append((parent, name))
    return places


def _is_hooked(layer: nn.Linear) -> bool:
    hooks = (layer._forward_hooks, layer._forward_pre_hooks)  # noqa: SLF001
    return any(hooks) or hasattr(layer, "_hf_hook")


def _swap(model: nn.Module, kind: type[PreparedLinear]) -> None:
    places = _places(model)
    while places:  # emptied on the way, so that each plain weight is freed before the next
        layer, held_at = places.popitem()
        prepared = kind(layer.weight, layer.bias).train(layer.training)
        for parent, name in held_at:
            setattr(parent, name, prepared)
        del layer
