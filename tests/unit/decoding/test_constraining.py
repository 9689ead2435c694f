"""Each text follows its own grammar, whoever is decoded beside it, comes or goes."""

import random
from dataclasses import replace

import pytest
import torch

from persona_judge_llm.decoding.dual import DualDecoding
from persona_judge_llm.decoding.proposals import NGramProposer
from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.errors import PersonaJudgeError
from persona_judge_llm.metrics import Metrics
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.sampling import RowParams, SamplingParams, logits_to_probs
from persona_judge_llm.testing import HistoryModel, tiny_model
from tests.unit.decoding.held import Held
from tests.unit.decoding.test_proposals import HITS, Free, Oracle

LENGTH = 18
A, B = (0, 2, 1), (1, 3)
MODELS = {
    "history": lambda: HistoryModel(vocab_size=17, seed=5),
    "Hugging Face": lambda: HuggingFaceModel(tiny_model()),
}
SAMPLED = SamplingParams(temperature=0.9, top_p=0.95)
GREEDY = SamplingParams(temperature=0)
PENALISED = SamplingParams(top_k=5, repetition_penalty=1.3)
PARAMS = {"sampled": SAMPLED, "greedy": GREEDY, "repetition penalty": PENALISED}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


def every(step, offset=0, vocab_size=17):
    """Allow tokens of one remainder, others at every second place."""

    def rule(text):
        first = (offset + (sum(text) if len(text) % 2 else 0)) % step
        return range(first, vocab_size, step)

    return rule


def task(
    held=None, params=SAMPLED, prompt_a=A, prompt_b=B, *, lam=3, turns=(1, 1), seed=3, n=LENGTH
):
    resolved = replace(params, max_new_tokens=n).resolved(SamplingParams())
    return DecodeTask(
        prompt_a=prompt_a, prompt_b=prompt_b, params=resolved, seed=seed, num_draft_tokens=lam,
        turns=turns, constraint=held,
    )  # fmt: skip


def decoded(decoding, count, length=LENGTH):
    """Return the first tokens of each task, or its error, each finished as soon as it has them."""
    found = [[] for _ in range(count)]
    while step := decoding.step():
        for index, new in step:
            if isinstance(new, PersonaJudgeError):
                found[index] = new
                decoding.finish(index)
                continue
            found[index] += new
            if len(found[index]) >= length:
                decoding.finish(index)
    return [text if isinstance(text, PersonaJudgeError) else text[:length] for text in found]


def ids(tokens):
    return [token.token_id for token in tokens]


def facts(tokens):
    return [(t.token_id, t.outcome, t.judged_by) for t in tokens]


def alone(model, one):
    return decoded(DualDecoding(model, [one]), 1)[0]


def masked_probs(model, prompt, text, held, params=SAMPLED):
    """Return what one side may draw from behind a text, computed without any decoder."""
    tokens = [*prompt, *text]
    if isinstance(model, HistoryModel):
        logits = model.logits(tokens)
    else:
        with torch.inference_mode():
            logits = model.model(torch.tensor([tokens])).logits[0, -1]
    hidden = torch.ones(model.vocab_size, dtype=torch.bool)
    hidden[list(held.rule(tuple(text)))] = False
    row = RowParams.of([params.resolved(SamplingParams())], model.vocab_size)
    return logits_to_probs(logits.masked_fill(hidden, -torch.inf)[None], row)[0]


# --- both sides -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt_b", [B, None])
def test_greedy_is_the_judges_likeliest_of_what_is_allowed(model, prompt_b):
    held = Held(every(5, 2, model.vocab_size), model.vocab_size)
    tokens = alone(model, task(held, GREEDY, prompt_b=prompt_b))
    text = []
    for token in tokens:
        prompt = B if token.judged_by == "B" else A
        expected = int(masked_probs(model, prompt, text, held, GREEDY).argmax())
        assert token.token_id == expected
        text.append(token.token_id)
    free = alone(model, task(None, GREEDY, prompt_b=prompt_b))
    assert ids(free) != ids(tokens)
    assert {t.judged_by for t in tokens} == ({"A", "B"} if prompt_b else {None})


def test_what_is_reported_are_the_masked_distributions_of_both_sides(model):
    params = SamplingParams(temperature=1.2)
    held = Held(every(3, 1, model.vocab_size), model.vocab_size)
    tokens = alone(model, task(held, params))
    text, differing = [], 0
    for token in tokens:
        judge, draft = (B, A) if token.judged_by == "B" else (A, B)
        judge_probs, draft_probs = (
            masked_probs(model, p, text, held, params) for p in (judge, draft)
        )
        assert token.judge_prob == pytest.approx(float(judge_probs[token.token_id]), rel=1e-3)
        assert token.draft_prob == pytest.approx(
            float(draft_probs[token.token_id]), rel=1e-3, abs=1e-6
        )
        differing += abs(token.judge_prob - token.draft_prob) > 0.01
        text.append(token.token_id)
    assert differing


@pytest.mark.parametrize("params", PARAMS)
def test_a_grammar_that_allows_everything_changes_nothing(model, params):
    held = Held(lambda _: range(model.vocab_size), model.vocab_size)
    with_it = alone(model, task(held, PARAMS[params]))
    assert facts(with_it) == facts(alone(model, task(None, PARAMS[params])))


def test_a_text_begins_with_the_room_that_it_asked_for():
    model, held = HistoryModel(vocab_size=17), Held(every(3), 17)
    decoded(DualDecoding(model, [task(held, n=5), task(held, n=9)]), 2)
    assert held.rooms == [5, 9]
    assert len(held.texts) == 2


# --- others ---------------------------------------------------------------------------------------


def mixed(model, rng, count):
    """Return tasks of all kinds, and their grammars; no two of them allow the same texts."""
    tasks = []
    for number in range(count):
        step = rng.choice([5, 7])
        held = Held(every(step, number, model.vocab_size), model.vocab_size)
        tasks.append(
            task(
                None if rng.random() < 0.3 else held,
                rng.choice(list(PARAMS.values())),
                tuple(rng.randrange(17) for _ in range(rng.randint(1, 6))),
                rng.choice([None, tuple(rng.randrange(17) for _ in range(rng.randint(1, 6)))]),
                lam=rng.randint(1, 4),
                turns=rng.choice([(1, 1), (2, 1), (0, 1)]),
                seed=number,
            )
        )
    return tasks


def assert_own(one, tokens, expected):
    """The tokens are the task's own, and so are those that its grammar was told of."""
    assert facts(tokens) == facts(expected)
    if one.constraint is None:
        return
    text = tuple(ids(tokens))
    for place, token in enumerate(text):
        assert token in one.constraint.rule(text[:place])
    for followed in one.constraint.texts:
        assert followed.tokens[: len(text)] == text


@pytest.mark.parametrize("seed", range(2))
def test_each_task_of_a_batch_is_decoded_as_if_alone(model, seed):
    tasks = mixed(model, random.Random(seed), 9)
    expected = [alone(model, one) for one in tasks]
    together = decoded(DualDecoding(model, tasks), len(tasks))
    for one, tokens, own in zip(tasks, together, expected, strict=True):
        assert_own(one, tokens, own)


@pytest.mark.parametrize("seed", range(3))
def test_grammars_stay_with_their_texts_while_others_join_and_leave(model, seed):
    rng = random.Random(f"comings and goings {seed}")
    tasks = mixed(model, rng, 11)
    expected = [alone(model, one) for one in tasks]
    lengths = [rng.choice([1, 2, 3, 7, 12, LENGTH]) for _ in tasks]
    decoding, waiting = DualDecoding(model), list(range(len(tasks)))
    rng.shuffle(waiting)
    place_of, found, left = {}, {}, set()
    while len(left) < len(tasks):
        for _ in range(rng.choice([0, 0, 1, 2, 4])):
            if waiting:
                number = waiting.pop()
                place_of[decoding.join(tasks[number])] = number
        for index, new in decoding.step():
            number = place_of[index]
            found.setdefault(number, []).extend(new)
            if number not in left and len(found[number]) >= lengths[number]:
                decoding.finish(index)
                left.add(number)
    for number, one in enumerate(tasks):
        assert_own(one, found[number], expected[number][: len(found[number])])
        # Nobody else's tokens came before, between or behind.
        if one.constraint is not None:
            assert one.constraint.texts[-1].tokens == tuple(ids(found[number]))


def test_one_grammar_may_hold_many_texts_at_once(model):
    held = Held(every(4, 1, model.vocab_size), model.vocab_size)
    tasks = [task(held, seed=seed) for seed in range(6)]
    expected = [alone(model, one) for one in tasks]
    del held.texts[:]
    together = decoded(DualDecoding(model, tasks), 6)
    assert [facts(t) for t in together] == [facts(t) for t in expected]
    assert [text.tokens[:LENGTH] for text in held.texts] == [tuple(ids(t)) for t in together]
    assert len({tuple(ids(t)) for t in together}) == 6


# --- guesses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("hits", HITS)
@pytest.mark.parametrize("params", ["sampled", "repetition penalty"])
def test_guesses_leave_held_texts_and_their_neighbours_as_they_are(model, hits, params):
    held = Held(every(4, 1, model.vocab_size), model.vocab_size)
    tasks = [
        task(held, PARAMS[params]),
        task(None, PARAMS[params], (3, 3), (2,), seed=8),
        task(held, PARAMS[params], (4,) * 5, None, seed=9),
    ]
    expected = [alone(model, one) for one in tasks]
    del held.texts[:]
    known = {one.prompt_a: ids(tokens) for one, tokens in zip(tasks, expected, strict=True)}
    own_hits = dict(zip(known, (HITS[hits], *list(HITS.values())[:2]), strict=True))

    def new_proposer(prompt):
        prompt = tuple(prompt)
        return Oracle(known[prompt], own_hits[prompt], model.vocab_size)

    guessed = DualDecoding(model, tasks, new_proposer=new_proposer, costs=Free())
    for tokens, own in zip(decoded(guessed, 3), expected, strict=True):
        assert facts(tokens) == facts(own)
        for token, other in zip(tokens, own, strict=True):
            assert token.judge_prob == pytest.approx(other.judge_prob, rel=1e-3)
    for followed, own in zip(held.texts, (expected[0], expected[2]), strict=True):
        assert followed.tokens[:LENGTH] == tuple(ids(own))


def test_what_a_grammar_forces_is_guessed_before_what_was_seen_before():
    model = HistoryModel(vocab_size=17, seed=5)

    def rule(text):  # three tokens of which the second and third follow from the first
        return range(17) if len(text) % 3 == 0 else [(text[-1] + 5) % 17]

    def forced(text):
        left = -len(text) % 3
        return [(text[-1] + 5 * n) % 17 for n in range(1, left + 1)] if left else []

    passes, texts, metrics = {}, {}, {}
    for name, following in (("forced", forced), ("not told", lambda _: ())):
        held, metrics[name] = Held(rule, 17, forced=following), Metrics()
        decoding = DualDecoding(
            model, [task(held, prompt_a=(1, 2) * 4)], new_proposer=Misled, costs=Free(),
            metrics=metrics[name],
        )  # fmt: skip
        [texts[name]] = decoded(decoding, 1)
        passes[name] = decoding.forward_passes
    assert facts(texts["forced"]) == facts(texts["not told"])
    # Of three tokens two are forced; only the first can be guessed by chance.
    assert passes["forced"] <= 1 + LENGTH // 3
    assert metrics["forced"].proposed_tokens_used >= 2 * LENGTH // 3 - 2
    assert passes["not told"] >= LENGTH - LENGTH // 3


class Misled(NGramProposer):
    """Guesses what the rule of the test never allows."""

    def propose(self, count):
        return [(self._text[-1] + 6) % 17] * count


def test_tops_of_guessed_tokens_are_those_of_their_own_places(model):
    params = SamplingParams(temperature=1.3, top_logprobs=3)
    held = Held(every(4, 1, model.vocab_size), model.vocab_size)
    tasks = [task(held, params), task(None, params, (3, 3), (2,)), task(None, SAMPLED, (5,))]
    expected = [alone(model, one) for one in tasks]
    known = {one.prompt_a: ids(tokens) for one, tokens in zip(tasks, expected, strict=True)}
    guessed = DualDecoding(
        model,
        tasks,
        new_proposer=lambda p: Oracle(known[tuple(p)], HITS["right in runs"], model.vocab_size),
        costs=Free(),
    )
    found = decoded(guessed, 3)
    assert guessed.forward_passes < LENGTH
    for tokens, own in zip(found[:2], expected[:2], strict=True):
        for token, other in zip(tokens, own, strict=True):
            assert len(token.top_probs) == 3
            for (top, prob), (own_top, own_prob) in zip(
                token.top_probs, other.top_probs, strict=True
            ):
                assert prob == pytest.approx(own_prob, rel=1e-3, abs=1e-6)
                assert top == own_top
    assert {t.top_probs for t in found[2]} == {()}
