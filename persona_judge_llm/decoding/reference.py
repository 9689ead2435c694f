"""The loop as the paper prints it (arXiv 2504.12663, Algorithm 1), with two key-value caches.

One side drafts `num_draft_tokens` tokens one by one; the other reads them in one forward pass and
judges; both forget what was refused; the roles swap. Slower than the dual loop and of the same
law: it is what the dual loop is tested against. Tasks decoded together go window by window and so
must agree on the window length and on whose turn it is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from persona_judge_llm.decoding.tasks import (
    NOT_SAMPLEABLE,
    DecodedToken,
    DecodeTask,
    mark_seen,
    padded,
    tokens_seen,
)
from persona_judge_llm.decoding.uniforms import Uniforms
from persona_judge_llm.errors import InvalidParameterError, NumericalError, UnsupportedModelError
from persona_judge_llm.judging import Verdict, judge_draft, judged_by_b
from persona_judge_llm.models.port import Context, LanguageModel
from persona_judge_llm.sampling import RowParams, draw, logits_to_probs
from persona_judge_llm.trace import Outcome, Side


class _Role:
    """One side: its context, and how much of each task's text the context holds."""

    def __init__(
        self, model: LanguageModel, prompts: list[tuple[int, ...]], params: RowParams
    ) -> None:
        self._device = model.device
        self._context: Context = model.open(len(prompts))
        self._prompts = prompts
        self._params = params
        self._fed = [0] * len(prompts)
        self._seen = tokens_seen(prompts, model.vocab_size, params, self._device)

    def probs(self, texts: Sequence[Sequence[int]], last: int) -> Tensor:
        """Feed what the context lacks; return the distributions behind the last places.

        Args:
            texts: each task's continuation so far, drafts included.
            last: how many places, [tasks, last, vocab].
        """
        pending = [
            (*prompt, *text)[fed:]
            for prompt, text, fed in zip(self._prompts, texts, self._fed, strict=True)
        ]
        counts = [len(tokens) for tokens in pending]
        logits = self._context.extend(padded(pending, self._device), counts, last)
        self._fed = [fed + count for fed, count in zip(self._fed, counts, strict=True)]
        places = [
            logits_to_probs(logits[:, place], self._params, self._seen_at(texts, last - 1 - place))
            for place in range(last)
        ]
        return torch.stack(places, dim=1)

    def forget(self, counts: list[int]) -> None:
        """Take back the last tokens of each task."""
        self._context.rewind(counts)
        self._fed = [fed - count for fed, count in zip(self._fed, counts, strict=True)]

    def keep(self, rows: list[int]) -> None:
        """Keep only these tasks."""
        self._context.keep(rows)
        self._prompts = [self._prompts[r] for r in rows]
        self._fed = [self._fed[r] for r in rows]
        kept = torch.tensor(rows, device=self._device)
        self._params = self._params.select(kept)
        self._seen = None if self._seen is None else self._seen[kept]

    def _seen_at(self, texts: Sequence[Sequence[int]], ahead: int) -> Tensor | None:
        if self._seen is None:
            return None
        seen = self._seen.clone()
        mark_seen(seen, [text[: len(text) - ahead] for text in texts])
        return seen


class ReferenceDecoding:
    """Tasks decoded together by Algorithm 1 as printed.

    Raises:
        UnsupportedModelError: the model's cache cannot be rewound.
        InvalidParameterError: tasks without a second prompt, or of different windows or turns.
    """

    def __init__(self, model: LanguageModel, tasks: Sequence[DecodeTask]) -> None:
        if not model.can_rewind:
            raise UnsupportedModelError(
                "the reference loop takes refused tokens back, which this model's cache cannot; "
                "use the dual loop (the default)"
            )
        if len({(t.num_draft_tokens, t.turns) for t in tasks}) != 1:
            raise InvalidParameterError("tasks", "mixed", "of one num_draft_tokens and turns")
        self.forward_passes = 0
        self._turns = torch.tensor(tasks[0].turns)
        self._num_draft_tokens = tasks[0].num_draft_tokens
        self._budgets = [t.params.max_new_tokens or 0 for t in tasks]
        params = RowParams.of([t.params for t in tasks], model.vocab_size, model.device)
        prompts_b = [t.prompt_b for t in tasks if t.prompt_b is not None]
        if len(prompts_b) != len(tasks):
            raise InvalidParameterError("tasks", None, "given two prompts each")
        self._a = _Role(model, [t.prompt_a for t in tasks], params)
        self._b = _Role(model, prompts_b, params)
        self._uniforms = Uniforms([t.seed for t in tasks], model.device)
        self._window = 0
        self._texts: list[list[int]] = [[] for _ in tasks]
        self._alive = list(range(len(tasks)))
        self._finished: set[int] = set()

    def step(self) -> list[tuple[int, list[DecodedToken]]]:
        """Draft and judge one window for every task that is not finished."""
        self._drop_finished()
        if not self._alive:
            return []
        b_judges = bool(judged_by_b(torch.tensor(self._window), self._turns))
        draft, judge = (self._a, self._b) if b_judges else (self._b, self._a)
        # Nothing behind the last token that may be emitted is drafted.
        room = max(self._budgets[i] - len(t) for i, t in zip(self._alive, self._texts, strict=True))
        drafted = max(1, min(self._num_draft_tokens, room))
        # Laid out by the full window, so that a task's numbers do not depend on its neighbours.
        full = self._num_draft_tokens
        uniforms = self._uniforms.take(2 * full + 1)
        draft_tokens, draft_probs = self._draft(draft, uniforms[:, :drafted])
        judge_probs = judge.probs(self._with(draft_tokens), drafted + 1)
        self.forward_passes += drafted + 1
        verdict = judge_draft(
            draft_tokens,
            draft_probs,
            judge_probs,
            uniforms[:, full : full + drafted],
            uniforms[:, 2 * full],
        )
        accepted = verdict.num_accepted.tolist()
        # The draft was never fed its own last token, so it has one fewer to forget.
        judge.forget([drafted - n for n in accepted])
        draft.forget([max(drafted - 1 - n, 0) for n in accepted])
        self._window += 1
        return self._decoded(draft_tokens, draft_probs, judge_probs, verdict, b_judges)

    def finish(self, index: int) -> None:
        """Take a task out; its rows are freed before the next window."""
        self._finished.add(index)

    def _draft(self, draft: _Role, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        tokens = torch.empty(len(self._alive), 0, dtype=torch.long, device=uniforms.device)
        probs = []
        for place in range(uniforms.shape[1]):
            probs.append(draft.probs(self._with(tokens), 1)[:, 0])
            drawn = draw(probs[-1], uniforms[:, place])
            tokens = torch.cat([tokens, drawn[:, None]], dim=1)
        return tokens, torch.stack(probs, dim=1)

    def _with(self, tokens: Tensor) -> list[list[int]]:
        return [t + more for t, more in zip(self._texts, tokens.tolist(), strict=True)]

    def _decoded(
        self,
        draft_tokens: Tensor,
        draft_probs: Tensor,
        judge_probs: Tensor,
        verdict: Verdict,
        b_judges: bool,  # noqa: FBT001
    ) -> list[tuple[int, list[DecodedToken]]]:
        side: Side = "B" if b_judges else "A"
        drafted = draft_tokens.shape[1]
        # One column further than drafted: the place of the bonus token.
        chosen = torch.cat([draft_tokens, verdict.next_token[:, None]], dim=1)
        chosen.scatter_(1, verdict.num_accepted[:, None], verdict.next_token[:, None])
        in_draft = draft_probs.gather(2, chosen[:, :drafted, None])[..., 0].tolist()
        in_judge = judge_probs.gather(2, chosen[..., None])[..., 0].tolist()
        rows = zip(chosen.tolist(), verdict.num_accepted.tolist(), in_draft, in_judge, strict=True)
        decoded = []
        for place, (tokens, accepted, from_draft, from_judge) in enumerate(rows):
            if not all(p > 0 for p in from_judge[: accepted + 1]) or not all(
                p >= 0 for p in from_draft[: accepted + 1]
            ):
                raise NumericalError(NOT_SAMPLEABLE)
            self._texts[place] += tokens[: accepted + 1]
            outcomes: list[Outcome] = ["accepted"] * accepted
            outcomes.append("bonus" if accepted == drafted else "recovered")
            window = [
                DecodedToken(token, outcome, side, draft_prob, judge_prob)
                for token, outcome, draft_prob, judge_prob in zip(
                    tokens, outcomes, [*from_draft, None], from_judge, strict=False
                )
            ]
            decoded.append((self._alive[place], window))
        return decoded

    def _drop_finished(self) -> None:
        kept = [p for p, index in enumerate(self._alive) if index not in self._finished]
        if len(kept) == len(self._alive):
            return
        self._alive = [self._alive[p] for p in kept]
        self._texts = [self._texts[p] for p in kept]
        if kept:
            self._a.keep(kept)
            self._b.keep(kept)
            self._uniforms.keep(kept)
