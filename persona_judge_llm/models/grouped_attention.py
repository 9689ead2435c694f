"""Attention of few queries over grouped keys and values, without a copy for every query head.

Where several query heads share a key-value head, transformers' `sdpa` repeats keys and values
for each as soon as a mask has more than one query; at long contexts that is most of a step. The
heads of a group ask the same keys and values, and so can stand in one line as more queries.
"""

import threading
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "persona_judge_grouped"
MOST_QUERIES = 32
"""With more, the scores cost so much that copies of keys and values no longer matter."""

_repeated = threading.local()  # .masks: masks of the running pass, by identity


def grouped_attention_forward(  # noqa: PLR0917  # transformers dictates the signature
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,  # noqa: FBT001
    **kwargs: Any,  # noqa: ANN401
) -> tuple[Tensor, None]:
    """Do what transformers' `sdpa_attention_forward` does; other than it only with few queries.

    Args:
        module: the attention layer.
        query: [batch, heads, queries, dim].
        key: [batch, key-value heads, slots, dim].
        value: as `key`.
        attention_mask: [batch, 1, queries, slots], additive or boolean; None for causal.
        dropout: passed on.
        scaling: of the scores; None for 1 / sqrt(dim).
        is_causal: passed on.
        kwargs: passed on.

    Returns:
        [batch, queries, heads, dim], and None for the attention weights.
    """
    heads, queries = query.shape[1:3]
    groups = heads // key.shape[1]
    if not _is_groupable(query, groups, attention_mask, kwargs):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs
        )
    found = nn.functional.scaled_dot_product_attention(
        query.reshape(query.shape[0], -1, groups * queries, query.shape[3]),
        key,
        value,
        attn_mask=_for_all_heads(attention_mask, groups),
        dropout_p=dropout,
        scale=scaling,
    )
    found = found.reshape(query.shape[0], heads, queries, value.shape[3])
    return found.transpose(1, 2).contiguous(), None


def _is_groupable(query: Tensor, groups: int, mask: Tensor | None, kwargs: dict[str, Any]) -> bool:
    if groups == 1 or query.shape[2] > MOST_QUERIES:
        return False
    if any(kwargs.get(name) is not None for name in ("position_bias", "cache", "softcap")):
        return False
    if mask is None:  # then causal, which in one line of all heads only one query is
        return query.shape[2] == 1
    return mask.dim() == 4 and mask.shape[1] == 1 and mask.shape[2] == query.shape[2]  # noqa: PLR2004


def _for_all_heads(mask: Tensor | None, groups: int) -> Tensor | None:
    """Return the mask once for each head of a group; made once in a pass, not in each layer."""
    if mask is None or mask.shape[2] == 1:
        return mask
    masks: dict[int, tuple[Tensor, Tensor]] | None = getattr(_repeated, "masks", None)
    if masks is None:
        return mask.repeat(1, 1, groups, 1)
    if id(mask) not in masks:
        # The mask itself is kept too, so that no other can get its id.
        masks[id(mask)] = mask, mask.repeat(1, 1, groups, 1)
    return masks[id(mask)][1]


class GroupedAttention:
    """Grouped attention for passes of one model, while entered; `eager` layers stay as they are.

    The model is as it was after each pass. A pass of another thread meanwhile is right as well:
    the name is registered, and what it stands for does what `sdpa` does.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        AttentionInterface.register(NAME, grouped_attention_forward)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        configs = {id(config): config for config in map(_config, model.modules())}
        self._configs: list[Any] = [
            c for c in configs.values() if _implementation(c) in {"sdpa", NAME}
        ]

    def __enter__(self) -> None:
        _repeated.masks = {}
        self._set(NAME)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._set("sdpa")
        _repeated.masks = None

    def _set(self, name: str) -> None:
        for config in self._configs:
            config._attn_implementation_internal = name  # noqa: SLF001  # the setter is recursive


def _config(module: nn.Module) -> object:
    return getattr(module, "config", None)


def _implementation(config: object) -> object:
    return getattr(config, "_attn_implementation", None)


def grouped_attention(model: PreTrainedModel) -> GroupedAttention:
    """Return a context manager to run a model's passes in, one at a time, any number of times."""
    return GroupedAttention(model)
