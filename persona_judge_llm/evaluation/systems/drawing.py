"""What ends every system's chain in `generate`: drawing a token, and watching the text grow."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria

from persona_judge_llm.decoding.tasks import NOT_SAMPLEABLE
from persona_judge_llm.decoding.text_stream import TextStream
from persona_judge_llm.decoding.uniforms import Uniforms
from persona_judge_llm.errors import NumericalError
from persona_judge_llm.sampling import RowParams, SamplingParams, draw, logits_to_probs


class Drawing(LogitsProcessor):
    """Draws from the first row's distribution; leaves only the drawn token, in every row.

    Args:
        params: resolved, with a seed.
        prompt: the first row's, whose tokens count as seen.
        width: places of the prompts, where answers begin.
        vocab_size: width of the logits.
        device: of the model.
    """

    def __init__(
        self,
        params: SamplingParams,
        prompt: Sequence[int],
        width: int,
        vocab_size: int,
        device: torch.device,
    ) -> None:
        self._params = RowParams.of([params], vocab_size, device)
        self._uniforms = Uniforms([params.seed or 0], device)
        self._seen = torch.zeros(1, vocab_size, dtype=torch.bool, device=device)
        self._seen[0, list(prompt)] = True
        self._width = width

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return 0 for the drawn token and minus infinity for all others, [rows, vocab].

        Raises:
            NumericalError: there is NaN among the scores.
        """
        self._seen[0, input_ids[0, self._width :]] = True
        probs = logits_to_probs(scores[:1], self._params, self._seen)
        if bool(probs.isnan().any()):
            raise NumericalError(NOT_SAMPLEABLE)
        # The engine uses two numbers a token: one draws, the other judges.
        token = draw(probs, self._uniforms.take(2)[:, 0])
        only = torch.full_like(scores, -torch.inf)
        only[:, token] = 0.0
        return only


class Growing(StoppingCriteria):
    """The first row's text as it grows, and whether it has ended.

    Args:
        stream: takes the tokens.
        eos: ids that end a text.
    """

    def __init__(self, stream: TextStream, eos: frozenset[int]) -> None:
        self.stream = stream
        self.tokens = 0
        """Of the text, without the one that ended it."""
        self.finish_reason = "length"
        self._eos = eos

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:  # noqa: ANN401, ARG002
        """Take the newest token; return whether the text has ended, [rows] bool."""
        token = int(input_ids[0, -1])
        if token in self._eos:
            self.finish_reason = "stop"
        else:
            self.tokens += 1
            self.stream.push(token)
        if self.stream.stop_sequence is not None:
            self.finish_reason = "stop"
        ended = self.finish_reason == "stop"
        return torch.full((len(input_ids),), ended, device=input_ids.device)

    def close(self) -> str:
        """Return the whole text; a stop string may end it at its very last characters."""
        self.stream.close()
        if self.stream.stop_sequence is not None:
            self.finish_reason = "stop"
        return self.stream.text
