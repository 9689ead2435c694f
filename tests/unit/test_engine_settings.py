"""What an engine can be told: refused by name where it cannot be used, and kept where it can."""

import inspect
from dataclasses import fields, replace
from typing import Any

import pytest
import transformers

from persona_judge_llm.arguments import CALL_ARGUMENTS, ENGINE_SETTINGS, given
from persona_judge_llm.decoding.proposals import PassCosts
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError, UnsupportedModelError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.models.weights import packed
from persona_judge_llm.models.weights.preparing import int8_kind
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.splitting import default_splitter
from persona_judge_llm.testing import HistoryModel, tiny_engine, tiny_model, tiny_tokenizer

LIKES = ["Be concise", "Use images"]
LETTERS = dict.fromkeys(range(64, 90), 50.0)
GREEDY = SamplingParams(max_new_tokens=24, temperature=0, logit_bias={258: -100.0})
SEEDED = SamplingParams(max_new_tokens=24, seed=3, logit_bias={258: -100.0})

BAD: dict[str, list[Any]] = {
    "profiles": [{"ana": []}, 3, "sqlite:///x"],
    "rule": ["blend", None, 1, []],
    "num_draft_tokens": [0, 65, None, 2.0, True, "4"],
    "turns": [(1, 0), (1,), 2, (1, 17), (True, 1), "ab"],
    "strength": [-1, None, 11, "1", True],
    "placement": ["middle", None, 3],
    "splitter": ["balanced", None, 3],
    "require_user": [None, "no", 1],
    "unknown_user": ["guess", None, []],
    "loop": ["triple", None, 2],
    "proposals": ["on", None, True],
    "assistant": ["a/model", 3, tiny_tokenizer()],
    "prefix_cache_bytes": [-1, None, 1.5, True, "1GB"],
    "weights": ["int4", None, [], 8],
    "cuda_graphs": [None, "yes", 1],
    "max_batch": [0, -3, None, 2.0, True],
    "max_queue": [-1, None, 0.5, False],
}
GOOD: dict[str, Any] = {
    "profiles": InMemoryProfileStore([Profile("ana", (Preference("Be brief"),))]),
    "rule": "fixed",
    "num_draft_tokens": 2,
    "turns": (2, 1),
    "strength": 0.5,
    "placement": "last",
    "splitter": default_splitter,
    "require_user": True,
    "unknown_user": "neutral",
    "loop": "reference",
    "proposals": "off",
    "assistant": None,
    "prefix_cache_bytes": 0,
    "weights": "plain",
    "cuda_graphs": False,
    "max_batch": 1,
    "max_queue": 0,
}


# --- Names ----------------------------------------------------------------------------------------


def keyword_only(function):
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_the_lists_of_names_are_those_of_the_signatures():
    assert tuple(keyword_only(PersonaJudge.__init__)) == ENGINE_SETTINGS
    assert tuple(keyword_only(PersonaJudge.generate)) == CALL_ARGUMENTS
    assert tuple(keyword_only(PersonaJudge.stream)) == CALL_ARGUMENTS
    assert tuple(f.name for f in fields(Request))[1:] == CALL_ARGUMENTS
    assert set(BAD) == set(GOOD) == set(ENGINE_SETTINGS)


@pytest.mark.parametrize("method", [PersonaJudge.generate, PersonaJudge.stream])
def test_arguments_at_their_defaults_count_as_left_out_and_no_others(method):
    defaults = keyword_only(method)
    assert given(defaults) == {}
    for name in CALL_ARGUMENTS:
        assert given({**defaults, name: "something"}) == {name: "something"}
    assert given({**defaults, "persona": False}) == {"persona": False}


@pytest.mark.parametrize("loader", ["bundled", "from_pretrained"])
def test_a_loader_refuses_names_that_are_no_setting(loader, tmp_path):
    arguments = [tmp_path] if loader == "from_pretrained" else []
    with pytest.raises(InvalidParameterError, match="max_bach"):
        getattr(PersonaJudge, loader)(*arguments, max_bach=2)


# --- Values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
@pytest.mark.parametrize("new_model", [tiny_model, lambda: HistoryModel(261)])
def test_a_setting_that_cannot_be_used_is_refused_by_name(name, value, new_model):
    with pytest.raises(InvalidParameterError, match=rf"\b{name}\b"):
        PersonaJudge(new_model(), tiny_tokenizer(), **{name: value})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("loader", ["bundled", "from_pretrained"])
def test_a_loader_takes_every_setting(loader, folder):
    arguments = [folder] if loader == "from_pretrained" else []
    engine = getattr(PersonaJudge, loader)(*arguments, **GOOD)
    plan = engine.plan("Hi", user_id="ana")
    assert (plan.rule, plan.num_draft_tokens, plan.placement) == ("fixed", 2, "last")
    assert plan.turns == (2, 1)
    assert engine.plan("Hi", user_id="nobody").fingerprint == "neutral"
    answer = engine.generate("Hi", user_id="ana", params=SamplingParams(max_new_tokens=3))
    assert 0 <= len(answer.token_ids) <= 3


@pytest.mark.parametrize("loader", ["bundled", "from_pretrained"])
@pytest.mark.parametrize("bad", [{"weights": "int4"}, {"max_batch": 0}, {"loop": "triple"}])
def test_a_loader_refuses_settings_that_cannot_be_used(loader, bad, folder):
    arguments = [folder] if loader == "from_pretrained" else []
    with pytest.raises(InvalidParameterError, match=next(iter(bad))):
        getattr(PersonaJudge, loader)(*arguments, **bad)


# --- Weights --------------------------------------------------------------------------------------


@pytest.mark.skipif(not packed.is_available(tiny_model().dtype), reason="no such kernels here")
@pytest.mark.parametrize("params", [GREEDY, SEEDED])
def test_packed_weights_give_the_text_of_plain_ones(params):
    answers = [
        tiny_engine(weights=weights).generate("Hello", preferences=LIKES, params=params)
        for weights in ("plain", "packed")
    ]
    assert answers[0].token_ids == answers[1].token_ids


@pytest.mark.skipif(int8_kind() is None, reason="no such kernels here")
def test_int8_weights_answer_alike_alone_and_in_company():
    engine = tiny_engine(weights="int8")
    requests = [Request(f"{n}", preferences=LIKES, params=SEEDED) for n in range(3)]
    texts = [engine.generate(r).text for r in requests]
    assert [g.text for g in engine.generate_batch(requests)] == texts
    assert len(set(texts)) == 3


@pytest.mark.parametrize("weights", ["packed", "int8"])
def test_weights_of_a_model_that_is_no_transformers_model_are_left_alone(weights):
    with pytest.raises(InvalidParameterError, match="weights must be 'plain' for a LanguageModel"):
        PersonaJudge(HistoryModel(261), tiny_tokenizer(), weights=weights)
    PersonaJudge(HistoryModel(261), tiny_tokenizer(), weights="auto")


# --- Guesses --------------------------------------------------------------------------------------


@pytest.fixture
def guesses_are_free(monkeypatch):
    """Whether guesses pay depends on the clock; here they always do."""
    monkeypatch.setattr(PassCosts, "of", lambda self, rows, places: 1.0)
    monkeypatch.setattr(PassCosts, "passes", lambda self, seconds, rows: 0.0)


@pytest.mark.parametrize("params", [GREEDY, replace(SEEDED, temperature=0.3)])
@pytest.mark.parametrize("arguments", [{}, {"preferences": LIKES}])
def test_guesses_change_the_number_of_passes_and_not_the_text(guesses_are_free, params, arguments):
    prompt = "abcabcabc " * 6
    off, auto, assisted = (
        tiny_engine(proposals="off"),
        tiny_engine(proposals="auto"),
        tiny_engine(assistant=tiny_model()),
    )
    answers = [e.generate(prompt, params=params, **arguments) for e in (off, auto, assisted)]
    assert answers[0].token_ids == answers[1].token_ids == answers[2].token_ids
    assert len({tuple(t.outcome for t in a.trace) for a in answers}) == 1
    assert off.metrics.proposed_tokens == 0
    assert assisted.metrics.proposed_tokens > 0
    assert assisted.metrics.proposed_tokens_used > 0
    assert assisted.metrics.forward_passes < off.metrics.forward_passes


def test_text_that_repeats_itself_takes_fewer_passes(guesses_are_free):
    params = SamplingParams(max_new_tokens=30, temperature=0, logit_bias={64: 1000.0})
    engines = [tiny_engine(proposals=proposals) for proposals in ("off", "auto")]
    off, auto = (e.generate("aaa", preferences=LIKES, params=params) for e in engines)
    assert off.token_ids == auto.token_ids == (64,) * 30
    assert auto.usage.forward_passes < 0.6 * off.usage.forward_passes
    assert engines[1].metrics.proposed_tokens_used > 10
    assert engines[0].metrics.proposed_tokens == 0


def test_an_assistant_must_be_another_model_that_can_rewind():
    model = HistoryModel(261)
    with pytest.raises(InvalidParameterError, match="assistant"):
        PersonaJudge(model, tiny_tokenizer(), assistant=model)
    fixed = HistoryModel(261)
    fixed.can_rewind = False
    with pytest.raises(UnsupportedModelError, match="assistant"):
        PersonaJudge(model, tiny_tokenizer(), assistant=fixed)


# --- What is kept of earlier calls ----------------------------------------------------------------


def test_a_prefix_cache_of_no_bytes_keeps_nothing():
    engine = tiny_engine(prefix_cache_bytes=0)
    for _ in range(2):
        engine.generate("Hello", preferences=LIKES, params=GREEDY)
    metrics = engine.metrics
    assert (metrics.prefix_cache_bytes, metrics.prefix_cache_hits) == (0, 0)
    assert metrics.prefix_cache_tokens_reused == 0
    assert len(engine.language_model.prefix_cache) == 0
    once = tiny_engine(prefix_cache_bytes=0)
    once.generate("Hello", preferences=LIKES, params=GREEDY)
    assert metrics.prompt_tokens_computed == 2 * once.metrics.prompt_tokens_computed


def test_a_prefix_cache_stays_within_its_bytes():
    engine = tiny_engine(prefix_cache_bytes=60_000)
    sizes = []
    for n in range(6):
        engine.generate(f"{n} " * 20, params=GREEDY)
        sizes.append(engine.metrics.prefix_cache_bytes)
    assert 0 < min(sizes) <= max(sizes) <= 60_000


@pytest.mark.parametrize("placement", ["system", "last"])
@pytest.mark.parametrize("likes", [[], LIKES[:1], LIKES])
def test_the_second_turn_computes_only_what_is_new(likes, placement):
    engine = tiny_engine(placement=placement)
    params = SamplingParams(max_new_tokens=24, seed=3, logit_bias=LETTERS)
    chat = [{"role": "user", "content": "A question that is somewhat long"}]
    first = engine.generate(chat, preferences=likes, params=params)
    before = engine.metrics.prompt_tokens_computed
    chat += [
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "And then?"},
    ]
    again = engine.generate(chat, preferences=likes, params=params)
    computed = engine.metrics.prompt_tokens_computed - before
    plan = engine.plan(chat, preferences=likes)
    rows = [ids for ids in (plan.prompt_ids_a, plan.prompt_ids_b) if ids is not None]
    cold = tiny_engine(placement=placement, prefix_cache_bytes=0)
    expected = cold.generate(chat, preferences=likes, params=params)
    assert again.token_ids == expected.token_ids
    if placement == "system":
        # All but the first turn's prompt and its answer, whose last token was never fed.
        old = engine.plan(chat[:1], preferences=likes)
        known = len(old.prompt_ids_a) + len(first.token_ids) - 1
        assert computed == sum(len(row) for row in rows) - known * len(rows)
    else:
        assert computed < cold.metrics.prompt_tokens_computed


def test_an_answer_from_the_cache_is_the_answer_without_it():
    engine = tiny_engine()
    request = Request("Hello", preferences=LIKES, params=SEEDED)
    first, second = engine.generate(request), engine.generate(request)
    assert first.token_ids == second.token_ids
    assert engine.metrics.prefix_cache_tokens_reused > 0
    assert [t.outcome for t in first.trace] == [t.outcome for t in second.trace]


def test_the_model_is_not_its_own_assistant():
    model = tiny_model()
    with pytest.raises(InvalidParameterError, match="assistant"):
        PersonaJudge(model, tiny_tokenizer(), assistant=model)


def test_a_tokenizer_of_more_tokens_than_the_model_has_is_refused_before_any_pass():
    config = transformers.LlamaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=4, max_position_embeddings=512, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    engine = PersonaJudge(tiny_model(config), tiny_tokenizer())
    with pytest.raises(UnsupportedModelError, match="resize its embeddings"):
        engine.generate("Hi")
    assert engine.metrics.forward_passes == 0


def test_the_prefix_cache_can_be_cleared():
    with tiny_engine() as engine:
        engine.generate("Hi", params=SamplingParams(max_new_tokens=3))
        assert engine.metrics.prefix_cache_bytes > 0
        engine.clear_prefix_cache()
        assert engine.metrics.prefix_cache_bytes == 0
