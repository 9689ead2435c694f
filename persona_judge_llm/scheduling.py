"""One batch for all threads: calls join it at the next step, and whoever waits drives it.

There is no thread in the background. A thread that waits for its call's text, while nobody leads,
leads: it runs decoding steps for everybody until its own call has news, and hands over to the next
that waits. So nothing is computed while nobody waits, and nothing is left behind at exit.

Who leads, who sleeps and who is queued change under one small lock, which is never held during a
step nor while foreign code runs. The batch belongs to whoever leads.
"""

import atexit
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakSet

import torch

from persona_judge_llm.batching import Batch, Seat, stop
from persona_judge_llm.decoding.answer import Answer
from persona_judge_llm.decoding.tasks import DecodeTask, Decoding
from persona_judge_llm.errors import (
    DecodingError,
    EngineClosedError,
    EngineOverloadedError,
    InvalidParameterError,
    PersonaJudgeError,
    ReentrantCallError,
)
from persona_judge_llm.forking import renew_after_fork
from persona_judge_llm.requests import StopCheck

EXIT_PATIENCE = 10.0
"""Seconds that the end of the process waits for a step that another thread is in."""


class Scheduler:
    """Owns the decoding, and lets calls from any thread share its forward passes.

    Args:
        new_decoding: makes an empty decoding; asked when there is something to decode, and again
            after a failure or an idle time.
        max_batch: tasks decoded at once; the others wait in a queue, first come first served.
        max_queue: tasks that may wait in the queue.
        clock: seconds that only ever grow.
    """

    def __init__(
        self,
        new_decoding: Callable[[], Decoding],
        *,
        max_batch: int = 64,
        max_queue: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._new_decoding = new_decoding
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._clock = clock
        self._closed = False
        self._forked = False
        self._start_afresh()
        _schedulers.add(self)
        renew_after_fork(self)

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._leader: int | None = None  # the ident of the thread that leads
        self._sleepers: OrderedDict[Seat, None] = OrderedDict()
        self._queue: OrderedDict[Seat, None] = OrderedDict()
        self._departed: deque[Seat] = deque()
        self._batch = Batch(self._new_decoding)

    @property
    def queue_depth(self) -> int:
        """Tasks that wait to join."""
        return len(self._queue)

    @property
    def batch_size(self) -> int:
        """Tasks under way."""
        return len(self._batch.seats)

    def submit(
        self,
        task: DecodeTask,
        answer: Answer,
        *,
        cancelled: StopCheck,
        timeout: float | None = None,
        started: float | None = None,
        whole: bool = False,
    ) -> Seat:
        """Queue a task; it is decoded while somebody waits on a seat, this or another.

        Args:
            task: what to decode.
            answer: takes the tokens, in whichever thread leads.
            cancelled: asked before each step, in whichever thread leads; must not block.
            timeout: seconds after which the call fails.
            started: when, by the clock, these seconds began; None: now.
            whole: wake the waiting thread at the end only, not for every piece of text.

        Raises:
            EngineClosedError: closed before.
            EngineOverloadedError: the queue is full.
            InvalidParameterError: a timeout that is not above 0.
            ReentrantCallError: called from a stop check or tokenizer within a step.
        """
        self._refuse_reentry()
        if timeout is not None and not timeout > 0:
            raise InvalidParameterError("timeout", timeout, "a number of seconds above 0")
        self.mind_fork()
        if started is None:
            started = self._clock()
        seat = Seat(
            self,
            task,
            answer,
            cancelled=cancelled,
            timeout=timeout,
            deadline=None if timeout is None else started + timeout,
            whole=whole,
        )
        try:
            self._enqueue(seat)
        finally:
            self._tidy()
        return seat

    def mind_fork(self) -> None:
        """In the child of a fork, use one thread: GNU OpenMP would wait for those of the parent."""
        if self._forked:
            torch.set_num_threads(1)
            self._forked = False

    def close(self) -> None:
        """End every call as cancelled, within one step, and refuse new ones. Does not wait."""
        self._closed = True
        self._tidy()

    def await_last_step(self, patience: float) -> None:
        """Wait, once closed, until no thread is in a step; not for ever, and not for oneself."""
        end = time.monotonic() + patience
        while self._leader not in (None, threading.get_ident()) and time.monotonic() < end:
            time.sleep(0.001)

    def await_news(self, seat: Seat) -> None:
        """Lead until the seat has news, or sleep until it may have some or may lead."""
        self._refuse_reentry()
        will_return = False
        try:
            with self._lock:
                leads = self._leader is None
                if seat.has_news:
                    return
                if leads:
                    self._leader = threading.get_ident()
                else:
                    self._sleepers[seat] = None
            if leads:
                while not seat.has_news:
                    self._advance(seat)
            else:
                seat.sleep()
                will_return = not seat.has_news
        finally:
            # One who was woken to lead and does not come back, be it for an interrupt, must wake
            # another in his place.
            self._stand_up(seat, choose=not will_return)
            self._tidy()

    def depart(self, seat: Seat) -> None:
        """Free a seat's rows: now if nobody leads, else the leader does before its next step.

        Runs in garbage collection too, so in a thread that may hold the lock.
        """
        self._departed.append(seat)
        self._tidy()

    def after_fork(self) -> None:
        """Forget, in a child process, the calls, threads and locks of the parent."""
        seats = [
            *self._batch.seats,
            *self._queue,
        ]  # without the lock: nobody may be left to free it
        self._start_afresh()
        self._forked = True
        for seat in seats:
            seat.end(DecodingError("this call belongs to the process before the fork"))

    def _refuse_reentry(self) -> None:
        if self._leader == threading.get_ident():  # only this thread can have made it so
            raise ReentrantCallError

    def _enqueue(self, seat: Seat) -> None:
        with self._lock:
            if self._closed:
                raise EngineClosedError
            room = self._max_batch + self._max_queue
            if len(self._queue) + len(self._batch.seats) >= room:
                raise EngineOverloadedError(self._max_queue)
            self._queue[seat] = None

    # --- Leadership -------------------------------------------------------------------------------

    def _stand_up(self, seat: Seat | None, *, choose: bool) -> None:
        """Stop leading or sleeping; `choose`: if nobody leads, wake a sleeper who will."""
        with self._lock:
            if seat is not None:
                self._sleepers.pop(seat, None)
            if self._leader == threading.get_ident():
                self._leader = None
            if choose and self._leader is None and self._sleepers:
                successor, _ = self._sleepers.popitem(last=False)
                successor.wake()

    def _tidy(self) -> None:
        """Do what cannot wait for the next step, if nobody leads.

        Called after whatever makes it necessary, and after every time the lock was held or
        somebody led: who finds the lock taken leaves the work to who holds it, and never waits.
        """
        while self._untidy and self._lead_if_free():
            try:
                with self._failures_contained():
                    self._see_off()
            finally:
                self._stand_up(None, choose=True)

    @property
    def _untidy(self) -> bool:
        return bool(self._departed or (self._closed and (self._queue or self._batch.seats)))

    def _lead_if_free(self) -> bool:
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if free := self._leader is None:
                self._leader = threading.get_ident()
            return free
        finally:
            self._lock.release()

    # --- What the leader does ---------------------------------------------------------------------

    def _advance(self, own: Seat) -> None:
        with self._failures_contained():
            self._see_off()
            self._stop_seats()
            if not own.has_news:
                self._admit()
                self._batch.step()

    @contextmanager
    def _failures_contained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  # each call of the batch raises one of its own
            self._batch.fail(error)
        except BaseException as error:
            self._batch.fail(error)  # an interrupt is this thread's; the others must not hang
            raise
        finally:
            self._announce()

    def _see_off(self) -> None:
        """End the calls that were left; all of them once the engine is closed."""
        while self._departed:
            self._end(self._departed.popleft(), None)
        if self._closed:
            self._stop_seats()

    def _stop_seats(self) -> None:
        """End the calls that were cancelled or are late, queued ones too."""
        now = self._clock()
        for seat in self._all_seats():
            ends, error = stop(seat, now, closed=self._closed)
            if ends:
                self._end(seat, error)

    def _end(self, seat: Seat, error: PersonaJudgeError | None) -> None:
        with self._lock:
            self._queue.pop(seat, None)
        self._batch.end(seat, error)

    def _admit(self) -> None:
        while len(self._batch.seats) < self._max_batch and (seat := self._next_in_queue()):
            if seat.left or seat.ended:
                self._end(seat, None)
            else:
                self._batch.join(seat)

    def _next_in_queue(self) -> Seat | None:
        with self._lock:
            seat = next(iter(self._queue), None)
            if seat is not None:
                # In this order, so that an interrupt in between cannot lose the seat.
                self._batch.seats.append(seat)
                del self._queue[seat]
            return seat

    def _announce(self) -> None:
        """Wake all who have news; free the decoding's memory if nothing is left to decode."""
        with self._lock:
            for seat in [s for s in self._sleepers if s.has_news]:
                del self._sleepers[seat]
                seat.wake()
            idle = not self._queue
        if idle:
            self._batch.drop_decoding_if_empty()

    def _all_seats(self) -> list[Seat]:
        with self._lock:
            return [*self._batch.seats, *self._queue]


_schedulers: WeakSet[Scheduler] = WeakSet()


def _at_exit() -> None:
    """End every call while torch still works.

    A daemon thread that is in it when the interpreter is taken down aborts the process, and so
    does a half-read stream that is collected then.
    """
    schedulers = list(_schedulers)
    for scheduler in schedulers:
        scheduler.close()
    for scheduler in schedulers:
        scheduler.await_last_step(EXIT_PATIENCE)


atexit.register(_at_exit)
