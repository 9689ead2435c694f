"""Whoever waits decodes for everybody: joining, leaving, failing, handing over, and forking."""

import gc
import os
import random
import signal
import threading
import time
import traceback
import warnings

import pytest
import torch

from persona_judge_llm import batching
from persona_judge_llm.decoding.answer import Answer
from persona_judge_llm.decoding.tasks import DecodedToken, DecodeTask
from persona_judge_llm.errors import (
    DeadlineExceededError,
    DecodingError,
    EngineClosedError,
    EngineOverloadedError,
    InvalidParameterError,
    NumericalError,
    ReentrantCallError,
)
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.scheduling import Scheduler

LIMIT = 120
"""Seconds until something that should have ended counts as hanging."""


@pytest.fixture(autouse=True)
def nobody_wakes_by_himself(monkeypatch):
    monkeypatch.setattr(batching, "NAP", 10 * LIMIT)


def never():
    return False


def task(number, length):
    return DecodeTask(
        prompt_a=(number,),
        prompt_b=None,
        params=SamplingParams(max_new_tokens=length, stop=()),
        seed=0,
        num_draft_tokens=4,
        turns=(1, 1),
    )


def words(token_ids):
    return "".join(f"{t} " for t in token_ids)


def expected(number, length):
    return words(1000 * number + k for k in range(length))


class CountingDecoding:
    """Gives task n the tokens 1000 n, 1000 n + 1, ..., one a step; `on_step` may fail or block."""

    def __init__(self, on_step=lambda decoding: None, on_join=lambda decoding, task: None):
        self.tasks = {}
        self.joined = []
        self.steps = 0
        self.settled = 0
        self.errors = {}
        self._passes = {}
        self._on_step = on_step
        self._on_join = on_join
        self._stepping = threading.Lock()

    def join(self, task):
        self._on_join(self, task)
        self.joined.append(task.prompt_a[0])
        self.tasks[len(self.joined)] = task
        self._passes[len(self.joined)] = 0
        return len(self.joined)

    def step(self):
        assert self._stepping.acquire(blocking=False), "two threads step at once"
        try:
            self.steps += 1
            self._on_step(self)
            return [(index, self._next(index)) for index in self.tasks]
        finally:
            self._stepping.release()

    def _next(self, index):
        number = self.tasks[index].prompt_a[0]
        if number in self.errors:
            return self.errors[number]
        self._passes[index] += 1
        return [DecodedToken(1000 * number + self._passes[index] - 1, "sampled", None, None, 1.0)]

    def finish(self, index):
        assert self._stepping.acquire(blocking=False), "a task is taken out during a step"
        del self.tasks[index], self._passes[index]
        self._stepping.release()

    def settle(self):
        assert self._stepping.acquire(blocking=False), "two threads use the decoding at once"
        self.settled += 1
        self._stepping.release()

    def passes(self, index):
        return self._passes[index]


class Bench:
    """A scheduler and the decodings that it had."""

    def __init__(self, on_step=lambda decoding: None, on_join=lambda *_: None, **settings):
        self.decodings = []
        self.on_step, self.on_join = on_step, on_join
        self.scheduler = Scheduler(self._new, **settings)

    def _new(self):
        decoding = CountingDecoding(
            lambda decoding: self.on_step(decoding), lambda *args: self.on_join(*args)
        )
        self.decodings.append(decoding)
        return decoding

    def submit(self, number, length=3, detokenize=words, **options):
        job = task(number, length)
        answer = Answer(job, detokenize, ())
        return self.scheduler.submit(job, answer, **{"cancelled": never, **options})

    @property
    def steps(self):
        return sum(d.steps for d in self.decodings)

    def assert_empty(self):
        scheduler = self.scheduler
        assert (scheduler.batch_size, scheduler.queue_depth) == (0, 0)
        assert not any(d.tasks for d in self.decodings)
        assert scheduler._leader is None
        assert not scheduler._sleepers
        assert not scheduler._departed
        assert scheduler._batch._decoding is None


def rest(seat):
    return "".join(iter(seat.wait, None))


class Thread:
    """Runs `work` beside the test; `result` waits for it, and not for ever."""

    def __init__(self, work):
        self._outcome = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work):
        try:
            self._outcome = work()
        except BaseException as error:  # noqa: BLE001
            self._outcome = error

    def result(self):
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), "hangs"
        return self._outcome


def until(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "never happened"
        time.sleep(0.001)


class Gate:
    """Blocks a step until opened."""

    def __init__(self):
        self.reached, self._opened = threading.Event(), threading.Event()

    def __call__(self, *_):
        self.reached.set()
        assert self._opened.wait(LIMIT)

    def open(self):
        self._opened.set()


# --- Joining and leaving --------------------------------------------------------------------------


def test_a_call_gets_its_tokens_one_wait_at_a_time_and_then_nothing():
    bench = Bench()
    seat = bench.submit(7, 3)
    assert [seat.wait() for _ in range(5)] == ["7000 ", "7001 ", "7002 ", None, None]
    assert seat.forward_passes == 3
    assert seat.num_tokens == 3
    bench.assert_empty()


def test_a_call_joins_while_another_is_under_way_and_both_share_passes():
    bench = Bench()
    first = bench.submit(1, 4)
    assert first.wait() == "1000 "
    second = bench.submit(2, 2)
    assert rest(second) == expected(2, 2)
    assert bench.steps == 3
    assert first.wait() == "1001 1002 "  # what was decoded meanwhile, in one piece
    assert first.num_tokens == 3
    assert rest(first) == "1003 "
    assert (first.forward_passes, second.forward_passes) == (4, 2)
    assert len(bench.decodings) == 1
    bench.assert_empty()


def test_a_call_for_the_whole_answer_waits_once():
    bench = Bench()
    seat = bench.submit(1, 5, whole=True)
    assert seat.wait() == expected(1, 5)
    assert seat.wait() is None


def test_nothing_is_computed_while_nobody_waits():
    bench = Bench()
    seat = bench.submit(1, 3)
    assert bench.steps == 0
    seat.wait()
    assert bench.steps == 1
    seat.leave()
    assert bench.steps == 1
    bench.assert_empty()


def test_who_leaves_frees_its_rows_before_the_next_pass():
    bench = Bench()
    stays, goes = bench.submit(1, 4), bench.submit(2, 9)
    stays.wait()
    goes.leave()
    goes.leave()
    assert goes.wait() is None
    assert bench.scheduler.batch_size == 1
    assert [t.prompt_a for t in bench.decodings[0].tasks.values()] == [(1,)]
    assert rest(stays) == words([1001, 1002, 1003])
    assert goes.forward_passes == 1
    bench.assert_empty()


def test_who_leaves_the_queue_is_never_decoded():
    bench = Bench(max_batch=1)
    first, second, third = (bench.submit(n) for n in (1, 2, 3))
    first.wait()
    second.leave()
    assert rest(third) == expected(3, 3)
    assert bench.decodings[0].joined == [1, 3]
    assert rest(first) == words([1001, 1002])
    bench.assert_empty()


def test_leaving_and_closing_do_not_wait_for_a_step():
    gate = Gate()
    bench = Bench(on_step=gate)
    seat, other = bench.submit(1), bench.submit(2)
    leader = Thread(lambda: rest(seat))
    assert gate.reached.wait(LIMIT)
    other.leave()
    seat.leave()
    bench.scheduler.close()
    assert bench.scheduler.batch_size == 2  # the step is still under way
    gate.open()
    assert "1001" not in leader.result()
    assert bench.steps == 1
    bench.assert_empty()


def test_rows_left_during_a_step_are_gone_in_the_next_and_news_reach_sleepers_at_once():
    first, second = Gate(), Gate()
    rows = []

    def on_step(decoding):
        rows.append([t.prompt_a[0] for t in decoding.tasks.values()])
        (first if decoding.steps == 1 else second)()

    bench = Bench(on_step=on_step)
    whole, stream, goes = bench.submit(1, whole=True), bench.submit(2), bench.submit(3)
    leader = Thread(lambda: rest(whole))
    assert first.reached.wait(LIMIT)
    reader = Thread(stream.wait)
    until(lambda: stream in bench.scheduler._sleepers)
    goes.leave()
    first.open()
    assert second.reached.wait(LIMIT)
    assert reader.result() == "2000 "  # the leader still leads
    second.open()
    assert leader.result() == expected(1, 3)
    assert rows == [[1, 2, 3], [1, 2], [1, 2]]
    assert rest(stream) == words([2001, 2002])
    bench.assert_empty()


def test_leaving_wakes_who_sleeps_on_the_seat():
    gate = Gate()
    bench = Bench(on_step=gate)
    first, second = bench.submit(1), bench.submit(2)
    leader = Thread(lambda: rest(first))
    assert gate.reached.wait(LIMIT)
    sleeper = Thread(lambda: rest(second))
    until(lambda: second in bench.scheduler._sleepers)
    second.leave()
    assert sleeper.result() == ""
    gate.open()
    assert leader.result() == expected(1, 3)
    bench.assert_empty()


def test_a_call_left_by_garbage_collection_in_a_thread_that_holds_the_lock():
    bench = Bench()
    stays, goes = bench.submit(1), bench.submit(2)

    def stream():
        try:
            while (text := goes.wait()) is not None:
                yield text
        finally:
            goes.leave()

    chunks = stream()
    next(chunks)
    with bench.scheduler._lock:
        del chunks
        gc.collect()
        assert goes.left
        assert bench.scheduler.batch_size == 2
    assert [stays.wait(), stays.wait()] == ["1000 ", "1001 "]
    assert bench.scheduler.batch_size == 1
    assert rest(stays) == "1002 "
    bench.assert_empty()


def test_who_finds_the_lock_taken_leaves_the_tidying_to_its_holder():
    bench = Bench()
    first = bench.submit(1)
    first.wait()
    with bench.scheduler._lock:
        first.leave()
        assert bench.scheduler.batch_size == 1
    second = bench.submit(2)
    assert bench.scheduler.batch_size == 0
    second.leave()
    bench.assert_empty()


# --- Queue, deadline, stop check ------------------------------------------------------------------


def test_first_come_first_served_and_a_full_queue_refuses():
    bench = Bench(max_batch=2, max_queue=2)
    seats = [bench.submit(n, 2) for n in range(4)]
    with pytest.raises(EngineOverloadedError, match="2 calls") as caught:
        bench.submit(4)
    assert caught.value.max_queue == 2
    seats[3].wait()
    assert bench.decodings[0].joined == [0, 1, 2, 3]
    with pytest.raises(EngineOverloadedError):
        [bench.submit(n) for n in range(5)]
    for n, seat in enumerate(seats):
        assert rest(seat) == (expected(n, 2) if n < 3 else "3001 ")
    bench.scheduler.close()
    bench.assert_empty()


def test_a_deadline_ends_calls_under_way_and_queued_ones():
    now = [0.0]
    bench = Bench(clock=lambda: now[0], max_batch=2)
    late, fine = bench.submit(1, 9, timeout=5), bench.submit(2, 3)
    queued = bench.submit(3, 9, timeout=4)
    late.wait()
    now[0] = 4.5
    assert fine.wait() == "2000 "
    assert fine.wait() == "2001 "
    with pytest.raises(DeadlineExceededError, match="timeout=4 seconds") as caught:
        queued.wait()
    assert caught.value.partial_text == ""
    now[0] = 5.0
    assert fine.wait() == "2002 "
    assert late.wait() == "1001 "
    with pytest.raises(DeadlineExceededError) as caught:
        late.wait()
    assert caught.value.partial_text == "1000 1001 "
    assert "1000" not in f"{caught.value} {caught.value!r} {caught.value.args}"
    assert late.forward_passes == 2
    assert bench.decodings[0].joined == [1, 2]
    bench.assert_empty()


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_is_above_zero(timeout):
    with pytest.raises(InvalidParameterError, match="timeout"):
        Bench().submit(1, timeout=timeout)


def test_a_cancelled_call_ends_within_a_step_queued_or_not():
    bench, stop = Bench(max_batch=1), threading.Event()
    first, queued = (bench.submit(n, 9, cancelled=stop.is_set) for n in (1, 2))
    first.wait()
    stop.set()
    assert rest(queued) == rest(first) == ""
    assert first.answer.finish_reason == queued.answer.finish_reason == "cancelled"
    assert bench.steps == 1
    assert bench.decodings[0].joined == [1]
    bench.assert_empty()


def test_who_is_cancelled_does_not_decode_for_others_first():
    bench, stop = Bench(), threading.Event()
    other, own = bench.submit(1), bench.submit(2, cancelled=stop.is_set)
    assert own.wait() == "2000 "
    stop.set()
    assert own.wait() is None
    assert bench.steps == 1
    assert rest(other) == expected(1, 3)
    bench.assert_empty()


def test_a_stop_check_that_fails_fails_its_call_alone():
    bench = Bench()
    fine, bad = bench.submit(1), bench.submit(2, cancelled=lambda: 1 / 0)
    assert rest(fine) == expected(1, 3)
    with pytest.raises(DecodingError, match="stop check failed with ZeroDivisionError: division"):
        bad.wait()
    bench.assert_empty()


def test_a_stop_check_that_calls_the_engine_is_told_so():
    bench = Bench()
    bad = bench.submit(1, cancelled=lambda: bench.submit(3))
    other = bench.submit(2)
    waits = bench.submit(4, cancelled=lambda: other.wait())
    assert rest(other) == expected(2, 3)
    for seat in (bad, waits):
        with pytest.raises(DecodingError, match=ReentrantCallError.__name__):
            seat.wait()
    bench.assert_empty()


# --- Failures -------------------------------------------------------------------------------------


def raise_from_another(error):
    try:
        {}["theirs"]
    except KeyError as cause:
        raise error from cause


def test_a_tasks_own_error_fails_that_call_alone_without_a_trace_of_others():
    bench = Bench()
    fine, bad = bench.submit(1), bench.submit(2)
    fine.wait()
    kept = NumericalError("NaN")
    with pytest.raises(NumericalError):
        raise_from_another(kept)
    assert kept.__traceback__ is not None
    assert kept.__cause__ is not None
    bench.decodings[0].errors[2] = kept
    assert rest(fine) == words([1001, 1002])
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)
    assert bad.wait() == "2000 "
    with pytest.raises(NumericalError, match="NaN"):
        bad.wait()
    bench.assert_empty()


def test_a_failed_step_fails_each_call_in_it_with_its_own_error_and_the_rest_go_on():
    failures = [RuntimeError("out of memory")]

    def on_step(decoding):
        if decoding.steps == 2 and failures:
            raise failures.pop()

    bench = Bench(on_step=on_step, max_batch=3)
    seats = [bench.submit(n) for n in (1, 2, 3)]
    queued = bench.submit(4, 1)
    errors = []
    for n, seat in enumerate(seats, 1):
        assert seat.wait() == expected(n, 1)
        with pytest.raises(DecodingError, match=r"failed with RuntimeError$") as caught:
            seat.wait()
        errors.append(caught.value)
    assert len({id(e) for e in errors}) == 3
    for error in errors:
        assert (error.__cause__, error.__context__) == (None, None)
        names = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        assert "on_step" not in names
        assert "step" not in names
    assert rest(queued) == expected(4, 1)
    assert rest(bench.submit(5, 1)) == expected(5, 1)
    assert bench.decodings[0].joined == [1, 2, 3]
    bench.decodings[0].tasks.clear()  # thrown away with them in it
    bench.assert_empty()


def test_joining_that_fails():
    def on_join(decoding, task):
        if task.prompt_a[0] == 2:
            raise NumericalError("bad prompt")
        if task.prompt_a[0] == 3:
            raise IndexError("no room")

    bench = Bench(on_join=on_join)
    fine, alone = bench.submit(1), bench.submit(2)
    assert rest(fine) == expected(1, 3)
    with pytest.raises(NumericalError):
        alone.wait()
    beside = bench.submit(1)
    beside.wait()
    together = bench.submit(3)
    for seat in (beside, together):
        with pytest.raises(DecodingError, match=r"failed with IndexError$"):
            seat.wait()
    bench.decodings[-1].tasks.clear()
    assert rest(bench.submit(4)) == expected(4, 3)
    bench.assert_empty()


def test_a_decoding_that_cannot_be_made_fails_calls_one_by_one():
    def new_decoding():
        raise OSError("no device")

    scheduler = Scheduler(new_decoding)
    for _ in range(2):
        seat = scheduler.submit(task(1, 2), Answer(task(1, 2), words, ()), cancelled=never)
        with pytest.raises(DecodingError, match="OSError: no device"):
            seat.wait()
    assert scheduler.batch_size == 0


def test_a_tokenizer_that_fails_fails_its_call_alone_and_is_not_quoted():
    def detokenize(token_ids):
        raise ValueError(f"secret {token_ids}")

    bench = Bench()
    bad, fine = bench.submit(1, detokenize=detokenize), bench.submit(2)
    assert rest(fine) == expected(2, 3)
    with pytest.raises(DecodingError, match=r"failed with ValueError$"):
        bad.wait()
    late = bench.submit(1, detokenize=detokenize, cancelled=lambda: True)
    with pytest.raises(DecodingError, match=r"failed with ValueError$"):
        late.wait()
    bench.assert_empty()


def test_an_error_that_cannot_say_what_it_is():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    assert str(batching.decoding_error("decoding", MuteError())) == (
        "decoding failed with MuteError"
    )


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_of_the_leader_is_its_own_and_nobody_hangs(interrupt):
    gate, interrupts = Gate(), [interrupt]

    def on_step(decoding):
        gate()
        if interrupts:
            raise interrupts.pop()

    bench = Bench(on_step=on_step, max_batch=2)
    own, other, queued = bench.submit(1), bench.submit(2), bench.submit(3)
    leader = Thread(own.wait)
    assert gate.reached.wait(LIMIT)
    sleepers = [Thread(lambda s=s: rest(s)) for s in (other, queued)]
    until(lambda: len(bench.scheduler._sleepers) == 2)
    gate.open()
    assert type(leader.result()) is interrupt
    failed, served = (s.result() for s in sleepers)
    assert type(failed) is DecodingError
    assert interrupt.__name__ in str(failed)
    assert served == expected(3, 3)
    bench.decodings[0].tasks.clear()
    bench.assert_empty()


# --- Many threads ---------------------------------------------------------------------------------


def test_leadership_passes_on_when_the_leaders_call_ends():
    gate = Gate()
    bench = Bench(on_step=gate)
    short, long, whole = bench.submit(1, 1), bench.submit(2, 5), bench.submit(3, 9, whole=True)
    leader = Thread(lambda: rest(short))
    assert gate.reached.wait(LIMIT)
    others = [Thread(lambda s=s: rest(s)) for s in (whole, long)]
    until(lambda: len(bench.scheduler._sleepers) == 2)
    gate.open()
    assert leader.result() == expected(1, 1)
    assert [t.result() for t in others] == [expected(3, 9), expected(2, 5)]
    bench.assert_empty()


def test_a_sleeper_who_has_no_news_is_chosen_when_the_leader_stops():
    gate = Gate()
    bench = Bench(on_step=gate, max_batch=1)
    lazy, queued = bench.submit(1, 2), bench.submit(2, 2)
    leader = Thread(lazy.wait)  # one piece only, then its consumer is busy elsewhere
    assert gate.reached.wait(LIMIT)
    sleeper = Thread(lambda: rest(queued))
    until(lambda: queued in bench.scheduler._sleepers)
    gate.open()
    assert leader.result() == "1000 "
    assert sleeper.result() == expected(2, 2)
    assert rest(lazy) == "1001 "
    bench.assert_empty()


def test_a_chosen_sleeper_who_is_interrupted_wakes_another(monkeypatch):
    gate = Gate()
    bench = Bench(on_step=gate)
    lead = bench.submit(1, 1)
    interrupted, other = (bench.submit(n, 3, whole=True) for n in (2, 3))
    sleep = interrupted.sleep

    def sleep_and_be_interrupted():
        sleep()
        raise KeyboardInterrupt

    monkeypatch.setattr(interrupted, "sleep", sleep_and_be_interrupted)
    leader = Thread(lambda: rest(lead))
    assert gate.reached.wait(LIMIT)
    first = Thread(interrupted.wait)
    until(lambda: interrupted in bench.scheduler._sleepers)
    second = Thread(other.wait)
    until(lambda: other in bench.scheduler._sleepers)
    gate.open()
    leader.result()
    assert type(first.result()) is KeyboardInterrupt
    assert second.result() == expected(3, 3)
    interrupted.leave()
    bench.assert_empty()


def test_a_nap_ends_by_itself(monkeypatch):
    monkeypatch.setattr(batching, "NAP", 0.001)
    bench = Bench()
    bench.submit(1).sleep()


def test_sixty_four_threads_get_exactly_their_own_tokens():
    bench, rng = Bench(max_batch=16), random.Random(5)
    lengths = [rng.randint(1, 20) for _ in range(64)]

    def call(n):
        return rest(bench.submit(n, lengths[n], whole=n % 3 == 0))

    threads = [Thread(lambda n=n: call(n)) for n in range(64)]
    for n, thread in enumerate(threads):
        assert thread.result() == expected(n, lengths[n])
    bench.assert_empty()


def test_two_hundred_random_cancellations_leave_nothing_behind():
    bench, rng = Bench(max_batch=8), random.Random(11)

    def call(n, reads, way):
        stop = threading.Event()
        seat = bench.submit(n, 12, cancelled=stop.is_set)
        got = "".join(seat.wait() or "" for _ in range(reads))
        if way == "check":
            stop.set()
        elif way == "elsewhere":
            threading.Timer(0, seat.leave).start()
        elif way == "leave":
            seat.leave()
        if way != "leave":
            got += rest(seat)
        return got

    ways = ["check", "elsewhere", "leave", "stay"]
    plans = [(n, rng.randint(0, 6), rng.choice(ways)) for n in range(200)]

    def worker(mine):
        return [call(*plan) for plan in mine]

    threads = [Thread(lambda k=k: worker(plans[k::20])) for k in range(20)]
    for k, thread in enumerate(threads):
        for (n, _, way), got in zip(plans[k::20], thread.result(), strict=True):
            whole = expected(n, 12)
            assert got == whole if way == "stay" else whole.startswith(got)
    until(lambda: bench.scheduler.batch_size == 0)
    bench.assert_empty()


# --- Closing and forking --------------------------------------------------------------------------


def test_closing_ends_every_call_as_cancelled_and_refuses_new_ones():
    bench = Bench(max_batch=2)
    seats = [bench.submit(n, 9) for n in range(3)]
    assert seats[0].wait() == "0 "
    bench.scheduler.close()
    bench.scheduler.close()
    assert [rest(s) for s in seats] == ["", "1000 ", ""]
    assert [s.answer.finish_reason for s in seats] == ["cancelled"] * 3
    assert bench.steps == 1
    with pytest.raises(EngineClosedError):
        bench.submit(4)
    bench.assert_empty()


def test_closing_wakes_sleepers_and_the_leader():
    gate = Gate()
    bench = Bench(on_step=gate, max_batch=2)
    seats = [bench.submit(n, 9) for n in range(4)]
    threads = [Thread(lambda s=s: rest(s)) for s in seats]
    until(lambda: len(bench.scheduler._sleepers) == 3)
    bench.scheduler.close()
    gate.open()
    assert sorted(len(t.result().split()) for t in threads) == [0, 0, 1, 1]
    assert bench.steps == 1
    bench.assert_empty()


def in_child(work):
    """Return the exit status of a forked child that runs `work`: 0 if it returns True."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() is True else 1)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(2)
    end = time.monotonic() + LIMIT
    while (done := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "hangs"
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(done[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_generates_while_the_parent_is_in_a_step():
    gate = Gate()

    def on_step(decoding):
        if os.getpid() == parent:
            gate()
        torch.ones(300_000).exp().sum()  # large enough for torch to want its threads

    parent = os.getpid()
    bench = Bench(on_step=on_step)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.ones(300_000).exp().sum()  # starts the threads that a child will not have
        mine, queued = bench.submit(1), bench.submit(2)
        leader = Thread(lambda: rest(mine))
        assert gate.reached.wait(LIMIT)
        unheld = bench.submit(3)

        def child():
            scheduler = bench.scheduler
            assert (scheduler.batch_size, scheduler.queue_depth) == (0, 0)
            for seat in (mine, queued, unheld):
                with pytest.raises(DecodingError, match="fork"):
                    seat.wait()
                seat.leave()
            return rest(bench.submit(5)) == expected(5, 3)

        with bench.scheduler._lock:  # as if another thread held it just then
            status = in_child(child)
        assert status == 0
        gate.open()
        assert leader.result() == expected(1, 3)
        assert (rest(queued), rest(unheld)) == (expected(2, 3), expected(3, 3))
        bench.assert_empty()
    finally:
        gate.open()
        torch.set_num_threads(threads_before)
