"""One task's answer as it grows: when it ends, what may be shown, and the trace."""

from collections.abc import Collection

from persona_judge_llm.decoding.tasks import DecodedToken, DecodeTask
from persona_judge_llm.decoding.text_stream import Detokenize, TextStream
from persona_judge_llm.trace import FinishReason, Side, TokenTrace

_OTHER: dict[Side, Side] = {"A": "B", "B": "A"}


class Answer:
    """Collects the tokens of one task until end of sequence, a stop string or the length limit."""

    def __init__(
        self, task: DecodeTask, detokenize: Detokenize, eos_token_ids: Collection[int]
    ) -> None:
        self.finish_reason: FinishReason | None = None
        self._stream = TextStream(detokenize, task.params.stop)
        self._max_new_tokens = task.params.max_new_tokens or 0
        self._eos = frozenset(eos_token_ids)
        self._tokens: list[DecodedToken] = []

    def push(self, token: DecodedToken) -> str:
        """Take the next token; return what may be shown because of it. No-op once ended."""
        if self.finish_reason is not None:
            return ""
        if token.token_id in self._eos:
            return self.end("stop")
        self._tokens.append(token)
        shown = self._stream.push(token.token_id)
        if self._stream.stop_sequence is not None:
            return shown + self.end("stop")
        if len(self._tokens) == self._max_new_tokens:
            return shown + self.end("length")
        return shown

    def end(self, reason: FinishReason) -> str:
        """End the answer; return what was held back until now."""
        rest = self._stream.close()
        # A stop string may have been completed by the very last characters.
        self.finish_reason = "stop" if self._stream.stop_sequence is not None else reason
        return rest

    @property
    def text(self) -> str:
        """All text shown so far."""
        return self._stream.text

    @property
    def stop_sequence(self) -> str | None:
        """The stop string that ended the text."""
        return self._stream.stop_sequence

    @property
    def token_ids(self) -> tuple[int, ...]:
        """What was generated, without the end-of-sequence token."""
        return tuple(t.token_id for t in self._tokens)

    def trace(self) -> tuple[TokenTrace, ...]:
        """Return what happened to each token; the pieces join to the text."""
        shown, trace = 0, []
        for token, piece in zip(self._tokens, self._stream.pieces, strict=True):
            visible = piece[: max(len(self.text) - shown, 0)]
            shown += len(visible)
            judge = token.judged_by
            trace.append(
                TokenTrace(
                    token_id=token.token_id,
                    text=visible,
                    outcome=token.outcome,
                    drafted_by=_OTHER[judge] if judge else None,
                    judged_by=judge,
                    draft_prob=token.draft_prob,
                    judge_prob=token.judge_prob,
                    top_probs=token.top_probs,
                )
            )
        return tuple(trace)
