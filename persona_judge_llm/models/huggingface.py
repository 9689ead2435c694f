"""The adapter to Hugging Face causal models, and its two kinds of context.

Attention models run all rows in one forward pass over a slot cache. Models whose memory is of
another kind (state-space layers, ALiBi, attention kernels without masks) run row by row with the
memory that transformers gives them; they cannot rewind.
"""

import inspect
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from persona_judge_llm.errors import UnsupportedModelError
from persona_judge_llm.models.slots import SlotCache, Slots, attention_mask

_MASKED_ATTENTION = {"sdpa", "eager"}


class HuggingFaceModel:
    """A `LanguageModel` over a loaded `PreTrainedModel`.

    Forward passes of all contexts take turns under one lock: threads that decode at once would
    otherwise compete for the same cores or the same device.

    Raises:
        UnsupportedModelError: not a causal decoder.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        if getattr(model.config, "is_encoder_decoder", False) or not model.can_generate():
            raise UnsupportedModelError(
                f"{type(model).__name__} is not a causal language model; "
                "load one with AutoModelForCausalLM"
            )
        self.model = model.eval()
        self.config = model.config.get_text_config()
        self.lock = threading.Lock()
        self._parameters = inspect.signature(model.forward).parameters
        self.is_stateful = bool(getattr(model, "_is_stateful", False))
        self._layer_types = set(getattr(self.config, "layer_types", None) or ())
        self.uses_slots = self._can_use_slots()

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        head: Any = self.model.get_output_embeddings()
        return int(head.weight.shape[0])

    @property
    def context_window(self) -> int | None:
        """The config's `max_position_embeddings`; None where the model has no such limit."""
        limit = getattr(self.config, "max_position_embeddings", None)
        return int(limit) if limit else None

    @property
    def device(self) -> torch.device:
        """Where the embeddings are."""
        embeddings: Any = self.model.get_input_embeddings()
        return torch.device(embeddings.weight.device)

    @property
    def can_rewind(self) -> bool:
        """True for attention models."""
        return self.uses_slots

    def open(self, num_rows: int) -> "SlotContext | SeparateContext":
        """Return a new, empty context."""
        return SlotContext(self, num_rows) if self.uses_slots else SeparateContext(self, num_rows)

    def _can_use_slots(self) -> bool:
        return (
            {"position_ids", "attention_mask", "past_key_values"} <= set(self._parameters)
            and not self.is_stateful
            and not getattr(self.config, "alibi", False)
            and self._layer_types <= {"full_attention", "sliding_attention"}
            and self.config._attn_implementation in _MASKED_ATTENTION  # noqa: SLF001
        )

    def masks(self, slots: Slots) -> Tensor | dict[str, Tensor]:
        """Return the masks of a pass in the form that the model's forward takes."""
        dtype = self.model.dtype
        window = getattr(self.config, "sliding_window", None)
        if "sliding_attention" in self._layer_types:
            return {
                "full_attention": attention_mask(slots, dtype),
                "sliding_attention": attention_mask(slots, dtype, window),
            }
        # Without layer types, a window (Mistral) holds for every layer.
        return attention_mask(slots, dtype, None if self._layer_types else window)

    def forward(self, last: int, **inputs: Any) -> tuple[Tensor, Any]:  # noqa: ANN401
        """Run one pass; return the logits of the last positions, and the outputs."""
        if "logits_to_keep" in self._parameters:
            inputs["logits_to_keep"] = last
        with self.lock, torch.inference_mode():
            outputs = self.model(use_cache=True, **inputs)
        return outputs.logits[:, -last:], outputs


class SlotContext:
    """Rows in one slot cache, extended by one forward pass."""

    def __init__(self, model: HuggingFaceModel, num_rows: int) -> None:
        self._model = model
        self._slots = Slots(lengths=[0] * num_rows)
        self._cache = SlotCache(model.config.num_hidden_layers, self._slots)

    def extend(self, tokens: Tensor, counts: Sequence[int] | None = None, last: int = 1) -> Tensor:
        """Append tokens to every row; see `Context.extend`."""
        if counts is None or min(counts) == max(counts):
            return self._pass(tokens[:, : counts[0] if counts else None], None, last)
        # Rows end in different places, and logits of all those places for all rows would be
        # large: first whatever comes before the last tokens, then the last tokens in a line.
        early = [count - last for count in counts]
        self._pass(tokens[:, : max(early)], early, 1)
        places = torch.tensor(early, device=tokens.device)[:, None]
        places = places + torch.arange(last, device=tokens.device)
        return self._pass(tokens.gather(1, places), None, last)

    def _pass(self, tokens: Tensor, counts: Sequence[int] | None, last: int) -> Tensor:
        rows, width = tokens.shape
        slots = self._slots
        slots.place(width, tokens.device)
        logits, _ = self._model.forward(
            last,
            input_ids=tokens,
            position_ids=slots.positions,
            attention_mask=self._model.masks(slots),
            past_key_values=self._cache,
        )
        slots.width = 0
        given = [width] * rows if counts is None else counts
        slots.lengths = [n + count for n, count in zip(slots.lengths, given, strict=True)]
        return logits

    def rewind(self, counts: Sequence[int]) -> None:
        """Forget the last tokens of each row."""
        slots = self._slots
        slots.lengths = [n - count for n, count in zip(slots.lengths, counts, strict=True)]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows."""
        self._slots.lengths = [self._slots.lengths[r] for r in rows]
        self._cache.keep(torch.tensor(list(rows), device=self._model.device))


class SeparateContext:
    """Rows that each have a memory of the model's own kind, extended one after the other."""

    def __init__(self, model: HuggingFaceModel, num_rows: int) -> None:
        self._model = model
        self._memories: list[dict[str, Any]] = [{} for _ in range(num_rows)]

    def extend(self, tokens: Tensor, counts: Sequence[int] | None = None, last: int = 1) -> Tensor:
        """Append tokens to every row; see `Context.extend`."""
        rows, width = tokens.shape
        counts = [width] * rows if counts is None else counts
        logits = []
        for row, count in enumerate(counts):
            # A state-space memory takes many tokens at once only while it is empty.
            one_by_one = self._model.is_stateful and self._memories[row]
            pieces = tokens[row : row + 1, :count].split(1 if one_by_one else count, dim=1)
            found = [self._forward(row, piece, last) for piece in pieces]
            logits.append(torch.cat(found, dim=1)[:, -last:])
        return torch.cat(logits)

    def _forward(self, row: int, tokens: Tensor, last: int) -> Tensor:
        logits, outputs = self._model.forward(last, input_ids=tokens, **self._memories[row])
        self._memories[row] = _memory(outputs, self._model.model)
        return logits

    def rewind(self, counts: Sequence[int]) -> None:
        """Refuse: such a memory cannot be taken back, except by nothing."""
        if any(counts):
            raise UnsupportedModelError(
                f"the cache of {type(self._model.model).__name__} cannot be rewound, which the "
                "reference loop needs; use the dual loop (the default)"
            )

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows."""
        self._memories = [self._memories[r] for r in rows]


def _memory(outputs: Any, model: PreTrainedModel) -> dict[str, Any]:  # noqa: ANN401
    for name in ("past_key_values", "cache_params"):
        if getattr(outputs, name, None) is not None:
            return {name: getattr(outputs, name)}
    raise UnsupportedModelError(f"{type(model).__name__} returns no cache with use_cache=True")
