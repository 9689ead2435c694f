"""The facade: whose taste, which prompts, what comes back, and what is refused before any work."""

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from persona_judge_llm import aio
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import (
    ContextOverflowError,
    DecodingError,
    EngineClosedError,
    InvalidParameterError,
    InvalidPreferenceError,
    InvalidPromptError,
    MissingUserError,
    PersonaJudgeError,
    PreferenceBudgetError,
    ProfileStoreUnavailableError,
    UnknownUserError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.scope import no_persona, use_user
from persona_judge_llm.splitting import Split
from persona_judge_llm.testing import HistoryModel, tiny_engine, tiny_model, tiny_tokenizer

SHORT = SamplingParams(max_new_tokens=12, seed=5)
GREEDY = SamplingParams(max_new_tokens=30, temperature=0)
CONCISE, VIVID, FORMAL = (Preference(t) for t in ("Be concise", "Use images", "Be formal"))


@pytest.fixture(scope="module")
def store():
    return InMemoryProfileStore(
        [Profile("ana", (CONCISE, VIVID)), Profile("bo", (FORMAL,)), Profile("eve", ())]
    )


@pytest.fixture(scope="module")
def engine(store):
    return tiny_engine(profiles=store)


def forbid_forward(engine, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("a forward pass was run")

    monkeypatch.setattr(engine.language_model, "open", fail)


# --- whose taste ---------------------------------------------------------------------------


def test_two_preferences_become_two_prompts(engine):
    plan = engine.plan("Hello", user_id="ana")
    assert "Be concise" in plan.prompt_a
    assert "Use images" not in plan.prompt_a
    assert "Use images" in plan.prompt_b
    assert "Be concise" not in plan.prompt_b
    assert engine.tokenizer.decode(plan.prompt_ids_a) == plan.prompt_a
    assert engine.tokenizer.decode(plan.prompt_ids_b) == plan.prompt_b


def test_one_preference_is_one_prompt_and_nothing_is_judged(engine):
    generation = engine.generate("Hello", user_id="bo", params=SHORT)
    assert engine.plan("Hello", user_id="bo").prompt_b is None
    assert generation.acceptance_rate is None
    assert {t.outcome for t in generation.trace} == {"sampled"}


def test_only_must_preferences_are_one_prompt(engine):
    plan = engine.plan("Hello", preferences=[Preference("Answer in English", kind="must")])
    assert "Answer in English" in plan.prompt_a
    assert plan.prompt_b is None


@pytest.mark.parametrize(
    "arguments", [{}, {"persona": False}, {"user_id": "eve"}, {"user_id": "ana", "persona": False}]
)
def test_without_preferences_the_answer_is_the_plain_models(engine, arguments):
    plan = engine.plan("Hello", **arguments)
    generation = engine.generate("Hello", params=GREEDY, **arguments)
    expected = engine.model.generate(
        torch.tensor([plan.prompt_ids_a]), max_new_tokens=30, do_sample=False
    )[0, len(plan.prompt_ids_a) :].tolist()
    assert list(generation.token_ids) == [t for t in expected if t != engine.tokenizer.eos_token_id]
    assert generation.fingerprint == "neutral"
    assert generation.usage.prompt_tokens == len(plan.prompt_ids_a)


def test_an_explicit_user_counts_before_the_scope_and_the_innermost_scope_wins(engine):
    with use_user("bo"):
        assert "Be formal" in engine.plan("Hi").prompt_a
        assert "Be concise" in engine.plan("Hi", user_id="ana").prompt_a
        with use_user("ana"):
            assert "Be concise" in engine.plan("Hi").prompt_a
        with no_persona():
            assert "Be formal" not in engine.plan("Hi").prompt_a
            assert "Be concise" in engine.plan("Hi", user_id="ana").prompt_a
        assert "Use images" in engine.plan("Hi", preferences=["Use images"]).prompt_a
    assert "Be formal" not in engine.plan("Hi").prompt_a


def test_a_stream_keeps_the_user_of_the_call_whoever_reads_it(engine):
    expected = engine.generate("Hi", user_id="ana", params=SHORT)
    with use_user("ana"):
        chunks = engine.stream("Hi", params=SHORT)
        lazy = engine.astream("Hi", params=SHORT)

    async def read():
        return "".join([chunk.text async for chunk in lazy])

    with use_user("bo"), ThreadPoolExecutor(1) as pool:
        assert "".join(pool.submit(lambda: [c.text for c in chunks]).result()) == expected.text
        assert asyncio.run(read()) == expected.text


def test_the_profile_is_read_at_the_call_and_frozen_for_it(store):
    engine = tiny_engine(profiles=store)
    store.put(Profile("zoe", (CONCISE, VIVID)))
    chunks = engine.stream("Hi", user_id="zoe", params=SHORT)
    prepared = engine.prepare(Request("Hi", user_id="zoe", params=SHORT))
    store.put(Profile("zoe", (FORMAL,)))
    old, new = list(chunks)[-1].generation, engine.generate("Hi", user_id="zoe", params=SHORT)
    assert [p.text for p in old.split.a + old.split.b] == ["Be concise", "Use images"]
    assert engine.generate(prepared).text == old.text
    assert [p.text for p in new.split.a] == ["Be formal"]
    assert (old.profile_version, new.profile_version) == (1, 2)
    assert old.fingerprint != new.fingerprint


def test_users_of_one_taste_have_fingerprints_of_their_own(engine, store):
    store.put(Profile("twin", (CONCISE, VIVID)))
    ana, twin = (engine.plan("Hi", user_id=u).fingerprint for u in ("ana", "twin"))
    assert ana != twin
    assert ana == engine.plan("Something else", user_id="ana").fingerprint


# --- results -------------------------------------------------------------------------------


def test_trace_usage_and_text_fit_together(engine):
    generation = engine.generate("Hello", user_id="ana", params=SHORT)
    assert "".join(t.text for t in generation.trace) == generation.text
    assert tuple(t.token_id for t in generation.trace) == generation.token_ids
    assert generation.usage.completion_tokens == len(generation.token_ids) == 12
    assert generation.usage.forward_passes == 12
    assert generation.usage.prompt_tokens < generation.usage.prompt_tokens_a
    judged = [t for t in generation.trace if t.outcome in ("accepted", "recovered")]
    accepted = [t for t in judged if t.outcome == "accepted"]
    assert generation.acceptance_rate == len(accepted) / len(judged)
    assert {t.judged_by for t in generation.trace} == {"A", "B"}
    assert all(t.drafted_by != t.judged_by for t in generation.trace)


def test_every_way_of_calling_gives_the_same_answer_for_a_seed(engine):
    request = Request("Hello", user_id="ana", params=SHORT)
    expected = engine.generate(request).text
    chunks = list(engine.stream(request))
    assert "".join(c.text for c in chunks) == expected
    assert sum((c.token_ids for c in chunks), ()) == chunks[-1].generation.token_ids
    assert all(c.text for c in chunks[:-1])
    assert [c.generation is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]
    others = [Request("Hi", params=SHORT), request, Request("A longer one", user_id="bo")]
    assert engine.generate_batch(others)[1].text == expected

    async def both():
        streamed = "".join([c.text async for c in engine.astream(request)])
        return (await engine.agenerate(request)).text, streamed

    assert asyncio.run(both()) == (expected, expected)


def test_a_drawn_seed_is_reported_and_repeats_the_answer(engine):
    first = engine.generate("Hi", user_id="ana", params=SamplingParams(max_new_tokens=20))
    again = engine.generate(
        "Hi", user_id="ana", params=SamplingParams(max_new_tokens=20, seed=first.seed)
    )
    other = engine.generate("Hi", user_id="ana", params=SamplingParams(max_new_tokens=20))
    assert first.text == again.text
    assert first.seed != other.seed


def test_an_end_of_sequence_token_ends_the_answer_and_is_not_in_it(engine):
    free = engine.generate("Hello", user_id="ana", params=GREEDY)
    eos = engine.tokenizer.eos_token_id
    place = 7
    forced = free.token_ids[place]
    first = free.token_ids.index(forced)
    other = tiny_engine(profiles=engine.profiles)
    other.model.generation_config.eos_token_id = [eos, forced]
    other = PersonaJudge(other.model, other.tokenizer, profiles=engine.profiles)
    ended = other.generate("Hello", user_id="ana", params=GREEDY)
    assert ended.token_ids == free.token_ids[:first]
    assert ended.finish_reason == "stop"
    assert ended.stop_sequence is None


def test_a_stop_string_ends_the_answer_before_it(engine):
    free = engine.generate("Hello", user_id="ana", params=SHORT).text
    stop = free[4:7]
    stopped = engine.generate(
        "Hello", user_id="ana", params=SamplingParams(max_new_tokens=12, seed=5, stop=stop)
    )
    assert stopped.text == free[: free.index(stop)]
    assert (stopped.finish_reason, stopped.stop_sequence) == ("stop", stop)
    assert "".join(t.text for t in stopped.trace) == stopped.text


@pytest.mark.parametrize(
    "override",
    [{"rule": "fixed"}, {"num_draft_tokens": 1}, {"turns": (3, 1)}, {"placement": "last"}],
)
def test_each_setting_can_be_overridden_per_call(store, override):
    engine = tiny_engine(profiles=store)
    params = SamplingParams(max_new_tokens=40, seed=1)
    plain = engine.generate("Hi", user_id="ana", params=params)
    changed = engine.generate("Hi", user_id="ana", params=params, **override)
    configured = tiny_engine(profiles=store, **override).generate(
        "Hi", user_id="ana", params=params
    )
    assert changed.text == configured.text != plain.text
    assert changed.fingerprint == configured.fingerprint != plain.fingerprint


def test_the_reference_loop_gives_the_greedy_answer_of_the_dual_one(store):
    engines = [tiny_engine(profiles=store, loop=loop) for loop in ("dual", "reference")]
    dual, reference = (e.generate("Hi", user_id="ana", params=GREEDY) for e in engines)
    assert dual.text == reference.text
    assert dual.acceptance_rate == reference.acceptance_rate
    assert reference.usage.forward_passes > dual.usage.forward_passes


def test_the_models_generation_config_fills_in_what_a_call_leaves_open():
    model = tiny_model()
    model.generation_config.do_sample = False
    engine = PersonaJudge(model, tiny_tokenizer())
    assert engine.plan("Hi").params.temperature == 0
    model.generation_config.do_sample = True
    model.generation_config.temperature = 0.3
    model.generation_config.top_k = 7
    engine = PersonaJudge(model, tiny_tokenizer())
    params = engine.plan("Hi", params=SamplingParams(top_k=0)).params
    assert (params.temperature, params.top_k, params.top_p) == (0.3, 0, 1.0)


def test_a_users_own_splitter_and_model_port_are_taken():
    def all_in_a(preferences, call):
        return Split(a=tuple(preferences), b=(), dropped=())

    engine = PersonaJudge(HistoryModel(261), tiny_tokenizer(), splitter=all_in_a)
    plan = engine.plan("Hi", preferences=["x y", "z"])
    assert plan.prompt_b is None
    assert engine.generate(plan).finish_reason in ("stop", "length")


# --- threads, cancelling, closing ------------------------------------------------------------


def test_threads_at_once_give_each_user_the_answer_of_a_lone_call(engine):
    calls = [
        Request(f"Question {i}", user_id=u, params=SamplingParams(max_new_tokens=15, seed=i))
        for i in range(4)
        for u in ("ana", "bo", "eve")
    ]
    alone = [engine.generate(c).text for c in calls]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda c: engine.generate(c).text, calls)) == alone

    async def gathered():
        return [g.text for g in await asyncio.gather(*[engine.agenerate(c) for c in calls])]

    assert asyncio.run(gathered()) == alone


class CountedForwards:
    """Counts forward passes, and calls back at each."""

    def __init__(self, engine, monkeypatch, on_pass=lambda count: None):
        self.count = 0
        forward = engine.model.forward

        def counted(*args, **kwargs):
            self.count += 1
            on_pass(self.count)
            return forward(*args, **kwargs)

        monkeypatch.setattr(engine.model, "forward", counted)


LONG = SamplingParams(max_new_tokens=400, seed=1, logit_bias={258: -100.0})


def test_a_stream_computes_what_is_read_and_nothing_after_it_is_closed(store, monkeypatch):
    engine = tiny_engine(profiles=store)
    passes = CountedForwards(engine, monkeypatch)
    chunks = engine.stream("Hi", user_id="ana", params=LONG)
    assert passes.count == 0
    next(chunks)
    read = passes.count
    assert read <= 8
    chunks.close()
    assert passes.count == read


def test_cancelling_a_task_stops_the_decoder_within_a_step(store, monkeypatch):
    engine = tiny_engine(profiles=store)
    started = threading.Event()
    passes = CountedForwards(engine, monkeypatch, lambda count: count == 3 and started.set())

    async def cancel():
        task = asyncio.create_task(engine.agenerate("Hi", user_id="ana", params=LONG))
        await asyncio.to_thread(started.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stopped = passes.count
        await asyncio.sleep(0.5)
        return stopped

    assert passes.count - asyncio.run(cancel()) <= 1


def test_leaving_an_async_stream_stops_the_decoder_within_a_step(store, monkeypatch):
    engine = tiny_engine(profiles=store)
    passes = CountedForwards(engine, monkeypatch)

    async def leave():
        stream = engine.astream("Hi", user_id="ana", params=LONG)
        await anext(stream)
        await stream.aclose()
        stopped = passes.count
        await asyncio.sleep(0.5)
        return stopped

    assert passes.count - asyncio.run(leave()) <= 2
    assert passes.count < 390


def test_an_async_stream_that_nobody_reads_computes_nothing(store, monkeypatch):
    engine = tiny_engine(profiles=store, proposals="off")
    passes = CountedForwards(engine, monkeypatch)

    async def pause():
        stream = engine.astream("Hi", user_id="ana", params=LONG)
        text, computed = "", 0
        for _ in range(5):
            text += (await anext(stream)).text
        await asyncio.sleep(0.2)
        computed = passes.count
        await asyncio.sleep(0.3)
        assert passes.count == computed
        assert computed < 40  # of 400
        return text + "".join([chunk.text async for chunk in stream])

    assert asyncio.run(pause()) == engine.generate("Hi", user_id="ana", params=LONG).text


def test_a_stream_whose_loop_is_gone_frees_its_thread(store):
    engine = tiny_engine(profiles=store)
    loop = asyncio.new_event_loop()
    stream = engine.astream("Hi", user_id="ana", params=LONG)
    loop.run_until_complete(anext(stream))
    loop.close()  # without a word to the stream
    deadline = time.monotonic() + 20
    while any("persona-judge" in t.name and _works(t) for t in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _works(thread):
    """Tell whether a thread of the crew is in the middle of a stream."""
    frame = sys._current_frames().get(thread.ident)
    while frame is not None:
        if frame.f_code.co_name == "produce":
            return True
        frame = frame.f_back
    return False


def test_an_error_in_an_async_stream_reaches_its_reader(store, monkeypatch):
    engine = tiny_engine(profiles=store)

    def fail_at_third(count):
        if count == 3:
            raise RuntimeError("device lost")

    CountedForwards(engine, monkeypatch, fail_at_third)

    async def read():
        return [c async for c in engine.astream("Hi", user_id="ana", params=LONG)]

    with pytest.raises(DecodingError, match="RuntimeError: device lost"):
        asyncio.run(asyncio.wait_for(read(), 10))


def test_closing_ends_running_calls_and_refuses_new_ones(store):
    engine = tiny_engine(profiles=store)
    chunks = engine.stream("Hi", user_id="ana", params=LONG)
    next(chunks)
    engine.close()
    assert list(chunks)[-1].generation.finish_reason == "cancelled"
    with pytest.raises(EngineClosedError):
        engine.generate("Hi")


# --- bad input, all of it before any forward pass ---------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"prompt": ""}, InvalidPromptError, "prompt"),
        ({"prompt": []}, InvalidPromptError, "prompt|messages"),
        ({"prompt": 7}, InvalidPromptError, "prompt"),
        ({"prompt": b"x"}, InvalidPromptError, "prompt"),
        ({"prompt": [{"role": "wizard", "content": "x"}]}, InvalidPromptError, "role"),
        ({"prompt": "x", "user_id": "nobody"}, UnknownUserError, "no profile"),
        ({"prompt": "x", "user_id": ""}, InvalidPreferenceError, "user_id"),
        ({"prompt": "x", "user_id": 3}, InvalidPreferenceError, "user_id"),
        ({"prompt": "x", "preferences": "Be brief"}, InvalidParameterError, "preferences"),
        ({"prompt": "x", "preferences": [""]}, InvalidPreferenceError, "preference"),
        ({"prompt": "x", "preferences": ["a\0b"]}, InvalidPreferenceError, "preference"),
        ({"prompt": "x", "preferences": ["\ud800"]}, InvalidPreferenceError, "preference"),
        ({"prompt": "x", "preferences": ["a" * 2001]}, InvalidPreferenceError, "2000|2,000"),
        ({"prompt": "x", "preferences": [3]}, InvalidPreferenceError, "preference"),
        (
            {"prompt": "x", "preferences": ["a"], "user_id": "ana"},
            InvalidParameterError,
            "preferences",
        ),
        ({"prompt": "x", "num_draft_tokens": 0}, InvalidParameterError, "num_draft_tokens"),
        ({"prompt": "x", "num_draft_tokens": 65}, InvalidParameterError, "num_draft_tokens"),
        ({"prompt": "x", "rule": "blend"}, InvalidParameterError, "rule"),
        ({"prompt": "x", "turns": (0, 1)}, InvalidParameterError, "turns"),
        ({"prompt": "x", "turns": 2}, InvalidParameterError, "turns"),
        ({"prompt": "x", "placement": "middle"}, InvalidParameterError, "placement"),
        ({"prompt": "x", "persona": "no"}, InvalidParameterError, "persona"),
        ({"prompt": "x", "params": {"temperature": 1}}, InvalidParameterError, "params"),
        ({"prompt": "x", "tools": [{}]}, InvalidPromptError, "tool"),
        ({"prompt": "x" * 1100}, ContextOverflowError, "1024"),
        (
            {"prompt": "x", "params": SamplingParams(max_new_tokens=1020)},
            ContextOverflowError,
            "1024",
        ),
        (
            {"prompt": "x", "preferences": [Preference("long " * 200, kind="must")]},
            PreferenceBudgetError,
            "must",
        ),
        (
            {"prompt": "x", "params": SamplingParams(logit_bias={261: 1.0})},
            InvalidParameterError,
            "logit_bias",
        ),
    ],
)
def test_bad_input_is_refused_by_name_before_any_forward_pass(
    store, monkeypatch, arguments, error, match
):
    engine = tiny_engine(profiles=store)
    forbid_forward(engine, monkeypatch)
    with pytest.raises(error, match=match):
        engine.generate(**arguments)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rule", "blend"),
        ("num_draft_tokens", 0),
        ("turns", (1, 0)),
        ("placement", "middle"),
        ("unknown_user", "guess"),
        ("loop", "triple"),
        ("profiles", {"ana": []}),
        ("splitter", "balanced"),
    ],
)
def test_bad_settings_are_refused_by_name(setting, value):
    with pytest.raises(InvalidParameterError, match=setting):
        tiny_engine(**{setting: value})


def test_unknown_arguments_are_refused_by_name(engine, tmp_path):
    with pytest.raises(TypeError, match="temprature"):
        engine.generate("x", temprature=1)
    with pytest.raises(InvalidParameterError, match="temprature"):
        engine.plan("x", temprature=1)
    with pytest.raises(InvalidParameterError, match="temprature"):
        engine.astream("x", temprature=1)
    with pytest.raises(InvalidParameterError, match="temprature"):
        PersonaJudge.from_pretrained(tmp_path, temprature=1)
    with pytest.raises(InvalidParameterError, match="user_id"):
        engine.generate(Request("x"), user_id="ana")


def test_a_bad_request_of_a_batch_costs_no_forward_pass(engine, monkeypatch):
    forbid_forward(engine, monkeypatch)
    with pytest.raises(UnknownUserError):
        engine.generate_batch([Request("x"), Request("x", user_id="nobody")])
    assert engine.generate_batch([]) == []


def test_a_required_user_that_is_missing_is_an_error(store):
    engine = tiny_engine(profiles=store, require_user=True)
    with pytest.raises(MissingUserError):
        engine.plan("Hi")
    assert engine.plan("Hi", persona=False).prompt_b is None
    assert engine.plan("Hi", user_id="ana").prompt_b is not None
    with no_persona():
        assert engine.plan("Hi").prompt_b is None


def test_unknown_users_may_be_answered_neutrally(store):
    engine = tiny_engine(profiles=store, unknown_user="neutral")
    assert engine.plan("Hi", user_id="nobody").fingerprint == "neutral"


@pytest.mark.parametrize("failure", [ValueError("x"), ConnectionError("db"), KeyError("u")])
def test_a_store_that_fails_is_never_silently_unpersonalised(failure):
    class Broken:
        def get(self, user_id):
            raise failure

        def put(self, profile, expected_version=None):
            raise failure

    engine = tiny_engine(profiles=Broken(), unknown_user="neutral")
    with pytest.raises(ProfileStoreUnavailableError) as caught:
        engine.generate("Hi", user_id="ana")
    assert caught.value.__cause__ is failure


@pytest.mark.parametrize(
    "answer", [None, {"user_id": "ana"}, Profile("bo", (Preference("Bo's own taste"),))]
)
def test_a_store_that_answers_with_anything_but_this_users_profile_is_an_error(answer):
    class Confused:
        def get(self, user_id):
            return answer

        def put(self, profile, expected_version=None):
            return profile

    with pytest.raises(ProfileStoreUnavailableError) as caught:
        tiny_engine(profiles=Confused()).plan("Hi", user_id="ana")
    assert "taste" not in str(caught.value)


@pytest.mark.parametrize(
    "splitter",
    [
        lambda p, call: 1 / 0,
        lambda p, call: (p, p),
        lambda p, call: Split(a=("text",), b=()),  # type: ignore[arg-type]
        lambda p, call: Split(a=p, b=(), turns=(0, 0)),
    ],
    ids=["fails", "a pair", "no preferences", "no turns"],
)
def test_a_splitter_that_fails_or_returns_something_else_is_refused_by_name(splitter):
    with pytest.raises(InvalidParameterError, match=r"splitter|turns"):
        tiny_engine(splitter=splitter).plan("Hi", preferences=["a", "b"])


def test_a_call_prepared_by_another_engine_is_refused(engine):
    prepared = tiny_engine().prepare(Request("Hi"))
    with pytest.raises(InvalidParameterError, match="very engine"):
        engine.generate(prepared)


def test_what_a_user_wrote_is_in_no_error_and_no_repr(engine):
    for bad in ({"preferences": "SECRET"}, {"preferences": ["SECRET" * 400]}):
        with pytest.raises(InvalidParameterError) as caught:
            Request("SECRET", **bad)
        assert "SECRET" not in str(caught.value)
    request = Request("SECRET", preferences=["SECRET"], params=SHORT)
    assert "SECRET" not in repr(request) + repr(engine.generate(request))


def test_a_batch_of_anything_but_requests_is_refused(engine):
    for bad in (None, "ab", Request("x"), ["x"]):
        with pytest.raises(InvalidParameterError, match="requests"):
            engine.generate_batch(bad)
    with pytest.raises(InvalidParameterError, match="request"):
        engine.prepare("x")


def test_a_huge_prompt_is_refused_before_it_is_tokenised(engine):
    with pytest.raises(InvalidPromptError, match="characters"):
        engine.plan("x" * 40_000)


def test_the_reference_loop_serves_calls_of_different_windows_in_one_batch(store):
    engine = tiny_engine(profiles=store, loop="reference")
    requests = [
        Request("Hi", user_id="ana", params=SHORT, num_draft_tokens=2),
        Request("Hi", user_id="bo", params=SHORT),
        Request("Hello", user_id="ana", params=SHORT, rule="fixed"),
    ]
    alone = [engine.generate(r).text for r in requests]
    assert [g.text for g in engine.generate_batch(requests)] == alone


def test_async_calls_on_a_closed_engine_say_so(store):
    engine = tiny_engine(profiles=store)
    early = engine.astream("Hi", user_id="ana", params=SHORT)
    engine.close()

    async def read(stream):
        return [chunk async for chunk in stream]

    with pytest.raises(EngineClosedError):
        asyncio.run(read(early))
    with pytest.raises(EngineClosedError):
        asyncio.run(engine.agenerate("Hi"))
    with pytest.raises(EngineClosedError):
        engine.astream("Hi")


def test_streams_that_wait_for_a_thread_end_when_the_engine_is_closed(store):
    engine = tiny_engine(profiles=store)
    engine._crew = aio.Crew(1, 8)

    async def run():
        async def read():
            return [c async for c in engine.astream("Hi", user_id="ana", params=LONG)]

        tasks = [asyncio.create_task(read()) for _ in range(3)]
        await asyncio.sleep(0.2)
        engine.close()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)

    first, *waiting = asyncio.run(run())
    assert first[-1].generation.finish_reason == "cancelled"
    assert all(isinstance(w, EngineClosedError) for w in waiting)


def test_a_user_without_a_store_is_an_error_that_does_not_repeat_the_id():
    with pytest.raises(InvalidParameterError, match="profiles") as caught:
        tiny_engine().generate("Hi", user_id="secret-id")
    assert "secret-id" not in str(caught.value)


def test_the_default_length_shrinks_to_the_room_there_is(engine):
    assert engine.plan("x" * 900).params.max_new_tokens < 256


def test_no_error_is_one_that_frameworks_swallow():
    def tree(error):
        yield error
        for child in error.__subclasses__():
            yield from tree(child)

    assert not [e for e in tree(PersonaJudgeError) if issubclass(e, ValueError | TypeError)]


def test_a_prepared_call_shows_nothing_personal(engine):
    shown = repr(engine.plan("my secret question", user_id="ana"))
    assert "secret" not in shown
    assert "ana" not in shown
    assert "concise" not in shown
