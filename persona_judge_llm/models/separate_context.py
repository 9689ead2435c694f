"""Rows that each have a memory of the model's own kind, extended one after the other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from persona_judge_llm.errors import UnsupportedModelError

if TYPE_CHECKING:
    from persona_judge_llm.models.huggingface import HuggingFaceModel


class SeparateContext:
    """A `Context` for models whose memory cannot be kept in slots; it cannot rewind."""

    def __init__(self, model: "HuggingFaceModel", num_rows: int) -> None:
        self._model = model
        self._memories: list[dict[str, Any]] = [{} for _ in range(num_rows)]

    def join(self, groups: Sequence[Sequence[Sequence[int]]]) -> "SeparateJoining":
        """Begin to add rows; see `Context.join`."""
        return SeparateJoining(self._model, self, [p for prompts in groups for p in prompts])

    def extend(self, tokens: Tensor, counts: Sequence[int] | None = None, last: int = 1) -> Tensor:
        """Append tokens to every row; see `Context.extend`."""
        rows, width = tokens.shape
        counts = [width] * rows if counts is None else counts
        return torch.cat(
            [
                self._extended(row, tokens[row : row + 1, :count], last)
                for row, count in enumerate(counts)
            ]
        )

    def add(self, prompt: Sequence[int]) -> Tensor:
        """Add a row that holds a prompt; return the logits behind it, [vocab]."""
        self._memories.append({})
        tokens = torch.tensor([list(prompt)], device=self._model.device)
        self._model.prompt_tokens_computed += len(prompt)
        return self._extended(len(self._memories) - 1, tokens, 1)[0, 0]

    def take_over(self, other: "SeparateContext") -> None:
        """Add the rows of another context behind the own ones."""
        self._memories += other._memories  # noqa: SLF001

    def _extended(self, row: int, tokens: Tensor, last: int) -> Tensor:
        # A state-space memory takes many tokens at once only while it is empty.
        one_by_one = self._model.is_stateful and self._memories[row]
        pieces = tokens.split(1 if one_by_one else tokens.shape[1], dim=1)
        found = [self._forward(row, piece, last) for piece in pieces]
        return torch.cat(found, dim=1)[:, -last:]

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

    def remember(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Do nothing: such a memory has no beginning that could be taken out."""


class SeparateJoining:
    """Prompts on their way into a `SeparateContext`; each is computed in one piece."""

    def __init__(
        self,
        model: "HuggingFaceModel",
        context: SeparateContext,
        prompts: Sequence[Sequence[int]],
    ) -> None:
        self._context = context
        self._own = SeparateContext(model, 0)
        self._prompts = prompts
        self._logits: list[Tensor] = []

    def advance(self, max_tokens: int) -> Tensor | None:
        """Compute prompts until `max_tokens` are reached; see `Joining.advance`."""
        while len(self._logits) < len(self._prompts):
            if max_tokens <= 0:
                return None
            prompt = self._prompts[len(self._logits)]
            self._logits.append(self._own.add(prompt))
            max_tokens -= len(prompt)
        self._context.take_over(self._own)
        return torch.stack(self._logits)


def _memory(outputs: Any, model: PreTrainedModel) -> dict[str, Any]:  # noqa: ANN401
    for name in ("past_key_values", "cache_params"):
        if getattr(outputs, name, None) is not None:
            return {name: getattr(outputs, name)}
    raise UnsupportedModelError(f"{type(model).__name__} returns no cache with use_cache=True")
