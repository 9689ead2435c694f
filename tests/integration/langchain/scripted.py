"""A language model that says what it is told to, token by token, through the real decoder."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from persona_judge_llm.testing import FakeJoining, tiny_tokenizer

SURE = 50.0


class ScriptedModel:
    """A `LanguageModel` on `tiny_tokenizer` that answers a prompt with `script(prompt)`.

    It never stops by itself before the script ends: what a stop string cuts off, the engine did.
    """

    vocab_size = 261
    context_window: int | None = None
    can_rewind = True
    device = torch.device("cpu")

    def __init__(self, script: Callable[[str], str]) -> None:
        self._script = script
        self._tokenizer: Any = tiny_tokenizer()
        self._opening: list[int] = self._tokenizer.encode("<|im_start|>assistant\n")
        self._width = len(self._opening)

    def open(self, num_rows: int = 0) -> "ScriptedContext":
        return ScriptedContext(self, [[] for _ in range(num_rows)])

    def next_token(self, row: Sequence[int]) -> int:
        begun = max(
            n for n in range(len(row) + 1) if self._opening == list(row[n - self._width : n])
        )
        answer = self._tokenizer.encode(self._script(self._tokenizer.decode(row[:begun])))
        done = len(row) - begun
        eos: int = self._tokenizer.eos_token_id
        return answer[done] if done < len(answer) else eos


class ScriptedContext:
    """Rows of tokens; logits are all but certain of the next token of the script."""

    def __init__(self, model: ScriptedModel, rows: list[list[int]]) -> None:
        self._model = model
        self._rows = rows

    def extend(self, tokens: Tensor, counts: Sequence[int] | None = None, last: int = 1) -> Tensor:
        logits = torch.zeros(len(self._rows), last, self._model.vocab_size)
        for place, (row, given) in enumerate(zip(self._rows, tokens.tolist(), strict=True)):
            row.extend(given if counts is None else given[: counts[place]])
            for step in range(last):
                end = len(row) - (last - 1 - step)
                logits[place, step, self._model.next_token(row[:end])] = SURE
        return logits

    def join(self, groups: Sequence[Sequence[Sequence[int]]]) -> FakeJoining:
        return FakeJoining(groups, self._take_over)

    def _take_over(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        logits = torch.zeros(len(prompts), self._model.vocab_size)
        for place, prompt in enumerate(prompts):
            self._rows.append(list(prompt))
            logits[place, self._model.next_token(prompt)] = SURE
        return logits

    def rewind(self, counts: Sequence[int]) -> None:
        self._rows = [row[: len(row) - n] for row, n in zip(self._rows, counts, strict=True)]

    def keep(self, rows: Sequence[int]) -> None:
        self._rows = [self._rows[row] for row in rows]

    def remember(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        pass
