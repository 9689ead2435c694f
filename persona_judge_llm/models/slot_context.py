"""Rows in a slot cache, extended together by one forward pass; for attention models."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from persona_judge_llm.models.layout import Layout
from persona_judge_llm.models.prefix_cache import Found, Snapshot, common_length
from persona_judge_llm.models.slots import SlotCache

if TYPE_CHECKING:
    from persona_judge_llm.models.huggingface import HuggingFaceModel


class SlotContext:
    """A `Context` whose rows are in lines of slots; see `Layout`."""

    def __init__(self, model: "HuggingFaceModel", num_rows: int) -> None:
        self._model = model
        grain = model.recorded_steps.grain if model.recorded_steps else 1
        self.layout = Layout(model.device, [1] * num_rows, grain)
        self.cache = SlotCache(model.config.num_hidden_layers, self.layout)

    def join(self, groups: Sequence[Sequence[Sequence[int]]]) -> "SlotJoining":
        """Begin to add rows; see `Context.join`."""
        return SlotJoining(self._model, self, groups)

    def extend(self, tokens: Tensor, counts: Sequence[int] | None = None, last: int = 1) -> Tensor:
        """Append tokens to every row; see `Context.extend`."""
        if counts is None or min(counts) == max(counts):
            width = counts[0] if counts else tokens.shape[1]
            return self._pass(tokens[:, :width], [width] * len(tokens), last)
        # Rows end in different places, and logits of all those places for all rows would be
        # large: first whatever comes before the last tokens, then the last tokens in a line.
        early = [count - last for count in counts]
        self._pass(tokens[:, : max(early)], early, 1)
        places = torch.tensor(early, device=tokens.device)[:, None]
        places = places + torch.arange(last, device=tokens.device)
        return self._pass(tokens.gather(1, places), [last] * len(early), last)

    def _pass(self, tokens: Tensor, counts: Sequence[int], last: int) -> Tensor:
        rows, width = tokens.shape
        layout = self.layout
        columns = layout.columns(width)
        layout.place(columns)
        # Where every line is one row, the columns are its tokens and the last ones are enough.
        alone = columns.source.shape[1] == width
        wanted = last if alone else columns.source.shape[1]
        logits = self._model.step_slots(
            tokens.reshape(-1)[columns.source], layout, self.cache, wanted
        )
        layout.advance(counts)
        if alone:
            return logits
        flat: Tensor = logits.flatten(0, 1)
        if columns.result is not None:
            flat = flat[columns.result]
        return flat.view(rows, width, -1)[:, width - last :]

    def rewind(self, counts: Sequence[int]) -> None:
        """Forget the last tokens of each row."""
        self.layout.rewind(counts)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows; those of a line together and in their order."""
        first, line_of = 0, {}
        for number, line in enumerate(self.layout.lines):
            line_of[first] = number
            first += line.rows
        lines = [line_of[row] for row in rows if row in line_of]
        moves = [(source, target) for target, source in enumerate(lines) if source != target]
        end = max((self.layout.lines[source].used for source, _ in moves), default=0)
        if lines:
            for layer in self.cache.slot_layers:
                layer.move(moves, end)
        else:
            if self._model.recorded_steps and self.layout.lines:
                self._model.recorded_steps.give_back(self.cache)
            self.cache = SlotCache(self._model.config.num_hidden_layers, self.layout)
        self.layout.keep(lines)
        if lines:
            for layer in self.cache.slot_layers:
                layer.fit()

    def remember(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Offer what the rows of a line hold to the prefix cache."""
        first = 0
        for number, line in enumerate(self.layout.lines):
            if first == rows[0]:
                if self.cache.bytes_of(line.used) <= self._model.prefix_cache.max_bytes:
                    self._model.prefix_cache.add(snapshot(self.layout, self.cache, number, texts))
                return
            first += line.rows

    def take_over(self, layout: Layout, cache: SlotCache) -> None:
        """Add a line that was computed by itself."""
        spare = None
        if self._model.recorded_steps and not self.layout.lines:
            spare = self._model.recorded_steps.take()
        if spare is not None:
            spare.follow(self.layout)
            self.cache = spare
        if self.layout.lines or spare is not None:
            for own, new in zip(self.cache.slot_layers, cache.slot_layers, strict=True):
                keys, values = new.states()
                end = layout.lines[0].used
                own.append(keys[:, :, :end], values[:, :, :end])
        else:
            for own, new in zip(self.cache.slot_layers, cache.slot_layers, strict=True):
                own.fill(*new.states())
        self.layout.append(layout)


class SlotJoining:
    """Groups of prompts on their way into a `SlotContext`, one line after the other."""

    def __init__(
        self,
        model: "HuggingFaceModel",
        context: SlotContext,
        groups: Sequence[Sequence[Sequence[int]]],
    ) -> None:
        self._context = context
        self._filling = [LineFilling(model, prompts) for prompts in groups]
        self._logits: list[Tensor] = []

    def advance(self, max_tokens: int) -> Tensor | None:
        """Compute at most `max_tokens` more tokens; see `Joining.advance`."""
        for filling in self._filling[len(self._logits) :]:
            if max_tokens <= 0:
                return None
            missing = filling.missing
            logits = filling.advance(max_tokens)
            if logits is None:
                return None
            max_tokens -= missing
            self._logits.append(logits)
        for filling in self._filling:
            self._context.take_over(filling.layout, filling.cache)
        return torch.cat(self._logits)


class LineFilling:
    """One line being filled with the prompts of a group, in a cache of its own.

    Order of the slots: what all prompts begin with, then what each has of its own, and at the
    very end each one's last token, so that the logits behind them come out of the last pass.
    """

    def __init__(self, model: "HuggingFaceModel", prompts: Sequence[Sequence[int]]) -> None:
        self._model = model
        self._prompts = prompts
        self.layout = Layout(model.device, [len(prompts)])
        self.cache = SlotCache(model.config.num_hidden_layers, self.layout)
        self._rest: list[tuple[int, int, int]] | None = None  # token, position, owners

    @property
    def missing(self) -> int:
        """Tokens to be computed."""
        return len(self._places())

    def advance(self, max_tokens: int) -> Tensor | None:
        """Compute at most `max_tokens` more tokens; return the logits once all are there."""
        rest = self._places()
        # The last tokens belong together, and take one pass whatever their number.
        tail = len(self._prompts)
        now = len(rest) if len(rest) - tail <= max_tokens else max_tokens
        chunk, self._rest = rest[:now], rest[now:]
        tokens, positions, owners = zip(*chunk, strict=True)
        layout = self.layout
        layout.place_at(positions, owners)
        logits = self._model.forward_slots(
            torch.tensor([tokens], device=layout.device), layout, self.cache, tail
        )
        layout.advance_line(owners)
        self._model.prompt_tokens_computed += len(chunk)
        return None if self._rest else logits[0]

    def _places(self) -> list[tuple[int, int, int]]:
        """Return what is to be computed, after taking over what earlier calls left."""
        if self._rest is None:
            shared = common_beginning(self._prompts)
            known = self._recall(shared)
            everyone = (1 << len(self._prompts)) - 1
            places = [
                (token, position, everyone)
                for position, token in enumerate(self._prompts[0][:shared])
                if position >= min(known)
            ]
            for row, prompt in enumerate(self._prompts):
                start = max(shared, known[row])
                places += [(prompt[p], p, 1 << row) for p in range(start, len(prompt) - 1)]
            places += [
                (prompt[-1], len(prompt) - 1, 1 << row) for row, prompt in enumerate(self._prompts)
            ]
            self._rest = places
        return self._rest

    def _recall(self, shared: int) -> list[int]:
        """Begin the line with what the prefix cache has; return the tokens known of each prompt."""
        found = [self._model.prefix_cache.find(prompt) for prompt in self._prompts]
        lengths = [f.length if f else 0 for f in found]
        best = max(range(len(found)), key=lambda row: lengths[row])
        common = min(shared, lengths[best])
        pieces: list[tuple[Found, int, int, int]] = []  # found, start, end, owners
        if (source := found[best]) is not None and common:
            pieces.append((source, 0, common, (1 << len(found)) - 1))
        if common == shared:
            for row, own in enumerate(found):
                if own is not None and lengths[row] > shared:
                    pieces.append((own, shared, lengths[row], 1 << row))
        if pieces:
            self._take(pieces)
        return [max(common, lengths[row] if common == shared else 0) for row in range(len(found))]

    def _take(self, pieces: list[tuple[Found, int, int, int]]) -> None:
        positions = [p for _, start, end, _ in pieces for p in range(start, end)]
        owners = [owner for _, start, end, owner in pieces for _ in range(start, end)]
        self._model.prefix_cache.tokens_reused += len(positions)
        for number, layer in enumerate(self.cache.slot_layers):
            parts = [
                [s[:, found.slots(start, end).to(s.device)] for s in found.snapshot.states[number]]
                for found, start, end, _ in pieces
            ]
            keys, values = (torch.cat(side, dim=1)[None] for side in zip(*parts, strict=True))
            layer.fill(keys, values)
        self.layout.place_at(positions, owners)
        self.layout.advance_line(owners)


def common_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all prompts begin with, short of the last token of any."""
    shared = min(len(prompt) for prompt in prompts) - 1
    first = torch.tensor(prompts[0])
    for prompt in prompts[1:]:
        shared = min(shared, common_length(first, torch.tensor(prompt)))
    return shared


def snapshot(
    layout: Layout, cache: SlotCache, line: int, texts: Sequence[Sequence[int]]
) -> Snapshot:
    """Copy a line; its rows hold the first tokens of `texts`, perhaps not the very last ones."""
    used = layout.lines[line].used
    slots = [layout.slots_of(line, row) for row in range(len(texts))]
    return Snapshot(
        tuple(torch.tensor(text[: len(s)]) for text, s in zip(texts, slots, strict=True)),
        tuple(slots),
        tuple(
            (keys[line, :, :used].clone(), values[line, :, :used].clone())
            for keys, values in (layer.states() for layer in cache.slot_layers)
        ),
    )
