"""Many calls on one engine: each is answered as if it were alone, and nobody sees another's."""

import asyncio
import gc
import itertools
import random
import re
import threading
from contextlib import aclosing
from dataclasses import replace
from functools import partial, wraps
from types import SimpleNamespace

import pytest
import torch

from persona_judge_llm import engine as engine_module
from persona_judge_llm import running
from persona_judge_llm.decoding.dual import PIECE, DualDecoding
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import (
    DeadlineExceededError,
    DecodingError,
    EngineOverloadedError,
    InvalidParameterError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.models.slots import SlotCache
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.scheduling import Scheduler
from persona_judge_llm.testing import FakeJoining, tiny_model, tiny_tokenizer

LIMIT = 120
"""Seconds until something that should have ended counts as hanging."""
EOS = 258
NEVER_ENDS = {EOS: -100.0}


def likes(*texts, must=()):
    return (*(Preference(t) for t in texts), *(Preference(t, kind="must") for t in must))


STORE = InMemoryProfileStore(
    [
        Profile("ana", likes("Be concise", "Use images")),
        Profile("bo", likes("Be formal")),
        Profile("cy", likes("Tell a story", "Give numbers", "Name sources", must=["In English"])),
        Profile("dee", likes("Be warm", "Be blunt", must=["No lists"])),
        Profile("eve", ()),
    ]
)
USERS = ("ana", "bo", "cy", "dee", "eve")
MODEL, TOKENIZER = tiny_model(), tiny_tokenizer()


def new_engine(**settings):
    return PersonaJudge(MODEL, TOKENIZER, profiles=STORE, **settings)


@pytest.fixture
def engine():
    with new_engine() as engine:
        yield engine


def endless(length=400, **fields):
    return SamplingParams(max_new_tokens=length, seed=1, logit_bias=NEVER_ENDS, **fields)


def varied(rng, number):
    """Return a request like no other."""
    params = SamplingParams(
        max_new_tokens=rng.randint(1, 18),
        temperature=rng.choice([0, 0.7, 1.0, 1.5]),
        top_k=rng.choice([0, 5, 40]),
        top_p=rng.choice([1.0, 0.8]),
        repetition_penalty=rng.choice([1.0, 1.0, 1.3]),
        logit_bias=rng.choice([None, {65: 3.0, 66: 2.0}]),
        stop=rng.choice([(), ("a", "zz")]),
        seed=number,
    )
    return Request(
        f"{number}: {'a longer question, ' * rng.randint(0, 4)}please",
        user_id=rng.choice(USERS),
        params=params,
        rule=rng.choice([None, "fixed", "alternate"]),
        num_draft_tokens=rng.choice([None, 1, 7]),
        turns=rng.choice([None, (2, 1)]),
        placement=rng.choice([None, "system", "last"]),
        persona=rng.random() < 0.9,
    )


def alone(request):
    """Return the answer of an engine that does nothing else."""
    return new_engine(prefix_cache_bytes=0).generate(request)


def facts(generation):
    """Return what must not depend on who else is there."""
    return (
        generation.text,
        generation.token_ids,
        generation.finish_reason,
        generation.stop_sequence,
        [(t.text, t.outcome, t.judged_by) for t in generation.trace],
        generation.fingerprint,
        generation.usage.prompt_tokens,
    )


def answer_of(chunks):
    """Return the generation of chunks, which must be its pieces."""
    *_, last = chunks
    assert "".join(c.text for c in chunks) == last.generation.text
    assert sum((c.token_ids for c in chunks), ()) == last.generation.token_ids
    return last.generation


def read_on(stream, read):
    """Add the rest of a stream to what was read, so that it is kept if the stream fails."""
    read.extend(stream)


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
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


class Passes:
    """Sees every forward pass of an engine's model: counts them, and calls back before each."""

    def __init__(self, monkeypatch, before=lambda count, inputs: None):
        self.count = 0
        self.before = before
        forward = MODEL.forward

        @wraps(forward)  # whose signature tells what kind of model this is
        def seen(*args, **kwargs):
            self.count += 1
            self.before(self.count, kwargs["input_ids"])
            return forward(*args, **kwargs)

        monkeypatch.setattr(MODEL, "forward", seen)

    def fail_at(self, number, first=lambda: None):
        def fail(count, _):
            if count == number:
                first()
                raise RuntimeError("device lost")

        self.before = fail


class Submissions:
    """Sees every call that is queued, in the order of the queue."""

    def __init__(self, engine, monkeypatch):
        self.seats = []
        self._scheduler = engine._runner._scheduler
        self._submit = self._scheduler.submit
        self._changed = threading.Condition()
        monkeypatch.setattr(self._scheduler, "submit", self._seen)

    def _seen(self, *args, **kwargs):
        with self._changed:
            seat = self._submit(*args, **kwargs)
            self.seats.append(seat)
            self._changed.notify_all()
        return seat

    def await_number(self, number):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seats) >= number, LIMIT)


@pytest.fixture
def passes(monkeypatch):
    """Time in seconds, which is the number of forward passes so far."""
    passes = Passes(monkeypatch)
    clock = SimpleNamespace(monotonic=lambda: float(passes.count))
    monkeypatch.setattr(engine_module, "time", clock)
    monkeypatch.setattr(running, "time", clock)
    scheduler = partial(Scheduler, clock=clock.monotonic)
    monkeypatch.setattr(running, "Scheduler", scheduler)
    return passes


def caches():
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing) is SlotCache]


def assert_idle(engine):
    metrics = engine.metrics
    assert (metrics.batch_size, metrics.queue_depth) == (0, 0)
    scheduler = engine._runner._scheduler
    assert scheduler._leader is None
    assert not scheduler._sleepers
    assert scheduler._batch._decoding is None


# --- As if alone ----------------------------------------------------------------------------------


def by_generate(engine, requests):
    return [engine.generate(r) for r in requests]


def by_stream(engine, requests):
    return [answer_of(list(engine.stream(r))) for r in requests]


def by_batch(engine, requests):
    return engine.generate_batch(requests)


def by_agenerate(engine, requests):
    async def gathered():
        return await asyncio.gather(*[engine.agenerate(r) for r in requests])

    return asyncio.run(gathered())


def by_astream(engine, requests):
    async def read(request):
        return answer_of([chunk async for chunk in engine.astream(request)])

    async def gathered():
        return await asyncio.gather(*[read(r) for r in requests])

    return asyncio.run(gathered())


def test_64_threads_get_what_each_call_gets_alone_and_leave_nothing_behind(monkeypatch):
    rng = random.Random(3)
    ways = [by_generate, by_stream, by_batch, by_agenerate, by_astream]
    work = [(ways[k % 5], [varied(rng, 2 * k), varied(rng, 2 * k + 1)]) for k in range(64)]
    expected = [[facts(alone(r)) for r in requests] for _, requests in work]
    threads_before, caches_before = set(threading.enumerate()), caches()
    engine = new_engine()
    submissions = Submissions(engine, monkeypatch)
    # Nobody's first pass is run before everybody's call is there.
    passes = Passes(monkeypatch, lambda count, _: count > 1 or submissions.await_number(64))

    threads = [Thread(lambda way=way, calls=calls: way(engine, calls)) for way, calls in work]
    found = [thread.result() for thread in threads]

    for (way, _), mine, theirs in zip(work, found, expected, strict=True):
        assert [facts(g) for g in mine] == theirs, way.__name__
    took_part = sum(g.usage.forward_passes for mine in found for g in mine)
    assert engine.metrics.forward_passes <= passes.count
    assert 2 * passes.count < took_part  # at least two rode in each pass on average
    assert_idle(engine)
    assert caches() == caches_before
    new_threads = set(threading.enumerate()) - threads_before
    assert all(t.name.startswith("persona-judge") for t in new_threads)
    engine.close()
    for thread in new_threads:
        thread.join(LIMIT)
    assert set(threading.enumerate()) <= threads_before
    assert caches() == caches_before


def test_calls_read_in_turns_share_their_forward_passes():
    engine = new_engine(proposals="off")
    requests = [Request(f"{n}", user_id="ana", params=endless(30)) for n in range(8)]
    streams = [engine.stream(r) for r in requests]
    read = [[next(s)] for s in streams]
    found = [answer_of(r + list(s)) for r, s in zip(read, streams, strict=True)]
    assert [facts(g) for g in found] == [facts(alone(r)) for r in requests]
    assert sum(g.usage.forward_passes for g in found) >= 8 * 30
    assert engine.metrics.forward_passes < 2 * 30 + 8
    assert_idle(engine)


def test_a_batch_of_more_than_max_batch_shares_passes_and_keeps_its_order():
    rng = random.Random(8)
    requests = [varied(rng, n) for n in range(12)]
    with new_engine(max_batch=3, max_queue=0) as engine:
        found = engine.generate_batch(requests)
        assert [facts(g) for g in found] == [facts(alone(r)) for r in requests]
        assert engine.metrics.forward_passes < sum(g.usage.forward_passes for g in found)
        assert_idle(engine)


# --- Cancelling -----------------------------------------------------------------------------------


def end_by_hand(engine, way, moment, request):
    """Read `moment` chunks of a stream, then leave it; return the text, and whether it is whole."""
    if way == "late":
        try:
            return engine.generate(replace(request, timeout=moment + 1)).text, True
        except DeadlineExceededError as error:
            return error.partial_text, False
    chunks = engine.stream(request)
    if way == "stay":
        return answer_of(list(chunks)).text, True
    text = "".join(chunk.text for chunk in itertools.islice(chunks, moment))
    if way == "close":
        chunks.close()
    return text, False


async def end_in_a_loop(engine, way, moment, request):
    """The same for tasks."""
    if way == "cancel":
        task = asyncio.create_task(engine.agenerate(request))
        await asyncio.sleep(moment / 500)  # some moment; it does not matter which
        task.cancel()
        try:
            return (await task).text, True
        except asyncio.CancelledError:
            return "", False
    read, enough = [], asyncio.Event()
    reader = asyncio.create_task(read_until(engine, request, moment, read, enough))
    await enough.wait()
    if way == "cancel stream":
        reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    return "".join(chunk.text for chunk in read), read[-1].generation is not None


async def read_until(engine, request, moment, read, enough):
    async with aclosing(engine.astream(request)) as chunks:
        async for chunk in chunks:
            read.append(chunk)
            if len(read) > moment or chunk.generation:
                enough.set()
                break


def end_all(engine, plans):
    async def together():
        jobs = [end_in_a_loop(engine, *plan) for plan in plans if plan[0] in IN_A_LOOP]
        return await asyncio.gather(*jobs)

    by_hand = [end_by_hand(engine, *plan) for plan in plans if plan[0] in BY_HAND]
    return [*by_hand, *asyncio.run(together())]


BY_HAND = ["stay", "close", "drop", "late"]
IN_A_LOOP = ["aclose", "cancel", "cancel stream"]


def test_200_random_cancellations_disturb_nobody_and_free_all_rows(passes):
    rng = random.Random(17)
    requests = [Request(f"{n}", user_id=u, params=endless(14)) for n in range(4) for u in USERS]
    wholes = [alone(r).text for r in requests]
    ways = sorted(rng.choices([*BY_HAND, *IN_A_LOOP], k=200), key=IN_A_LOOP.__contains__)
    numbers = [n % len(requests) for n in range(200)]
    plans = [(way, rng.randint(0, 9), requests[n]) for way, n in zip(ways, numbers, strict=True)]
    engine, caches_before = new_engine(max_batch=12), caches()

    threads = [Thread(lambda k=k: end_all(engine, plans[k::20])) for k in range(20)]
    found = [thread.result() for thread in threads]

    whole_answers = 0
    for k in range(20):
        for (way, _, _), n, (text, ended) in zip(
            plans[k::20], numbers[k::20], found[k], strict=True
        ):
            assert text == wholes[n] if ended else wholes[n].startswith(text), way
            assert ended or way != "stay"
            whole_answers += ended
    assert 20 < whole_answers < 150, "some of either kind"
    engine._crew._pool.shutdown(wait=True)  # its threads notice that their readers are gone
    assert_idle(engine)
    assert caches() == caches_before
    assert engine.generate(requests[0]).text == wholes[0]
    engine.close()


# --- Failing --------------------------------------------------------------------------------------


def frames_of(error):
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def assert_tells_nothing_of(error, *secrets):
    """Nothing that a log or an error tracker takes from an error has another's words in it."""
    assert (error.__cause__, error.__context__) == (None, None)
    shown = [str(error), repr(error), repr(error.args), repr(vars(error))]
    for frame in frames_of(error):
        module = frame.f_globals["__name__"]
        assert not re.search(r"decoding|models|scheduling|transformers|torch", module), module
        if module != __name__:
            shown.append(repr(frame.f_locals))
    for secret in secrets:
        assert not [s for s in shown if secret in s]


def test_a_failed_pass_fails_the_calls_in_it_and_nobody_else(passes, monkeypatch):
    requests = [
        Request(f"secret{n}", preferences=[f"taste{n}", f"habit{n}"], params=endless(60))
        for n in range(4)
    ]
    expected = [alone(r).text for r in requests]
    with new_engine(max_batch=3, proposals="off") as engine:
        submissions = Submissions(engine, monkeypatch)
        streams = [engine.stream(r) for r in requests[:3]]
        read = [[next(s)] for s in streams]
        passes.fail_at(passes.count + 3, first=lambda: submissions.await_number(4))
        queued = Thread(lambda: engine.generate(requests[3]))
        for n, stream in enumerate(streams):
            with pytest.raises(DecodingError, match=r"failed with RuntimeError$") as caught:
                read_on(stream, read[n])
            others = [k for k in range(4) if k != n]
            assert_tells_nothing_of(
                caught.value,
                *[f"{word}{k}" for word in ("secret", "taste", "habit") for k in others],
                *[expected[k][:8] for k in others],
            )
            assert expected[n].startswith("".join(chunk.text for chunk in read[n]))
            assert list(stream) == []
        assert queued.result().text == expected[3]
        assert [g.text for g in engine.generate_batch(requests)] == expected
        assert_idle(engine)


def test_a_failed_prefill_fails_the_newcomer_alone_and_the_engine_stays_usable(passes):
    newcomer = Request("n" * 400, user_id="cy", params=endless(5))
    steady = Request("s", user_id="ana", params=endless(60))
    expected = [alone(r).text for r in (newcomer, steady)]
    caches_before = caches()
    with new_engine(proposals="off") as engine:
        stream = engine.stream(steady)
        next(stream)
        passes.fail_at(passes.count + 4)  # two steps and the second piece of the newcomer's prompt
        with pytest.raises(DecodingError, match="the prompt failed with RuntimeError: device lost"):
            engine.generate(newcomer)
        assert list(stream)[-1].generation.text == expected[1]
        assert_idle(engine)
        assert [engine.generate(r).text for r in (newcomer, steady)] == expected
        passes.fail_at(passes.count + 1)
        with pytest.raises(DecodingError, match="RuntimeError: device lost"):
            engine.generate(steady)
        assert engine.generate(steady).text == expected[1]
        assert_idle(engine)
        assert caches() == caches_before


@pytest.mark.parametrize("way", [by_generate, by_batch, by_agenerate, by_astream])
def test_an_error_tells_each_caller_nothing_of_the_others(way, passes, engine):
    theirs = Request("secret", preferences=["taste", "habit"], params=endless(100))
    mine = Request("mine", preferences=["own", "private"], params=endless(100))
    words = alone(theirs).text
    stream = engine.stream(theirs)
    next(stream)
    passes.fail_at(passes.count + 5)
    with pytest.raises(DecodingError) as caught:
        way(engine, [mine])
    assert_tells_nothing_of(caught.value, "secret", "taste", "habit", words[:8])
    with pytest.raises(DecodingError) as caught:
        list(stream)
    assert_tells_nothing_of(caught.value, "mine", "own", "private")


# --- Too many, too late ---------------------------------------------------------------------------


def test_more_calls_than_may_wait_are_refused_by_every_method_and_the_rest_go_on():
    request = Request("Hi", user_id="ana", params=endless(40))
    expected = alone(request).text
    with new_engine(max_batch=1, max_queue=0) as engine:
        stream = engine.stream(request)
        first = next(stream).text
        for way in (by_generate, by_stream, by_batch, by_agenerate, by_astream):
            with pytest.raises(EngineOverloadedError, match="max_queue") as caught:
                way(engine, [request])
            assert caught.value.max_queue == 0
            assert engine.metrics.batch_size == 1
        assert first + "".join(c.text for c in stream) == expected
        assert engine.generate(request).text == expected
        assert_idle(engine)


def test_async_calls_beyond_the_threads_and_the_queue_are_refused_and_the_rest_go_on(passes):
    request = Request("Hi", user_id="ana", params=endless(8))
    refused = threading.Event()
    passes.before = lambda count, _: refused.wait(LIMIT)
    with new_engine(max_batch=1, max_queue=2) as engine:

        async def gathered():
            tasks = [asyncio.create_task(engine.agenerate(request)) for _ in range(5)]
            tasks[-1].add_done_callback(lambda _: refused.set())
            return await asyncio.gather(*tasks, return_exceptions=True)

        *served, fourth, fifth = asyncio.run(gathered())
        assert isinstance(fourth, EngineOverloadedError)
        assert isinstance(fifth, EngineOverloadedError)
        assert {g.text for g in served} == {alone(request).text}
        assert_idle(engine)


def late(engine, way, request, timeout):
    """Call with a timeout; return what was read until then."""
    arguments = {"user_id": request.user_id, "params": request.params, "timeout": timeout}
    read = []

    async def areading():
        async for chunk in engine.astream(request.prompt, **arguments):
            read.append(chunk.text)

    if way == "generate":
        engine.generate(request.prompt, **arguments)
    elif way == "stream":
        read += (c.text for c in engine.stream(request.prompt, **arguments))
    elif way == "agenerate":
        asyncio.run(engine.agenerate(request.prompt, **arguments))
    elif way == "astream":
        asyncio.run(areading())
    else:
        engine.generate_batch([Request(request.prompt, **arguments)])
    return read


@pytest.mark.parametrize("loop", ["dual", "reference"])
@pytest.mark.parametrize("way", ["generate", "stream", "agenerate", "astream", "request"])
def test_a_late_call_fails_with_what_it_has(way, loop, passes):
    request = Request("Hi", user_id="ana", params=endless(100))
    whole = alone(request).text
    with new_engine(loop=loop) as engine:
        with pytest.raises(DeadlineExceededError, match="timeout=9 seconds") as caught:
            late(engine, way, request, 9)
        assert caught.value.timeout == 9
        assert caught.value.partial_text
        if loop == "dual":
            assert whole.startswith(caught.value.partial_text)
        assert len(caught.value.partial_text) < len(whole)
        assert_idle(engine)


def test_a_stream_shows_all_that_its_late_call_has(passes, engine):
    stream, shown = engine.stream("Hi", user_id="ana", params=endless(150), timeout=12), []
    with pytest.raises(DeadlineExceededError) as caught:
        read_on(stream, shown)
    assert "".join(chunk.text for chunk in shown) == caught.value.partial_text != ""


def test_a_call_that_waits_in_the_queue_for_too_long_fails_and_the_others_go_on(passes):
    request = Request("Hi", user_id="ana", params=endless(80))
    with new_engine(max_batch=1) as engine:
        stream = engine.stream(request)
        first = next(stream).text
        with pytest.raises(DeadlineExceededError) as caught:
            engine.generate("late", user_id="bo", params=endless(4), timeout=6)
        assert caught.value.partial_text == ""
        assert first + "".join(c.text for c in stream) == alone(request).text
        assert_idle(engine)


def test_a_timeout_that_is_long_enough_changes_nothing(engine):
    request = Request("Hi", user_id="ana", params=endless(6), timeout=1e6)
    assert facts(engine.generate(request)) == facts(alone(request))


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "1", 10**400])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(engine, timeout):
    with pytest.raises(InvalidParameterError, match="timeout"):
        engine.generate("Hi", timeout=timeout)


# --- Taking turns ---------------------------------------------------------------------------------


def test_a_long_prompt_that_joins_is_computed_in_pieces_between_the_steps_of_others(passes):
    reader = Request("Hi", user_id="ana", params=endless(40))
    newcomer = Request("long " * 150, user_id="dee", params=endless(3))
    expected = [alone(r).text for r in (reader, newcomer)]
    with new_engine(proposals="off", prefix_cache_bytes=0) as engine:
        stream = engine.stream(reader)
        text = next(stream).text
        widths = []
        passes.before = lambda count, tokens: widths.append(tokens.shape[1])
        late = engine.stream(newcomer)
        joined = next(late).text
        pieces = widths[1::2]
        assert len(pieces) > 5
        assert set(widths[0::2]) == {2}, "a step of the reader's two rows before every piece"
        assert all(2 < width <= PIECE + 2 for width in pieces)
        chunk = next(stream)
        assert len(chunk.token_ids) >= len(pieces)
        text += chunk.text + "".join(c.text for c in stream)
        joined += "".join(c.text for c in late)
        assert [text, joined] == expected


def test_first_come_first_served_and_everybody_is_served(monkeypatch):
    rng = random.Random(4)
    requests = [varied(rng, n) for n in range(24)]
    joined = []
    join = DualDecoding.join

    def noted(self, task):
        joined.append(task.seed)
        return join(self, task)

    with new_engine(max_batch=2) as engine:
        submissions = Submissions(engine, monkeypatch)
        monkeypatch.setattr(DualDecoding, "join", noted)
        ways = [by_generate, by_stream, by_agenerate, by_astream]
        threads = [
            Thread(lambda n=n, r=r: ways[n % 4](engine, [r])) for n, r in enumerate(requests)
        ]
        found = [thread.result()[0] for thread in threads]
        assert joined == [seat.task.seed for seat in submissions.seats]
        assert sorted(joined) == list(range(24))
    assert [g.text for g in found] == [alone(r).text for r in requests]


# --- Nobody's words in another's answer -----------------------------------------------------------


class Echo:
    """A model that answers with the markers, such as M7M, of its prompt, and no others."""

    vocab_size = 261
    context_window = None
    can_rewind = True
    device = torch.device("cpu")

    def open(self, num_rows=0):
        return EchoContext([[] for _ in range(num_rows)])

    @staticmethod
    def next_token(tokens):
        turn = len(tokens) - 1 - tokens[::-1].index(257)
        prompt, said = TOKENIZER.decode(tokens[:turn]), tokens[turn + 1 + len("assistant\n") :]
        answer = TOKENIZER.encode(" ".join(sorted(set(re.findall(r"M\d+M", prompt)))))
        return answer[len(said) % len(answer)]


class EchoContext:
    def __init__(self, rows):
        self.rows = rows

    def extend(self, tokens, counts=None, last=1):
        logits = torch.zeros(len(self.rows), last, Echo.vocab_size)
        for r, row in enumerate(self.rows):
            row[len(row) :] = tokens[r].tolist()[: counts[r] if counts else None]
            for place in range(last):
                text = row[: len(row) - last + 1 + place]
                logits[r, place, Echo.next_token(text)] = 100.0
        return logits

    def join(self, groups):
        return FakeJoining(groups, self.take_over)

    def take_over(self, prompts):
        self.rows += [list(prompt) for prompt in prompts]
        logits = torch.zeros(len(prompts), Echo.vocab_size)
        for place, prompt in enumerate(prompts):
            logits[place, Echo.next_token(list(prompt))] = 100.0
        return logits

    def remember(self, rows, texts):
        pass

    def rewind(self, counts):
        for row, count in zip(self.rows, counts, strict=True):
            del row[len(row) - count :]

    def keep(self, rows):
        self.rows = [self.rows[r] for r in rows]


def test_no_chunk_holds_anything_of_another_user(monkeypatch):
    users = [f"M{n}M" for n in range(24)]
    store = InMemoryProfileStore(
        [Profile(u, likes(f"{u} likes it short", f"{u} likes images")) for u in users]
    )
    with PersonaJudge(Echo(), TOKENIZER, profiles=store, max_batch=16) as engine:

        def by_user(n):
            params = SamplingParams(max_new_tokens=len(users[n]) * (3 + n % 5), seed=n)
            request = Request(f"A question of {users[n]}", user_id=users[n], params=params)
            if n % 2:
                return list(engine.stream(request))

            async def read():
                return [chunk async for chunk in engine.astream(request)]

            return asyncio.run(read())

        submissions = Submissions(engine, monkeypatch)
        join, first = DualDecoding.join, threading.Event()

        def join_once_all_are_there(self, task):
            if not first.is_set():
                first.set()
                submissions.await_number(24)
            return join(self, task)

        monkeypatch.setattr(DualDecoding, "join", join_once_all_are_there)
        threads = [Thread(lambda n=n: by_user(n)) for n in range(24)]
        for n, thread in enumerate(threads):
            chunks = thread.result()
            assert answer_of(chunks).text == users[n] * (3 + n % 5)
        assert_idle(engine)


def test_a_batch_beyond_the_queue_keeps_what_is_answered_and_waits_for_room(monkeypatch):
    requests = [Request(f"q{n}", params=endless(3 + n % 4)) for n in range(9)]
    expected = [alone(r).text for r in requests]
    with new_engine(max_batch=4, max_queue=0) as engine:
        other = engine.stream(Request("o", params=endless(60)))
        next(other)  # takes one of the four places for good
        assert [g.text for g in engine.generate_batch(requests)] == expected
        other.close()
        assert_idle(engine)


def test_an_async_call_that_waits_for_a_place_ends_at_its_deadline():
    async def both(engine):
        long = asyncio.create_task(engine.agenerate("a", params=endless(400)))
        while not engine.metrics.batch_size:
            await asyncio.sleep(0)
        with pytest.raises(DeadlineExceededError) as caught:
            await engine.agenerate("b", params=endless(5), timeout=0.001)
        assert not long.done()
        assert caught.value.partial_text == ""
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long

    with new_engine(max_batch=1, max_queue=4) as engine:
        asyncio.run(both(engine))


def test_what_one_user_asked_for_costs_the_others_nothing_once_the_call_has_ended():
    with new_engine() as engine:
        few = SamplingParams(top_k=5, max_new_tokens=40, seed=1)
        all_tokens = SamplingParams(
            top_k=0, repetition_penalty=1.2, logit_bias={3: 1.0}, max_new_tokens=2, seed=1
        )
        stream = engine.stream("a", params=few)
        next(stream)
        engine.generate("b", params=all_tokens)
        next(stream)
        seats = engine._runner._scheduler._batch._decoding._seats
        assert seats._params.max_top_k == 5
        assert seats._params.bias is None
        assert seats._seen is None
        stream.close()
