"""Compiled grammars: kept, shared by texts and threads, and refused with a reason."""

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import transformers

from persona_judge_llm.constraints import Constraint
from persona_judge_llm.errors import (
    DecodingError,
    InvalidParameterError,
    MissingDependencyError,
    UnsupportedModelError,
)
from persona_judge_llm.models import grammars as module
from persona_judge_llm.models.grammars import Grammars
from persona_judge_llm.testing import tiny_tokenizer
from tests.unit.models.walks import allowed_tokens, uniform, walk

EOS = 258
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {"type": "string"}}},
    "required": ["a", "b"],
}
HELD = Constraint.json_schema(SCHEMA)
FREE = Constraint.tool_calls([{"name": "f", "parameters": SCHEMA}])


@pytest.fixture(scope="module")
def grammars():
    return Grammars(tiny_tokenizer(), 261, [EOS])


def drawn(compiled, seed, room=60):
    return walk(compiled, room, uniform(random.Random(seed)), [EOS]).tokens


# --- keeping --------------------------------------------------------------------------------------


def test_a_grammar_is_compiled_once(grammars):
    again = Constraint.json_schema(dict(SCHEMA))
    assert again is not HELD
    assert grammars.compile(HELD) is grammars.compile(again)
    other = Constraint.json_schema({**SCHEMA, "required": ["a"]})
    assert grammars.compile(other) is not grammars.compile(HELD)


def test_grammars_that_differ_in_their_flags_alone_are_kept_apart(grammars):
    held = Constraint("start: /ab?/")
    free = Constraint("start: /ab?/", optional=True)
    assert grammars.compile(held).least_tokens == grammars.compile(free).least_tokens + 1 == 2


def test_those_used_last_are_kept(monkeypatch):
    monkeypatch.setattr(module, "MOST_COMPILED", 2)
    grammars = Grammars(tiny_tokenizer(), 261, [EOS])
    one, two, three = (Constraint.choice([c]) for c in "abc")
    first, second = grammars.compile(one), grammars.compile(two)
    assert grammars.compile(one) is first
    third = grammars.compile(three)  # in the place of the one not used for longest
    assert grammars.compile(one) is first
    assert grammars.compile(three) is third
    assert grammars.compile(two) is not second


# --- sharing --------------------------------------------------------------------------------------


def test_texts_leave_no_mark_on_the_grammar_that_they_share(grammars):
    compiled = grammars.compile(HELD)
    least, first = compiled.least_tokens, allowed_tokens(compiled.follow(60))
    texts = [drawn(compiled, seed) for seed in range(10)]
    assert compiled.least_tokens == least
    assert allowed_tokens(compiled.follow(60)) == first
    assert [drawn(compiled, seed) for seed in range(10)] == texts
    for _ in range(5):  # each as short as it can be
        assert len(drawn(compiled, 1, least)) == least - 1
    short = grammars.compile(Constraint.choice(["ab", "wxyz"]))
    for _ in range(3):  # there is no room for what is drawn first
        found = walk(short, 3, lambda allowed, _: allowed[-1], [EOS])
        assert tiny_tokenizer().decode(found.tokens) == "ab"
        assert found.replaced
        assert short.least_tokens == 3


def test_texts_side_by_side_are_those_of_one_after_the_other(grammars):
    compiled = grammars.compile(HELD)
    alone = [drawn(compiled, seed) for seed in range(12)]
    following = [compiled.follow(60) for _ in alone]
    rngs = [random.Random(seed) for seed in range(12)]
    texts, order = [[] for _ in alone], random.Random(0)
    while left := [i for i in range(12) if texts[i][-1:] != [EOS]]:
        i = order.choice(left)
        texts[i].append(following[i].commit(rngs[i].choice(allowed_tokens(following[i]))))
    assert [text[:-1] for text in texts] == alone


def test_what_is_allowed_does_not_change_by_being_asked_for(grammars):
    following = grammars.compile(HELD).follow(60)
    rng = random.Random(3)
    for _ in range(20):
        before = following.allowed()
        forced = following.forced()
        assert following.forced() == forced
        assert following.allowed() == before
        if forced:
            assert forced[0] in allowed_tokens(following)
        token = following.commit(rng.choice(allowed_tokens(following)))
        if token == EOS:
            break
        assert following.allowed() != before or not forced


def test_forced_tokens_are_what_comes_next(grammars):
    following = grammars.compile(HELD).follow(60)
    forced = following.forced()
    assert tiny_tokenizer().decode(forced) == '{"a": '
    for token in forced:
        assert allowed_tokens(following) == [token]
        assert following.commit(token) == token
    assert following.forced() == []
    free = grammars.compile(FREE).follow(60)
    assert free.forced() == []


def test_threads_share_grammars_and_mix_up_no_texts():
    grammars = Grammars(tiny_tokenizer(), 261, [EOS])
    held = [
        Constraint.json_schema({**SCHEMA, "properties": {**SCHEMA["properties"], name: {}}})
        for name in "cdef"
    ]
    gate = threading.Barrier(16)

    def work(number):
        gate.wait(60)
        found = []
        for turn in range(6):
            compiled = grammars.compile(held[(number + turn) % 4])
            found.append((compiled, drawn(compiled, 100 * number + turn)))
        return found

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(16)))
    compiled = {id(c) for found in results for c, _ in found}
    assert compiled == {id(grammars.compile(h)) for h in held}
    for number, found in enumerate(results):
        for turn, (shared, text) in enumerate(found):
            assert drawn(shared, 100 * number + turn) == text


def test_a_thread_that_compiles_lets_texts_of_others_go_on(grammars):
    compiled = grammars.compile(HELD)
    with grammars._lock, ThreadPoolExecutor(1) as pool:
        assert pool.submit(drawn, compiled, 4).result(60) == drawn(compiled, 4)


# --- what cannot be compiled ----------------------------------------------------------------------


@pytest.fixture
def without_llguidance(monkeypatch):
    for name in ("llguidance", "llguidance.hf", "llguidance._lib"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("without_llguidance")
def test_without_the_extra_explicit_constraints_name_it_and_others_are_left_out():
    grammars = Grammars(tiny_tokenizer(), 261, [EOS])
    assert not grammars.available
    for held in (HELD, Constraint.tool_calls([{"name": "f"}], "any"), Constraint.choice(["a"])):
        with pytest.raises(MissingDependencyError, match=r"persona-judge-llm\[structured\]") as e:
            grammars.compile(held)
        assert e.value.extra == "structured"
        assert "llguidance" in str(e.value)
    assert grammars.compile(FREE) is None


def test_with_the_extra_it_can_be_told_that_constraints_work(grammars):
    assert grammars.available


def test_a_vocabulary_may_be_read_beforehand(monkeypatch):
    for unsupported in UNSUPPORTED.values():
        unsupported().warm_up()
    Grammars(tiny_tokenizer(), 200, [EOS]).warm_up()
    grammars = Grammars(tiny_tokenizer(), 261, [EOS])
    grammars.warm_up()
    monkeypatch.setitem(sys.modules, "llguidance.hf", None)  # so it cannot be read any more
    assert drawn(grammars.compile(HELD), 1)


def test_where_no_constraints_are_in_use_all_are_refused():
    grammars = Grammars(tiny_tokenizer(), 261, [EOS], in_use=False)
    assert not grammars.available
    grammars.warm_up()
    with pytest.raises(InvalidParameterError, match="left out with loop='reference'"):
        grammars.compile(HELD)
    assert grammars.compile(FREE) is None


UNSUPPORTED = {
    "a slow tokenizer": lambda: Grammars(transformers.ByT5Tokenizer(), 384, [1]),
    "no end of sequence": lambda: Grammars(tiny_tokenizer(), 261, []),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_tokenizers_whose_tokens_cannot_be_told_are_unsupported(name):
    grammars = UNSUPPORTED[name]()
    assert not grammars.available
    for _ in range(2):
        with pytest.raises(UnsupportedModelError, match="fast tokenizer and an end"):
            grammars.compile(HELD)
        assert grammars.compile(FREE) is None


def test_a_tokenizer_of_more_tokens_than_the_model_is_unsupported():
    grammars = Grammars(tiny_tokenizer(), 200, [EOS])
    with pytest.raises(UnsupportedModelError):
        grammars.compile(HELD)
    assert grammars.compile(FREE) is None


def test_tokens_of_the_model_that_the_tokenizer_lacks_are_never_allowed():
    grammars = Grammars(tiny_tokenizer(), 320, [EOS])
    following = grammars.compile(Constraint("start: /(.|\\n)*/")).follow(60)
    assert 8 * len(following.allowed()) >= 320
    assert max(allowed_tokens(following)) < 261


def test_any_end_of_sequence_token_ends_a_text():
    grammars = Grammars(tiny_tokenizer(), 261, [EOS, 256])
    compiled = grammars.compile(Constraint.choice(["a", "ab"]))
    first, second = tiny_tokenizer().encode("ab")
    for end in (256, EOS):
        following = compiled.follow(60)
        assert allowed_tokens(following) == [first]
        assert following.commit(first) == first
        assert sorted(allowed_tokens(following)) == sorted([second, 256, EOS])
        assert following.commit(end) == end


BAD = {
    "no grammar": Constraint("start: (("),
    "no start": Constraint("begin: /a/"),
    "no schema": Constraint.json_schema({"type": "sausage"}),
    "no JSON": Constraint.json_schema({"minimum": float("nan"), "type": "number"}),
    "a reference to nothing": Constraint.json_schema({"$ref": "#/$defs/nothing"}),
    "nothing fits": Constraint.json_schema({"type": "integer", "minimum": 5, "maximum": 3}),
    "a keyword that is not understood": Constraint.json_schema(
        {"type": "array", "uniqueItems": True}
    ),
    "longer than any answer": Constraint("start: /a{3000}/"),
    "without end": Constraint.json_schema(
        {
            "$ref": "#/$defs/n",
            "$defs": {
                "n": {
                    "type": "object",
                    "properties": {"n": {"$ref": "#/$defs/n"}},
                    "required": ["n"],
                }
            },
        }
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_decoded_by_is_refused_with_a_reason(grammars, name):
    for _ in range(2):  # and is not kept
        with pytest.raises(InvalidParameterError, match="constraint must be") as caught:
            grammars.compile(BAD[name])
        assert caught.value.name == "constraint"


def test_a_tool_whose_schema_is_not_understood_leaves_the_text_free(grammars):
    tool = {"name": "f", "parameters": {"type": "array", "uniqueItems": True}}
    assert grammars.compile(Constraint.tool_calls([tool])) is None
    with pytest.raises(InvalidParameterError, match="constraint"):
        grammars.compile(Constraint.tool_calls([tool], "any"))
    assert grammars.compile(FREE) is not None  # the others go on


def test_a_grammar_that_takes_too_many_steps_is_an_error_of_its_text_alone(grammars):
    """A token that the grammar refuses after its own ending was taken away."""
    compiled = grammars.compile(HELD)
    following, other = compiled.follow(60), compiled.follow(60)
    following._ending[:] = [EOS]
    with pytest.raises(DecodingError, match="cannot be followed"):
        following.commit(EOS)
    assert other.commit(allowed_tokens(other)[0]) in range(261)
