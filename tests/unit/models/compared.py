"""A context of joined groups beside separate runs without any cache."""

import math
from collections.abc import Sequence

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.models.port import Joining
from persona_judge_llm.models.recorded_steps import RecordedSteps
from persona_judge_llm.models.slot_context import SlotContext
from persona_judge_llm.testing import tiny_model

ALL_AT_ONCE = 10**6


class Compared:
    """Does to a context what it is told, and compares all logits that come out.

    Args:
        config: of the model.
        prefix_cache_bytes: as for `HuggingFaceModel`.
    """

    recorded_steps: RecordedSteps | None = None
    """What the models of all new ones record their steps with."""

    def __init__(self, config: PreTrainedConfig, prefix_cache_bytes: int = 0) -> None:
        self.plain: PreTrainedModel = tiny_model(config, scale=3.0)
        self.model = HuggingFaceModel(
            self.plain,
            prefix_cache_bytes=prefix_cache_bytes,
            recorded_steps=self.recorded_steps,
        )
        self.context = self.model.open()
        self.groups: list[list[list[int]]] = []
        """The texts that the rows of each group should hold."""
        self.difference = 0.0
        """The largest difference of any logit so far; NaN if one was NaN."""
        self.spread = math.inf
        """The smallest standard deviation of logits; if it is near 0, everything is near."""

    @property
    def texts(self) -> list[list[int]]:
        """The texts of all rows."""
        return [text for group in self.groups for text in group]

    @property
    def used(self) -> list[int]:
        """Slots in use by each line."""
        assert isinstance(self.context, SlotContext)
        return [line.used for line in self.context.layout.lines]

    def join(self, *groups: Sequence[Sequence[int]], piece: int = ALL_AT_ONCE) -> None:
        """Join groups, so many tokens at a time."""
        self.finish(self.context.join(groups), *groups, piece=piece)

    def finish(
        self, joining: Joining, *groups: Sequence[Sequence[int]], piece: int = ALL_AT_ONCE
    ) -> None:
        """Compute the rest of a joining."""
        while (logits := joining.advance(piece)) is None:
            pass
        self.groups += [[list(prompt) for prompt in group] for group in groups]
        self._compare(logits[:, None], len(logits))

    def extend(self, counts: Sequence[int], *, last: int = 1, seed: int = 0) -> None:
        """Give each group so many tokens, the same ones to all of its rows."""
        width = max(counts)
        per_row = [n for n, group in zip(counts, self.groups, strict=True) for _ in group]
        generator = torch.Generator().manual_seed(seed)
        new = torch.randint(3, self.model.vocab_size, (len(counts), width), generator=generator)
        rows = [new[g] for g, group in enumerate(self.groups) for _ in group]
        same = len(set(counts)) == 1
        logits = self.context.extend(torch.stack(rows), None if same else per_row, last)
        for text, row, count in zip(self.texts, rows, per_row, strict=True):
            text.extend(row[:count].tolist())
        self._compare(logits, len(rows))

    def rewind(self, counts: Sequence[int]) -> None:
        """Take the last tokens of each group back."""
        per_row = [n for n, group in zip(counts, self.groups, strict=True) for _ in group]
        self.context.rewind(per_row)
        for text, count in zip(self.texts, per_row, strict=True):
            del text[len(text) - count :]

    def keep(self, places: Sequence[int]) -> None:
        """Keep only these groups, in this order."""
        self.context.keep([row for place in places for row in self.rows_of(place)])
        self.groups = [self.groups[place] for place in places]

    def remember(self, place: int) -> None:
        """Offer a group to the prefix cache, with one token more than it holds, as decoders do."""
        texts = [[*text, 3] for text in self.groups[place]]
        self.context.remember(self.rows_of(place), texts)

    def rows_of(self, place: int) -> list[int]:
        """Return the rows of a group."""
        first = sum(len(group) for group in self.groups[:place])
        return list(range(first, first + len(self.groups[place])))

    def _compare(self, logits: torch.Tensor, rows: int) -> None:
        last = logits.shape[1]
        for found, text in zip(logits, self.texts[-rows:], strict=True):
            with torch.inference_mode():
                alone = self.plain(torch.tensor([text])).logits[0, -last:]
            gap = float((found - alone).abs().max())
            self.difference = gap if math.isnan(gap) else max(self.difference, gap)
            self.spread = min(self.spread, float(found.std()))
