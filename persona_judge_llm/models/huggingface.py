"""The adapter to Hugging Face causal models.

Attention models run all rows in one forward pass over a slot cache. Models whose memory is of
another kind (state-space layers, ALiBi, attention kernels without masks) run row by row with the
memory that transformers gives them; they cannot rewind.
"""

import inspect
import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from persona_judge_llm.errors import InvalidParameterError, UnsupportedModelError
from persona_judge_llm.forking import renew_after_fork
from persona_judge_llm.models.grouped_attention import NAME, GroupedAttention
from persona_judge_llm.models.layout import Layout
from persona_judge_llm.models.port import LanguageModel
from persona_judge_llm.models.prefix_cache import PrefixCache
from persona_judge_llm.models.recorded_steps import Masks, RecordedSteps, on_cuda
from persona_judge_llm.models.separate_context import SeparateContext
from persona_judge_llm.models.slot_context import SlotContext
from persona_judge_llm.models.slots import SlotCache

_MASKED_ATTENTION = {"sdpa", "eager", NAME}  # the last one while another engine runs a pass
_LENGTH_DEPENDENT = {"longrope", "dynamic"}


class HuggingFaceModel:
    """A `LanguageModel` over a loaded `PreTrainedModel`.

    Forward passes of all contexts take turns under one lock: threads that decode at once would
    otherwise compete for the same cores or the same device.

    Args:
        model: a causal decoder.
        prefix_cache_bytes: memory for what earlier calls computed; 0 keeps nothing.
        recorded_steps: records the steps of attention models and replays them; None for neither.

    Raises:
        UnsupportedModelError: not a causal decoder.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        prefix_cache_bytes: int = 0,
        recorded_steps: RecordedSteps | None = None,
    ) -> None:
        if getattr(model.config, "is_encoder_decoder", False) or not model.can_generate():
            raise UnsupportedModelError(
                f"{type(model).__name__} is not a causal language model; "
                "load one with AutoModelForCausalLM"
            )
        self.model = model.eval()
        self.config = model.config.get_text_config()
        self.lock = threading.Lock()
        renew_after_fork(self)
        self._parameters = inspect.signature(model.forward).parameters
        self.is_stateful = bool(getattr(model, "_is_stateful", False))
        head: Any = model.get_output_embeddings()
        # The weight itself may be packed, and made anew when it is asked for.
        self._vocab_size = int(getattr(head, "out_features", 0) or head.weight.shape[0])
        self._grouped = GroupedAttention(model)
        self._layer_types = set(getattr(self.config, "layer_types", None) or ())
        self.uses_slots = self._can_use_slots()
        self.prefix_cache = PrefixCache(prefix_cache_bytes)
        self.recorded_steps = recorded_steps
        self.prompt_tokens_computed = 0
        """Tokens of prompts that went through a forward pass, of all calls so far."""

    def after_fork(self) -> None:
        """Free the lock, which a thread of the parent may have held."""
        self.lock = threading.Lock()

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        return self._vocab_size

    @property
    def context_window(self) -> int | None:
        """The config's `max_position_embeddings`; None where the model has no such limit.

        Where positions are rotated by other angles once a text is long ("longrope", "dynamic"),
        it is the length up to which they are not: beyond it what was computed does not fit what
        comes, and the length of one row would change the others.
        """
        limit = getattr(self.config, "max_position_embeddings", None)
        rope = getattr(self.config, "rope_parameters", None) or {}
        parts = [rope, *(part for part in rope.values() if isinstance(part, Mapping))]
        if any(part.get("rope_type") in _LENGTH_DEPENDENT for part in parts):
            named = [part.get("original_max_position_embeddings") for part in parts]
            named.append(getattr(self.config, "original_max_position_embeddings", None))
            limit = min([n for n in (limit, *named) if n], default=None)
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

    def open(self, num_rows: int = 0) -> "SlotContext | SeparateContext":
        """Return a new, empty context."""
        return SlotContext(self, num_rows) if self.uses_slots else SeparateContext(self, num_rows)

    def _can_use_slots(self) -> bool:
        return (
            {"position_ids", "attention_mask", "past_key_values"} <= set(self._parameters)
            and not self.is_stateful
            and not getattr(self.config, "alibi", False)
            and not getattr(self.config, "num_kv_shared_layers", 0)
            and self._layer_types <= {"full_attention", "sliding_attention"}
            and self.config._attn_implementation in _MASKED_ATTENTION  # noqa: SLF001
        )

    def _masks(self, layout: Layout) -> Masks:
        """Return the masks of a pass in the form that the model's forward takes."""
        dtype = self.model.dtype
        window = getattr(self.config, "sliding_window", None)
        if "sliding_attention" in self._layer_types:
            return {
                "full_attention": layout.mask(dtype),
                "sliding_attention": layout.mask(dtype, window),
            }
        if layout.width > 1 and layout.fresh and (self._layer_types or not window):
            return None  # plain causal attention, which has faster kernels than a mask
        # Without layer types, a window (Mistral) holds for every layer.
        return layout.mask(dtype, None if self._layer_types else window)

    def forward_slots(self, tokens: Tensor, layout: Layout, cache: SlotCache, last: int) -> Tensor:
        """Run one pass over a slot cache, whose layout has places for the tokens.

        Returns:
            [lines, last, vocab]
        """
        logits, _ = self.forward(
            last,
            input_ids=tokens,
            position_ids=layout.positions,
            attention_mask=self._masks(layout),
            past_key_values=cache,
        )
        return logits

    def step_slots(self, tokens: Tensor, layout: Layout, cache: SlotCache, last: int) -> Tensor:
        """Run one pass like `forward_slots`, from a recording where there is one."""
        steps = self.recorded_steps
        if steps is None:
            return self.forward_slots(tokens, layout, cache, last)

        def forward(tokens: Tensor, positions: Tensor, masks: Masks) -> Tensor:
            # Entered for each run: what one made of a mask, no other may read.
            with self._grouped:
                logits, _ = self._pass(
                    last,
                    input_ids=tokens,
                    position_ids=positions,
                    attention_mask=masks,
                    past_key_values=cache,
                )
            return logits

        with self.lock, torch.inference_mode():
            return steps.run(forward, tokens, self._masks(layout), layout, cache, last)

    def forward(self, last: int, **inputs: Any) -> tuple[Tensor, Any]:  # noqa: ANN401
        """Run one pass; return the logits of the last positions, and the outputs."""
        with self.lock, torch.inference_mode(), self._grouped:
            return self._pass(last, **inputs)

    def _pass(self, last: int, **inputs: Any) -> tuple[Tensor, Any]:  # noqa: ANN401
        if "logits_to_keep" in self._parameters:
            inputs["logits_to_keep"] = last
        outputs = self.model(use_cache=True, **inputs)
        return outputs.logits[:, -last:], outputs


def adapted(
    model: PreTrainedModel | LanguageModel,
    prefix_cache_bytes: int,
    name: str = "model",
    *,
    cuda_graphs: bool = False,
) -> LanguageModel:
    """Return a model as a `LanguageModel`, which it may be already.

    Raises:
        InvalidParameterError: neither, under the `name` of the argument; or graphs that it
            cannot have.
    """
    if isinstance(model, PreTrainedModel):
        adapter = HuggingFaceModel(model, prefix_cache_bytes=prefix_cache_bytes)
        if cuda_graphs:
            _check_graphs(adapter)
            adapter.recorded_steps = RecordedSteps(on_cuda())
        return adapter
    if cuda_graphs:
        raise InvalidParameterError("cuda_graphs", cuda_graphs, "False for a LanguageModel")
    if callable(getattr(model, "open", None)):
        return model
    raise InvalidParameterError(name, type(model).__name__, "a causal PreTrainedModel")


def _check_graphs(adapter: HuggingFaceModel) -> None:
    devices = {parameter.device for parameter in adapter.model.parameters()}
    if {device.type for device in devices} != {"cuda"} or len(devices) > 1:
        where = ", ".join(sorted(map(str, devices)))
        expected = f"False for a model on {where}: graphs are of one CUDA device"
        raise InvalidParameterError("cuda_graphs", True, expected)  # noqa: FBT003
    if not adapter.uses_slots:
        expected = f"False for {type(adapter.model).__name__}, whose memory is not in slots"
        raise InvalidParameterError("cuda_graphs", True, expected)  # noqa: FBT003
