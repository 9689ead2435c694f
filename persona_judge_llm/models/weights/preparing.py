"""Choosing a form for the weights of a loaded model, and giving it to every linear layer."""

from collections import defaultdict
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.models.weights import half, int8, int8_parts, packed
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
            oneDNN, or keeps in half precision what that holds exactly, as the weights of a
            bfloat16 checkpoint, on a CPU that multiplies no bfloat16: the same results, faster.
            "int8" rounds them to 8 bits, a scale for each row: about half the time of bfloat16
            and somewhat different results. "auto" takes "packed" for a model on a CPU that gains
            from it, else "plain".

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
        _swap(model, packed_kind if weights == "packed" else lambda _: int8_kind())
    return weights


def packed_kind(weight: Tensor) -> type[PreparedLinear] | None:
    """Return the layer that holds a weight exactly and is best on this CPU; None if none is."""
    onednn = packed.PackedLinear if packed.is_available(weight.dtype) else None
    if onednn and weight.dtype == torch.bfloat16:
        return onednn
    return half.HalfLinear if half.is_available() and half.holds(weight) else onednn


def int8_kind() -> type[PreparedLinear] | None:
    """Return the layer with 8-bit weights that is best on this CPU; None where there is none."""
    if int8.is_available():
        return int8.Int8Linear
    return int8_parts.Int8PartsLinear if int8_parts.is_available() else None


def _gains_from_packing(model: PreTrainedModel) -> bool:
    layers = list(_places(model))
    if not layers or not _is_plain_on_cpu(model) or not _can_be_packed(layers):
        return False
    if sum(layer.weight.nbytes for layer in layers) < WORTHWHILE_BYTES:
        return False
    # Not the largest, which is the output layer: one of those that are many.
    typical = sorted(layers, key=lambda layer: layer.weight.nbytes)[len(layers) // 2]
    kind = packed_kind(typical.weight)
    return kind is not None and not is_slower(kind(typical.weight, typical.bias), typical)


def _can_be_packed(layers: list[nn.Linear]) -> bool:
    return half.is_available() or all(packed.is_available(layer.weight.dtype) for layer in layers)


def _check(model: PreTrainedModel, weights: WeightFormat) -> None:
    if not _is_plain_on_cpu(model):
        raise InvalidParameterError(
            "weights",
            weights,
            "'auto' or 'plain' for a model that is quantised, prepared before, or not on the CPU",
        )
    layers = list(_places(model))
    if weights == "packed" and not _can_be_packed(layers):
        dtypes = {layer.weight.dtype for layer in layers}
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


def _swap(model: nn.Module, kind_for: Callable[[Tensor], type[PreparedLinear] | None]) -> None:
    places = _places(model)
    while places:  # emptied on the way, so that each plain weight is freed before the next
        layer, held_at = places.popitem()
        if kind := kind_for(layer.weight):
            prepared = kind(layer.weight, layer.bias).train(layer.training)
            for parent, name in held_at:
                setattr(parent, name, prepared)
        del layer
