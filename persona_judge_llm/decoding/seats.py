"""The state of tasks that are decoded in lockstep, and the verdicts on their next tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from persona_judge_llm.candidates import candidates
from persona_judge_llm.decoding.blending import Blending
from persona_judge_llm.decoding.constraining import Followings
from persona_judge_llm.decoding.tasks import (
    NOT_SAMPLEABLE,
    DecodedToken,
    DecodeTask,
    tokens_seen,
)
from persona_judge_llm.decoding.uniforms import Uniforms
from persona_judge_llm.errors import NumericalError, PersonaJudgeError
from persona_judge_llm.judging import judge_step, judged_by_b
from persona_judge_llm.models.port import LanguageModel
from persona_judge_llm.rules import MAX_ROWS
from persona_judge_llm.sampling import RowParams
from persona_judge_llm.trace import Outcome, Side


@dataclass(slots=True)
class _Windows:
    """Where each task stands in its windows; tensors of one entry per task."""

    number: Tensor  # [tasks] windows ended so far
    drafted: Tensor  # [tasks] tokens of the present window so far
    length: Tensor  # [tasks] num_draft_tokens
    turns: Tensor  # [tasks, 2]

    @classmethod
    def of(cls, tasks: Sequence[DecodeTask], device: torch.device) -> "_Windows":
        return cls(
            number=torch.zeros(len(tasks), dtype=torch.long, device=device),
            drafted=torch.zeros(len(tasks), dtype=torch.long, device=device),
            length=torch.tensor([t.num_draft_tokens for t in tasks], device=device),
            turns=torch.tensor([t.turns for t in tasks], device=device),
        )

    def keep(self, kept: Tensor) -> None:
        self.number, self.drafted = self.number[kept], self.drafted[kept]
        self.length, self.turns = self.length[kept], self.turns[kept]

    def join(self, other: "_Windows") -> None:
        self.number = torch.cat([self.number, other.number])
        self.drafted = torch.cat([self.drafted, other.drafted])
        self.length = torch.cat([self.length, other.length])
        self.turns = torch.cat([self.turns, other.turns])

    def advance(self, ends: Tensor, alive: Tensor) -> None:
        """Where `alive`: end the windows that end, and count one more token in the others."""
        self.number = self.number + (ends & alive)
        self.drafted = torch.where(alive, torch.where(ends, 0, self.drafted + 1), self.drafted)


class Seats:
    """Tasks with their rows: side A's, and side B's behind it where there is a second prompt."""

    def __init__(
        self, indices: Sequence[int], tasks: Sequence[DecodeTask], model: LanguageModel
    ) -> None:
        self.indices = list(indices)
        self.tasks = list(tasks)
        self.last = torch.zeros(len(tasks), dtype=torch.long, device=model.device)
        """[tasks] Each task's newest token, which no row was fed yet."""
        self._device = model.device
        self._vocab_size = model.vocab_size
        self._windows = _Windows.of(tasks, self._device)
        self._uniforms = Uniforms([t.seed for t in tasks], self._device)
        self._followings = Followings(
            [
                t.constraint.follow(t.params.max_new_tokens or 1) if t.constraint else None
                for t in tasks
            ]
        )
        self._evidence = torch.zeros(len(tasks), MAX_ROWS, dtype=torch.float32, device=self._device)
        self._seat_rows()
        self._tops: list[tuple[list[list[int]], list[list[float]]]] = []
        self._params = self._row_params()
        prompts = [prompt for task in tasks for prompt in _law_prompts(task)]
        self._seen = tokens_seen(prompts, model.vocab_size, self._params, self._device)

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.tasks)

    def rows_of(self, places: Sequence[int]) -> list[int]:
        """Return the rows of some tasks."""
        return [
            self._first_row[place] + side
            for place in places
            for side in range(len(self.tasks[place].prompts))
        ]

    def to_rows(self, values: Tensor) -> Tensor:
        """Repeat what each task has for each of its rows."""
        return values[self._row_task]

    def verdicts(
        self, logits: Tensor, guesses: Tensor | None = None
    ) -> list[list[DecodedToken] | PersonaJudgeError]:
        """Draw each task's next tokens: one, and more while the guesses are what was drawn.

        Args:
            logits: [rows, places, vocab] behind each row's text, and behind each guess.
            guesses: [tasks, places - 1], -1 where there is none.
        """
        places = logits.shape[1]
        uniforms = self._uniforms.peek(2 * places)
        alive = torch.ones(len(self.tasks), dtype=torch.bool, device=self._device)
        facts, self._tops = [], []
        for place in range(places):
            facts.append(self._verdict(logits[:, place], uniforms[:, 2 * place :], alive))
            if guesses is None or place == places - 1:
                break
            alive = alive & (self.last == guesses[:, place])
            if self._device.type == "cpu" and not alive.any():
                break
        decoded = self._decoded(torch.stack(facts, dim=1).tolist())
        self._uniforms.advance([2 * count for count, _ in decoded])
        return [tokens for _, tokens in decoded]

    def forced(self) -> list[list[int]]:
        """Return the tokens that tasks can but go on with; none where no grammar says so."""
        return self._followings.forced()

    def _verdict(self, logits: Tensor, uniforms: Tensor, alive: Tensor) -> Tensor:
        """Draw one token for the tasks that are `alive`; return [tasks, facts]."""
        windows = self._windows
        held = self._followings.places(alive.tolist()) if self._followings else []
        if held:
            logits = self._restricted(logits, held)
        # A rule blends what may come: one side cannot veto all of it.
        laws = self._blending.laws(logits, self._evidence)
        distributions = candidates(laws, self._params, self._seen)
        b_judges = judged_by_b(windows.number, windows.turns)
        judge = distributions.select(torch.where(b_judges, self._law_b, self._law_a))
        drawn = judge_step(
            draft=distributions.select(torch.where(b_judges, self._law_a, self._law_b)),
            judge=judge,
            token_uniforms=uniforms[:, 0],
            accept_uniforms=uniforms[:, 1],
        )
        if most := max((t.params.top_logprobs for t in self.tasks), default=0):
            ids, probs = judge.top(most)
            self._tops.append((ids.tolist(), probs.tolist()))
        token, draft_prob, judge_prob = drawn.token, drawn.draft_prob, drawn.judge_prob
        if held:
            committed = self._followings.commit(held, token.tolist())
            token = torch.tensor(committed, device=self._device)
            # NaN stays what it is.
            replaced = (token != drawn.token) & (judge_prob > 0)
            draft_prob = draft_prob.masked_fill(replaced, 1.0)
            judge_prob = judge_prob.masked_fill(replaced, 1.0)
        bonus = windows.drafted == windows.length
        windows.advance(bonus | ~drawn.accepted, alive)
        self.last = torch.where(alive, token, self.last)
        self._evidence = self._blending.noted(self._evidence, self.last, alive)
        if self._seen is not None:
            laws = torch.arange(len(self._law_task), device=self._device)
            self._seen[laws, self.last[self._law_task]] = True
        facts = (
            token,
            bonus,
            drawn.accepted,
            b_judges,
            draft_prob,
            judge_prob,
            alive,
        )
        return torch.stack([fact.to(uniforms.dtype) for fact in facts], dim=1)

    def _restricted(self, logits: Tensor, places: Sequence[int]) -> Tensor:
        """Return the logits without what grammars rule out, on both sides of some tasks."""
        allowed = self._followings.mask(places, self._vocab_size, self._device)
        sides = [i for i, p in enumerate(places) for _ in self.tasks[p].prompts]
        rows = torch.tensor(self.rows_of(places), device=self._device)
        kept = logits[rows].masked_fill(~allowed[sides], -torch.inf)
        return logits.index_put((rows,), kept)

    def _decoded(
        self, facts: list[list[list[float]]]
    ) -> list[tuple[int, list[DecodedToken] | PersonaJudgeError]]:
        """Return how many tokens each task drew, and the tokens."""
        decoded: list[tuple[int, list[DecodedToken] | PersonaJudgeError]] = []
        for place, (task, rows) in enumerate(zip(self.tasks, facts, strict=True)):
            drawn = [row for row in rows if row[-1]]
            if place in self._followings.failed:
                decoded.append((len(drawn), self._followings.failed[place]))
            elif all(draft_prob >= 0 and judge_prob > 0 for *_, draft_prob, judge_prob, _ in drawn):
                tokens = [
                    _token(task, row, self._top(place, step)) for step, row in enumerate(drawn)
                ]
                decoded.append((len(drawn), tokens))
            else:
                decoded.append((len(drawn), NumericalError(NOT_SAMPLEABLE)))
        return decoded

    def _top(self, place: int, step: int) -> tuple[tuple[int, float], ...]:
        """Return the likeliest tokens that a task asked for, at one step of a pass."""
        count = self.tasks[place].params.top_logprobs
        if not count:
            return ()
        ids, probs = self._tops[step]
        found = zip(ids[place][:count], probs[place][:count], strict=True)
        return tuple((token, prob) for token, prob in found if prob > 0)

    def keep(self, places: Sequence[int]) -> None:
        """Keep only these tasks, in this order."""
        kept = torch.tensor(list(places), dtype=torch.long, device=self._device)
        if self._seen is not None:
            self._seen = self._seen[self._blending.laws_of(places)]
        self.indices = [self.indices[p] for p in places]
        self.tasks = [self.tasks[p] for p in places]
        self.last = self.last[kept]
        self._windows.keep(kept)
        self._uniforms.keep(places)
        self._followings.keep(places)
        self._evidence = self._evidence[kept]
        self._seat_rows()
        # Made anew, for what only others asked for costs time.
        self._params = self._row_params()
        if self._params.repetition_penalty is None:
            self._seen = None

    def join(self, other: "Seats") -> None:
        """Add the tasks of another one behind the own ones."""
        if self._seen is not None or other._seen is not None:  # noqa: SLF001
            self._seen = torch.cat([self._seen_rows(), other._seen_rows()])  # noqa: SLF001
        self.indices += other.indices
        self.tasks += other.tasks
        self.last = torch.cat([self.last, other.last])
        self._windows.join(other._windows)  # noqa: SLF001
        self._uniforms.join(other._uniforms)  # noqa: SLF001
        self._followings.join(other._followings)  # noqa: SLF001
        self._evidence = torch.cat([self._evidence, other._evidence])  # noqa: SLF001
        self._params = RowParams.join([self._params, other._params])  # noqa: SLF001
        self._seat_rows()

    def _seen_rows(self) -> Tensor:
        """Return the seen tokens; nothing seen where no row has a penalty, which is no matter."""
        if self._seen is not None:
            return self._seen
        return torch.zeros(
            len(self._law_task), self._vocab_size, dtype=torch.bool, device=self._device
        )

    def _seat_rows(self) -> None:
        self.row_task: list[int] = []
        self._first_row: list[int] = []
        self._blending = Blending(self.tasks, self._vocab_size, self._device)
        for place, task in enumerate(self.tasks):
            self._first_row.append(len(self.row_task))
            self.row_task += [place] * len(task.prompts)
        self._row_task = torch.tensor(self.row_task, dtype=torch.long, device=self._device)
        task_of = torch.tensor(self._blending.law_task, dtype=torch.long, device=self._device)
        self._law_task, law_a = task_of, self._blending.first_law
        two = [task.prompt_b is not None and task.blend is None for task in self.tasks]
        law_b = [law + second for law, second in zip(law_a, two, strict=True)]
        self._law_a = torch.tensor(law_a, dtype=torch.long, device=self._device)
        self._law_b = torch.tensor(law_b, dtype=torch.long, device=self._device)

    def _row_params(self) -> RowParams:
        params = [self.tasks[place].params for place in self._blending.law_task]
        return RowParams.of(params, self._vocab_size, self._device)


def _law_prompts(task: DecodeTask) -> tuple[tuple[int, ...], ...]:
    """Return the prompt of each law; of a blend, those of all rows."""
    return task.prompts if task.blend is None else (sum(task.prompts, ()),)


def _token(
    task: DecodeTask, facts: Sequence[float], top: tuple[tuple[int, float], ...]
) -> DecodedToken:
    token, bonus, accepted, b_judges, draft_prob, judge_prob, _ = facts
    if task.prompt_b is None or task.blend is not None:
        return DecodedToken(int(token), "sampled", None, None, judge_prob, top)
    outcome: Outcome = "bonus" if bonus else "accepted" if accepted else "recovered"
    side: Side = "B" if b_judges else "A"
    return DecodedToken(int(token), outcome, side, draft_prob, judge_prob, top)
