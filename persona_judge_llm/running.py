"""Running prepared calls through a decoder, and turning tokens into chunks and generations."""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, TypeAlias

from persona_judge_llm.decoding.answer import Answer
from persona_judge_llm.decoding.dual import DualDecoding
from persona_judge_llm.decoding.reference import ReferenceDecoding
from persona_judge_llm.decoding.tasks import DecodeTask, Decoding
from persona_judge_llm.decoding.text_stream import Detokenize
from persona_judge_llm.models.port import LanguageModel
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import StopCheck
from persona_judge_llm.trace import Chunk, Generation, Usage

Loop: TypeAlias = Literal["dual", "reference"]

BATCH = 64
"""Requests decoded at once by `run_all`; more are taken in turns of this many."""


class Runner:
    """Decodes prepared calls on one model; holds no state of any call."""

    def __init__(
        self,
        model: LanguageModel,
        detokenize: Detokenize,
        eos_token_ids: Collection[int],
        loop: Loop,
    ) -> None:
        self._model = model
        self._detokenize = detokenize
        self._eos = frozenset(eos_token_ids)
        self._loop = loop

    def run(
        self, calls: Sequence[PreparedCall], cancelled: StopCheck
    ) -> Iterator[tuple[int, Chunk]]:
        """Decode calls together; yield chunks with the index of the call that each belongs to.

        The last chunk of a call carries its `Generation`. `cancelled` is asked before each step.
        """
        tasks = [call.task() for call in calls]
        answers = [Answer(task, self._detokenize, self._eos) for task in tasks]
        chunked = [0] * len(tasks)
        decoding = self._decoding(tasks)

        def chunk(index: int, text: str, generation: Generation | None = None) -> Chunk:
            token_ids = answers[index].token_ids[chunked[index] :]
            chunked[index] += len(token_ids)
            return Chunk(text, token_ids, generation)

        def last(index: int, text: str) -> Chunk:
            return chunk(
                index,
                text,
                _generation(calls[index], tasks[index], answers[index], decoding.forward_passes),
            )

        while running := [i for i, a in enumerate(answers) if a.finish_reason is None]:
            if cancelled():
                for index in running:
                    yield index, last(index, answers[index].end("cancelled"))
                return
            for index, tokens in decoding.step():
                answer = answers[index]
                text = "".join([answer.push(token) for token in tokens])
                if answer.finish_reason is not None:
                    decoding.finish(index)
                    yield index, last(index, text)
                elif text:
                    yield index, chunk(index, text)

    def run_one(self, call: PreparedCall, cancelled: StopCheck) -> Generation:
        """Decode one call to its end."""
        return self.run_all([call], cancelled)[0]

    def run_all(self, calls: Sequence[PreparedCall], cancelled: StopCheck) -> list[Generation]:
        """Decode calls to their ends, in their order."""
        generations: list[Generation] = []
        # The reference loop goes window by window, which calls of different windows cannot share.
        size = BATCH if self._loop == "dual" else 1
        for start in range(0, len(calls), size):
            batch = calls[start : start + size]
            done = {i: c.generation for i, c in self.run(batch, cancelled) if c.generation}
            generations += [done[i] for i in range(len(batch))]
        return generations

    def _decoding(self, tasks: list[DecodeTask]) -> Decoding:
        # The reference loop has nothing to judge where there is one prompt only.
        if self._loop == "reference" and all(task.prompt_b is not None for task in tasks):
            return ReferenceDecoding(self._model, tasks)
        return DualDecoding(self._model, tasks)


def _generation(
    call: PreparedCall, task: DecodeTask, answer: Answer, forward_passes: int
) -> Generation:
    return Generation(
        text=answer.text,
        token_ids=answer.token_ids,
        finish_reason=answer.finish_reason or "cancelled",
        stop_sequence=answer.stop_sequence,
        usage=Usage(
            prompt_tokens=call.prompt_tokens,
            completion_tokens=len(answer.token_ids),
            prompt_tokens_a=len(task.prompt_a),
            prompt_tokens_b=len(task.prompt_b or task.prompt_a),
            forward_passes=forward_passes,
        ),
        trace=answer.trace(),
        split=call.split,
        profile_version=call.profile_version,
        seed=task.seed,
        fingerprint=call.fingerprint,
    )
