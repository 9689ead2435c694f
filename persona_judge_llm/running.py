"""Running prepared calls through a decoder, and turning tokens into chunks and generations."""

import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from persona_judge_llm.arguments import Loop
from persona_judge_llm.batching import Seat
from persona_judge_llm.decoding.answer import Answer
from persona_judge_llm.decoding.assistant import proposer_factory
from persona_judge_llm.decoding.dual import DualDecoding
from persona_judge_llm.decoding.proposals import PassCosts
from persona_judge_llm.decoding.reference import ReferenceDecoding
from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.decoding.text_stream import Detokenize
from persona_judge_llm.errors import (
    DeadlineExceededError,
    EngineOverloadedError,
    PersonaJudgeError,
    decoding_error,
)
from persona_judge_llm.metrics import Metrics
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.models.port import LanguageModel
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import StopCheck
from persona_judge_llm.scheduling import Scheduler
from persona_judge_llm.trace import Chunk, Generation, Usage


class Runner:
    """Decodes prepared calls on one model, those of all threads together.

    Args:
        model: The language model.
        detokenize: Returns the text of token ids.
        eos_token_ids: Tokens that end a text.
        loop: "dual", or "reference" for calls with two prompts.
        proposals: Guess tokens where that pays.
        assistant: Guesses where the text repeats nothing.
        max_batch: Calls decoded at once.
        max_queue: Calls that may wait.
    """

    def __init__(
        self,
        model: LanguageModel,
        detokenize: Detokenize,
        eos_token_ids: Collection[int],
        loop: Loop,
        *,
        proposals: bool,
        assistant: LanguageModel | None,
        max_batch: int,
        max_queue: int,
    ) -> None:
        self._model = model
        self._detokenize = detokenize
        self._eos = frozenset(eos_token_ids)
        self._loop = loop
        self._max_batch = max_batch
        self._metrics = Metrics()
        costs = PassCosts()
        new_proposer = proposer_factory(model, assistant) if proposals else None
        self._scheduler = Scheduler(
            lambda: DualDecoding(
                model, new_proposer=new_proposer, costs=costs, metrics=self._metrics
            ),
            max_batch=max_batch,
            max_queue=max_queue,
        )

    @property
    def metrics(self) -> Metrics:
        """The counters as they are now."""
        now = replace(
            self._metrics,
            queue_depth=self._scheduler.queue_depth,
            batch_size=self._scheduler.batch_size,
        )
        if isinstance(self._model, HuggingFaceModel):
            cache = self._model.prefix_cache
            now.prompt_tokens_computed = self._model.prompt_tokens_computed
            now.prefix_cache_hits = cache.hits
            now.prefix_cache_misses = cache.misses
            now.prefix_cache_tokens_reused = cache.tokens_reused
            now.prefix_cache_bytes = cache.nbytes
        return now

    def close(self) -> None:
        """End every call within one step."""
        self._scheduler.close()

    def stream(
        self, call: PreparedCall, cancelled: StopCheck, started: float | None = None
    ) -> Iterator[Chunk]:
        """Decode one call; yield its text as it comes, and the `Generation` with the last chunk.

        `cancelled` is asked before each step; `started` (of `time.monotonic`) is when the call's
        timeout began, if not now. Nothing is computed until a chunk is asked for.
        """
        if self._loop == "reference" and call.built_b is not None:
            yield from self._stream_reference(call, cancelled, started)
            return
        seat, chunked = self._submitted(call, cancelled, started, whole=False), 0
        try:
            while (text := seat.wait()) is not None:
                token_ids = seat.answer.token_ids[chunked : seat.num_tokens]
                chunked += len(token_ids)
                yield Chunk(text, token_ids)
            yield Chunk("", seat.answer.token_ids[chunked:], _generation(call, seat))
        finally:
            seat.leave()

    def run_one(
        self, call: PreparedCall, cancelled: StopCheck, started: float | None = None
    ) -> Generation:
        """Decode one call to its end."""
        return self.run_all([call], cancelled, started)[0]

    def run_all(
        self, calls: Sequence[PreparedCall], cancelled: StopCheck, started: float | None = None
    ) -> list[Generation]:
        """Decode calls to their ends, together; return them in their order."""
        if self._loop == "reference":
            return [self._whole(call, cancelled, started) for call in calls]
        started = time.monotonic() if started is None else started
        generations: list[Generation] = []
        seats: deque[tuple[PreparedCall, Seat]] = deque()
        waiting = deque(calls)
        try:
            while seats or waiting:
                # No more than are decoded at once, so that others find room in the queue.
                while waiting and len(seats) < self._max_batch:
                    try:
                        seat = self._submitted(waiting[0], cancelled, started, whole=True)
                    except EngineOverloadedError:
                        if not seats:
                            raise
                        break  # wait for an own one first: what is answered is not thrown away
                    seats.append((waiting.popleft(), seat))
                call, seat = seats[0]
                while seat.wait() is not None:
                    pass
                generations.append(_generation(call, seat))
                seats.popleft()
        finally:
            for _, seat in seats:
                seat.leave()
        return generations

    def _submitted(
        self, call: PreparedCall, cancelled: StopCheck, started: float | None, *, whole: bool
    ) -> Seat:
        task = call.task()
        return self._scheduler.submit(
            task,
            Answer(task, self._detokenize, self._eos),
            cancelled=cancelled,
            timeout=call.request.timeout,
            started=started,
            whole=whole,
        )

    def _whole(self, call: PreparedCall, cancelled: StopCheck, started: float | None) -> Generation:
        *_, last = self.stream(call, cancelled, started)
        if last.generation is None:
            raise AssertionError("the last chunk carries the generation")
        return last.generation

    def _stream_reference(
        self, call: PreparedCall, cancelled: StopCheck, started: float | None
    ) -> Iterator[Chunk]:
        """Decode one call by the loop as printed, by itself."""
        self._scheduler.mind_fork()
        task = call.task()
        answer = Answer(task, self._detokenize, self._eos)
        decoding = ReferenceDecoding(self._model, [task])
        chunked = 0
        timeout = call.request.timeout
        started = time.monotonic() if started is None else started
        while answer.finish_reason is None:
            if cancelled():
                text = answer.end("cancelled")
            elif timeout is not None and time.monotonic() >= started + timeout:
                answer.end("cancelled")
                raise DeadlineExceededError(timeout, answer.text)
            else:
                try:
                    [(_, tokens)] = decoding.step()
                except PersonaJudgeError:
                    raise
                except Exception as error:
                    raise decoding_error("decoding", error) from error
                for token in tokens:
                    self._metrics.count(token.outcome)
                text = "".join([answer.push(token) for token in tokens])
            token_ids = answer.token_ids[chunked:]
            chunked += len(token_ids)
            if answer.finish_reason is not None:
                passes = decoding.forward_passes
                self._metrics.forward_passes += passes
                yield Chunk(text, token_ids, _answered(call, task, answer, passes))
            elif text:
                yield Chunk(text, token_ids)


def _generation(call: PreparedCall, seat: Seat) -> Generation:
    return _answered(call, seat.task, seat.answer, seat.forward_passes)


def _answered(
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
        user_id=call.user_id,
    )
