"""Calls that are decoded together: a seat for each, and the batch of those under way."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from persona_judge_llm.decoding.answer import Answer
from persona_judge_llm.decoding.tasks import DecodedToken, DecodeTask, Decoding
from persona_judge_llm.errors import (
    DeadlineExceededError,
    DecodingError,
    PersonaJudgeError,
    decoding_error,
)
from persona_judge_llm.requests import StopCheck

NAP = 5.0
"""Seconds that a sleeper sleeps at most. Nobody needs it, except where an interrupt (Ctrl-C) hit a
thread in the few instructions in which it owed somebody a wake-up."""


class Driver(Protocol):
    """What a seat needs of the scheduler."""

    def await_news(self, seat: "Seat") -> None:
        """Return when the seat may have news, having decoded for everybody or slept."""
        ...

    def depart(self, seat: "Seat") -> None:
        """Take note that a seat was left."""
        ...


class Seat:
    """One call's place among those decoded together; one thread at a time may wait on it.

    Callers use `wait`, `leave`, `forward_passes` and `num_tokens`; the rest is the scheduler's.
    """

    def __init__(
        self,
        driver: Driver,
        task: DecodeTask,
        answer: Answer,
        *,
        cancelled: StopCheck,
        timeout: float | None,
        deadline: float | None,
        whole: bool,
    ) -> None:
        self.task = task
        self.answer = answer
        self.cancelled = cancelled
        self.timeout = timeout
        self.deadline = deadline
        self.forward_passes = 0
        """Forward passes that the task took part in, once the answer has ended."""
        self.num_tokens = 0
        """Tokens drawn up to the text handed out last."""
        self.index: int | None = None
        """The task's index in the decoding, once it joined."""
        self.left = False
        self.ended = False
        self._driver = driver
        self._whole = whole
        self._drawn = 0
        self._pieces: deque[tuple[str, int]] = deque()
        self._error: PersonaJudgeError | None = None
        # Not a threading.Event: its lock would be taken by leave(), which the garbage collector
        # may run in a thread that holds that lock. SimpleQueue.put is made for that.
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def wait(self) -> str | None:
        """Wait for text; decode for everybody meanwhile, if nobody else does.

        Returns:
            What became visible since the last wait; None once all of it was handed over, or the
            seat was left.

        Raises:
            PersonaJudgeError: why the call cannot go on, after the text that it has.
        """
        while not self.has_news:
            self._driver.await_news(self)
        return self._take()

    def leave(self) -> None:
        """Give up: the rows are freed before the next forward pass. Never waits for one."""
        if self.left:
            return
        self.left = True
        if not self.ended:
            self.wake()
            self._driver.depart(self)

    @property
    def has_news(self) -> bool:
        """Whether `wait` would return at once."""
        return self.left or self.ended or (bool(self._pieces) and not self._whole)

    def show(self, text: str, num_tokens: int) -> None:
        """Add text, and count the tokens that it came with."""
        self._drawn += num_tokens
        if text:
            self._pieces.append((text, self._drawn))

    def end(self, error: PersonaJudgeError | None = None) -> None:
        """Say that nothing more will come. The first end counts."""
        if not self.ended:
            self._error = error
            self.ended = True  # last: it tells the other thread that all the rest is there

    def sleep(self) -> None:
        """Wait until woken, or for a nap."""
        with suppress(Empty):
            self._wakes.get(timeout=NAP)

    def wake(self) -> None:
        """Wake the thread that sleeps here, or the next one that does."""
        self._wakes.put(None)

    def _take(self) -> str | None:
        if self.left:
            return None
        ended = self.ended  # read before the pieces, which are complete if it is set
        taken = []
        while self._pieces:
            text, self.num_tokens = self._pieces.popleft()
            taken.append(text)
        if taken:
            return "".join(taken)
        if ended and self._error is not None:
            raise self._error.with_traceback(None) from None
        return None


class Batch:
    """The seats whose tasks are being decoded. Only the thread that leads touches it."""

    def __init__(self, new_decoding: Callable[[], Decoding]) -> None:
        self.seats: list[Seat] = []
        self._new_decoding = new_decoding
        self._decoding: Decoding | None = None

    def join(self, seat: Seat) -> None:
        """Let the task of one of the `seats` join the decoding; a typed error ends that call."""
        try:
            if self._decoding is None:
                self._decoding = self._new_decoding()
            seat.index = self._decoding.join(seat.task)
        except PersonaJudgeError as error:
            self.end(seat, bare(error))

    def step(self) -> None:
        """Run one step of the decoding, if there is anything to decode, and hand out tokens."""
        if self._decoding is None or not self.seats:
            return
        seats = {seat.index: seat for seat in self.seats}
        for index, outcome in self._decoding.step():
            self._deliver(seats[index], outcome)

    def end(self, seat: Seat, error: PersonaJudgeError | None = None) -> None:
        """End a call, whether it is in the batch or not; its rows go before the next pass."""
        if seat in self.seats:
            if self._decoding is not None and seat.index is not None:
                seat.forward_passes = self._decoding.passes(seat.index)
                self._decoding.finish(seat.index)
            self.seats.remove(seat)
        seat.end(error)

    def fail(self, error: BaseException) -> None:
        """End every call of the batch, each with an error of its own, and drop the decoding.

        Not with the error itself: its traceback holds frames with everybody's tokens.
        """
        self._decoding = None  # whatever state it is in
        alone = len(self.seats) == 1
        for seat in self.seats:
            seat.end(decoding_error("decoding", error, alone=alone))
        self.seats = []

    def drop_decoding_if_empty(self) -> None:
        """Free the memory of a decoding that has nothing to do."""
        if not self.seats and self._decoding is not None:
            decoding, self._decoding = self._decoding, None
            with suppress(Exception):  # nobody is left whose call it could fail
                decoding.settle()  # which keeps what later calls can reuse

    def _deliver(self, seat: Seat, outcome: Sequence[DecodedToken] | PersonaJudgeError) -> None:
        if isinstance(outcome, PersonaJudgeError):
            self.end(seat, bare(outcome))
            return
        try:
            text = "".join([seat.answer.push(token) for token in outcome])
        except Exception as error:  # noqa: BLE001  # a tokenizer's error is that call's alone
            self.end(seat, text_error(error))
            return
        seat.show(text, len(outcome))
        if seat.answer.finish_reason is not None:
            self.end(seat)


def stop(seat: Seat, now: float, *, closed: bool) -> tuple[bool, PersonaJudgeError | None]:
    """Tell whether a call must end now, and with what error; its answer is ended then."""
    if seat.ended:  # and still queued: an interrupt came between two steps of the bookkeeping
        return True, None
    try:
        cancelled = closed or seat.cancelled()
    except Exception as error:  # noqa: BLE001  # the caller's own code
        return True, decoding_error("the call's stop check", error)
    if not cancelled and (seat.deadline is None or now < seat.deadline):
        return False, None
    try:
        seat.show(seat.answer.end("cancelled"), 0)
    except Exception as error:  # noqa: BLE001  # as in `Batch`
        return True, text_error(error)
    if cancelled or seat.timeout is None:
        return True, None
    return True, DeadlineExceededError(seat.timeout, seat.answer.text)


def text_error(error: BaseException) -> DecodingError:
    """Return an error that names another's type only: a tokenizer's message may quote the text."""
    return DecodingError(f"turning tokens into text failed with {type(error).__name__}")


def bare(error: PersonaJudgeError) -> PersonaJudgeError:
    """Take an error's traceback and causes away: their frames hold other calls' tokens."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
