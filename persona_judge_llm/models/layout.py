"""Which token of which row is in which slot of a cache whose rows may share one line of slots.

A *line* is one sequence of key-value slots, filled from slot 0 and padded nowhere. The rows of a
line are prompts that begin alike (the two sides of one call): what they have in common is stored
and read once, and what is a row's own is visible to that row alone. Each slot knows its owners
(one bit a row) and its token's position; a token sees the earlier slots that it owns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True, slots=True)
class Columns:
    """Which token stands in which column of a forward pass; made of plain numbers.

    A dummy, which fills a line with fewer rows than others, has the owner 0: nobody sees it.
    """

    source: Tensor  # [lines, width] index into the flat tokens of all rows
    row: Tensor  # [lines, width]
    step: Tensor  # [lines, width] which of its row's new tokens
    owner: Tensor  # [lines, width] bits
    result: Tensor | None  # [rows * width] index into the flat columns; None: as they are


@dataclass(slots=True)
class Line:
    """The rows that share one sequence of slots."""

    rows: int
    used: int = 0
    """Slots in use."""
    held: list[int] = field(default_factory=list)
    """Tokens that each row holds, which is the next one's position."""


class Layout:
    """The lines of a cache, and the places of the current forward pass."""

    def __init__(self, device: torch.device, rows: Sequence[int], grain: int = 1) -> None:
        """Make empty lines of so many rows each; slots are attended to in blocks of `grain`."""
        self.device = device
        self.grain = grain
        self.lines = [Line(count, 0, [0] * count) for count in rows]
        self.width = 0
        """Columns of the current pass, dummies included; 0 between passes."""
        self.slots = torch.empty(0)  # [lines, width] of the current pass
        self.positions = torch.empty(0)  # [lines, width] of the current pass
        self._own = torch.empty(0)  # [lines, width] owners of the current pass
        self._owners = torch.zeros(len(self.lines), 0, dtype=torch.long, device=device)
        self._placed = torch.zeros(len(self.lines), 0, dtype=torch.long, device=device)
        self._columns: dict[int, Columns] = {}

    @property
    def fresh(self) -> bool:
        """Whether nothing came before the current pass, of whose tokens each sees all before."""
        empty = all(line.used == 0 for line in self.lines)
        return empty and bool((self._own == self._own[0, 0]).all())

    @property
    def end(self) -> int:
        """Slots in use by the longest line, the current pass included."""
        return max(line.used for line in self.lines) + self.width

    @property
    def span(self) -> int:
        """Slots that a pass attends to, masked ones included: whole blocks."""
        return -(-self.end // self.grain) * self.grain

    @property
    def aligned(self) -> bool:
        """Whether all lines have the same number of slots in use."""
        return len({line.used for line in self.lines}) == 1

    def columns(self, width: int) -> Columns:
        """Return the columns of a pass that gives every row `width` tokens.

        Within a line the rows take turns token by token, so that forgetting the last tokens of
        all its rows is forgetting its last slots.
        """
        if width not in self._columns:
            self._columns[width] = self._arranged(width)
        return self._columns[width]

    def _arranged(self, width: int) -> Columns:
        most = max(line.rows for line in self.lines) * width
        source, row, step, owner, result = [], [], [], [], []
        first = 0
        for number, line in enumerate(self.lines):
            places = [(t, r) for t in range(width) for r in range(line.rows)]
            dummies = [0] * (most - len(places))
            row.append([first + r for _, r in places] + [first for _ in dummies])
            step.append([t for t, _ in places] + dummies)
            owner.append([1 << r for _, r in places] + dummies)
            source.append([(first + r) * width + t for t, r in places] + dummies)
            result += [
                number * most + t * line.rows + r for r in range(line.rows) for t in range(width)
            ]
            first += line.rows
        same = result == list(range(len(self.lines) * most))

        def tensor(numbers: list[Any]) -> Tensor:
            return torch.tensor(numbers, device=self.device)

        return Columns(
            source=tensor(source),
            row=tensor(row),
            step=tensor(step),
            owner=tensor(owner),
            result=None if same else tensor(result),
        )

    def place(self, columns: Columns) -> None:
        """Set slots, positions and owners of a pass behind what every line has."""
        held = torch.tensor([n for line in self.lines for n in line.held], device=self.device)
        self._set(held[columns.row] + columns.step, columns.owner)

    def place_at(self, positions: Sequence[int], owners: Sequence[int]) -> None:
        """Set the places of a pass of the only line, given its tokens' positions and owners."""
        self._set(
            torch.tensor([positions], device=self.device),
            torch.tensor([owners], device=self.device),
        )

    def _set(self, positions: Tensor, owners: Tensor) -> None:
        self.width = positions.shape[1]
        self.positions, self._own = positions, owners
        used = torch.tensor([[line.used] for line in self.lines], device=self.device)
        self.slots = used + torch.arange(self.width, device=self.device)
        self._owners = _widened(self._owners, self.span).scatter_(1, self.slots, owners)
        self._placed = _widened(self._placed, self.span).scatter_(1, self.slots, positions)

    def advance(self, counts: Sequence[int]) -> None:
        """End a pass in which each row got `counts[row]` tokens; dummies are given up."""
        self.width = 0
        row = 0
        for line in self.lines:
            given = counts[row : row + line.rows]
            line.held = [n + count for n, count in zip(line.held, given, strict=True)]
            line.used += sum(given)
            row += line.rows

    def advance_line(self, owners: Sequence[int]) -> None:
        """End a pass of the only line whose tokens had these owners."""
        self.width = 0
        line = self.lines[0]
        line.used += len(owners)
        line.held = [
            n + sum(owner >> row & 1 for owner in owners) for row, n in enumerate(line.held)
        ]

    def rewind(self, counts: Sequence[int]) -> None:
        """Forget the last tokens of each row; the rows of a line forget equally many."""
        self.advance([-count for count in counts])

    def mask(self, dtype: torch.dtype, window: int | None = None) -> Tensor:
        """Return the additive mask of the current pass, [lines, 1, width, span].

        A token sees the slots that come no later than its own, that all its owners own, and, with
        a window, whose position is less than `window` before its own.
        """
        slot = torch.arange(self.span, device=self.device)
        own = self._own[:, :, None]
        owned = self._owners[:, None, : self.span] & own == own
        visible = (slot <= self.slots[:, :, None]) & owned
        if window is not None:
            visible &= self._placed[:, None, : self.span] > self.positions[:, :, None] - window
        hidden = torch.finfo(dtype).min
        mask = torch.zeros(visible.shape, dtype=dtype, device=self.device)
        return mask.masked_fill_(~visible, hidden)[:, None]

    def slots_of(self, line: int, row: int) -> Tensor:
        """Return the slots of a row of a line, in the order of its tokens."""
        used = self.lines[line].used
        return (self._owners[line, :used] >> row & 1).nonzero()[:, 0]

    def keep(self, lines: Sequence[int]) -> None:
        """Keep only these lines, in this order."""
        chosen = torch.tensor(list(lines), dtype=torch.long, device=self.device)
        self.lines = [self.lines[i] for i in lines]
        self._owners, self._placed = self._owners[chosen], self._placed[chosen]
        self._columns.clear()

    def append(self, other: "Layout") -> None:
        """Add the lines of another layout behind the own ones."""
        self._owners = _stacked(self._owners, other._owners)  # noqa: SLF001
        self._placed = _stacked(self._placed, other._placed)  # noqa: SLF001
        self.lines += other.lines
        self._columns.clear()


def _widened(table: Tensor, end: int) -> Tensor:
    if table.shape[1] >= end:
        return table
    return pad(table, (0, 2 * end - table.shape[1]))


def _stacked(above: Tensor, below: Tensor) -> Tensor:
    width = max(above.shape[1], below.shape[1])
    return torch.cat([pad(table, (0, width - table.shape[1])) for table in (above, below)])
