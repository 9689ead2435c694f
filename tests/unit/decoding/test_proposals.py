"""Guesses of the next tokens change the number of forward passes and nothing else."""

import dataclasses
from functools import partial

import pytest
import torch
import transformers

from persona_judge_llm.decoding.assistant import (
    AssistantProposer,
    EitherProposer,
    proposer_factory,
)
from persona_judge_llm.decoding.dual import DualDecoding
from persona_judge_llm.decoding.proposals import (
    MOST_GUESSES,
    UNTRIED,
    NGramProposer,
    PassCosts,
    guesses_worth,
)
from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.errors import (
    InvalidParameterError,
    PersonaJudgeError,
    UnsupportedModelError,
)
from persona_judge_llm.metrics import Metrics
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.models.recorded_steps import RecordedSteps, rehearsed
from persona_judge_llm.rules import BLEND_RULES, COMPOSING, Blend
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import HistoryModel, tiny_model

LENGTH = 40
PARAMS = {
    "greedy": SamplingParams(temperature=0),
    "sampled": SamplingParams(temperature=0.9, top_p=0.95),
    "repetition penalty": SamplingParams(top_k=3, repetition_penalty=1.3),
}
PARAMS = {
    name: dataclasses.replace(params, max_new_tokens=LENGTH).resolved(SamplingParams())
    for name, params in PARAMS.items()
}
MODELS = {
    "history": lambda: HistoryModel(vocab_size=6, seed=5),
    "Hugging Face": lambda: HuggingFaceModel(tiny_model()),
    "recorded": lambda: HuggingFaceModel(
        tiny_model(), recorded_steps=RecordedSteps(rehearsed, grain=16)
    ),
}
HITS = {
    "always right": lambda place: True,
    "always wrong": lambda place: False,
    "half right": lambda place: place % 2 == 0,
    "right in runs": lambda place: place % 7 < 4,
}


class Free(PassCosts):
    """Passes that cost the same whatever their width: every guess is worth it."""

    def of(self, rows, places):
        return 1.0

    def passes(self, seconds, rows):
        return 0.0


class Oracle:
    """Knows how a text goes on, and says so at the places where it is to be right."""

    hit_rate = 0.9
    seconds_per_guess = 0.0

    def __init__(self, text, is_right, vocab_size):
        self._guesses = [
            token if is_right(place) else (token + 1) % vocab_size
            for place, token in enumerate(text)
        ]

    @property
    def can_guess(self):
        return bool(self._guesses)

    def push(self, token):
        del self._guesses[:1]

    def propose(self, count):
        return self._guesses[:count]


def task(prompt_a, prompt_b, params="sampled", *, lam=4, turns=(1, 1), seed=3):
    return DecodeTask(
        prompt_a=prompt_a, prompt_b=prompt_b, params=PARAMS[params], seed=seed,
        num_draft_tokens=lam, turns=turns,
    )  # fmt: skip


def decoded(decoding, count):
    """Return the first tokens of each task, each finished as soon as it has them."""
    tokens = [[] for _ in range(count)]
    while step := decoding.step():
        for index, new in step:
            assert not isinstance(new, PersonaJudgeError)
            tokens[index] += new
            if len(tokens[index]) >= LENGTH:
                decoding.finish(index)
    return [text[:LENGTH] for text in tokens]


def with_oracles(model, tasks, texts, is_right, metrics=None):
    """Return a decoding whose texts are known beforehand, found by side A's prompt."""
    known = {t.prompt_a: text for t, text in zip(tasks, texts, strict=True)}
    return DualDecoding(
        model,
        tasks,
        new_proposer=lambda prompt: Oracle(known[tuple(prompt)], is_right, model.vocab_size),
        costs=Free(),
        metrics=metrics,
    )


def ids(tokens):
    return [token.token_id for token in tokens]


def assert_same(tokens, expected):
    """Everything that is reported of every token is the same; probabilities but for rounding."""
    for token, other in zip(tokens, expected, strict=True):
        for name in ("token_id", "outcome", "judged_by"):
            assert getattr(token, name) == getattr(other, name)
        for name in ("draft_prob", "judge_prob"):
            found, wanted = getattr(token, name), getattr(other, name)
            assert found is wanted or found == pytest.approx(wanted, rel=1e-3, abs=1e-6)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.mark.parametrize("hits", HITS)
@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize(("lam", "turns"), [(1, (1, 1)), (4, (0, 1)), (3, (2, 1))])
def test_guesses_leave_every_token_and_verdict_as_they_are(model, hits, params, lam, turns):
    one = task((0, 2, 1), (1, 3), params, lam=lam, turns=turns)
    [without] = decoded(DualDecoding(model, [one]), 1)
    guessed = with_oracles(model, [one], [ids(without)], HITS[hits])
    [tokens] = decoded(guessed, 1)
    assert_same(tokens, without)
    assert guessed.forward_passes <= LENGTH


@pytest.mark.parametrize("hits", HITS)
@pytest.mark.parametrize("rule", BLEND_RULES)
def test_guesses_leave_what_rules_blend_as_it_is(model, rule, hits):
    """Also beside others, and for one that is left when they are taken out."""
    plain = (2, 2) if rule in COMPOSING else None
    blended = dataclasses.replace(
        task((0, 2, 1), (1, 3)),
        prompt_plain=plain,
        blend=Blend(rule, (0.3, 0.7)),
    )
    [without] = decoded(DualDecoding(model, [blended]), 1)
    short = dataclasses.replace(task((1, 1), (2,), seed=4), blend=None)
    known = {blended.prompt_a: ids(without), short.prompt_a: ids(without)}
    together = DualDecoding(
        model,
        [short, blended],
        new_proposer=lambda p: Oracle(known[tuple(p)], HITS[hits], model.vocab_size),
        costs=Free(),
    )
    tokens = []
    while len(tokens) < LENGTH:
        for index, new in together.step():
            tokens += new if index == 1 else []
        if len(tokens) > LENGTH // 2:
            together.finish(0)
    assert_same(tokens[:LENGTH], without)


@pytest.mark.parametrize("hits", HITS)
def test_in_a_batch_each_text_goes_on_as_far_as_its_own_guesses_are_right(model, hits):
    tasks = [
        task((0, 2, 1), (1, 3)),
        task((1, 1), (2,), "repetition penalty", lam=2, seed=4),
        task((3,) * 9, None, seed=5),
        task((0, 2), (0, 2, 3, 3), "greedy", turns=(2, 1)),
    ]
    alone = [decoded(DualDecoding(model, [one]), 1)[0] for one in tasks]

    known = dict(zip([t.prompt_a for t in tasks], alone, strict=True))
    own_hits = dict(zip(known, (HITS[hits], *list(HITS.values())[:3]), strict=True))

    def new_proposer(prompt):
        prompt = tuple(prompt)
        return Oracle(ids(known[prompt]), own_hits[prompt], model.vocab_size)

    together = DualDecoding(model, tasks, new_proposer=new_proposer, costs=Free())
    for tokens, expected in zip(decoded(together, len(tasks)), alone, strict=True):
        assert_same(tokens, expected)


def test_right_guesses_give_nine_tokens_a_pass_and_wrong_ones_one(model):
    one = task((0, 2, 1), (1, 3))
    [without] = decoded(DualDecoding(model, [one]), 1)
    passes, metrics = {}, {}
    for name in ("always right", "always wrong"):
        metrics[name] = Metrics()
        decoding = with_oracles(model, [one], [ids(without)], HITS[name], metrics[name])
        decoded(decoding, 1)
        passes[name] = decoding.forward_passes
    # The prompt's pass brings one token, every other one its 8 guesses and one more.
    assert passes == {"always right": 1 + 5, "always wrong": LENGTH}
    right, wrong = metrics.values()
    assert right.proposed_tokens == right.proposed_tokens_used == 4 * 8 + 3  # of 40 tokens
    assert wrong.proposed_tokens_used == 0
    assert wrong.proposed_tokens > LENGTH


def test_half_right_guesses_are_used_up_to_the_first_wrong_one():
    model, metrics = HistoryModel(vocab_size=6), Metrics()
    one = task((0, 2, 1), (1, 3))
    [without] = decoded(DualDecoding(model, [one]), 1)
    guessed = with_oracles(model, [one], [ids(without)], HITS["half right"], metrics)
    steps = []
    while len(steps) < 6:
        [(_, new)] = guessed.step()
        steps.append(len(new))
    # Place 0 comes of the prompt, place 1 is guessed wrong, place 2 right and 3 wrong, and so on.
    assert steps == [1, 1, 2, 2, 2, 2]
    assert metrics.proposed_tokens_used == 4


def test_a_text_that_has_no_guess_goes_on_beside_one_that_has():
    model = HistoryModel(vocab_size=6)
    tasks = [task((0, 2, 1), (1, 3)), task((1, 2), (0, 3), seed=9)]
    alone = [decoded(DualDecoding(model, [one]), 1)[0] for one in tasks]
    guessed = with_oracles(model, tasks, [ids(alone[0]), []], HITS["always right"])
    guessed.step()
    assert [len(new) for _, new in guessed.step()] == [9, 1]
    again = with_oracles(model, tasks, [ids(alone[0]), []], HITS["always right"])
    for tokens, expected in zip(decoded(again, 2), alone, strict=True):
        assert_same(tokens, expected)


def test_newcomers_go_on_beside_one_that_was_guessed_until_now():
    """They have more random numbers left than a pass without guesses asks for."""
    model, one, newcomer = HistoryModel(vocab_size=6), task((0, 2, 1), (1, 3)), task((4,), (5, 5))
    plain = DualDecoding(model, [one])
    expected = [plain.step()[0][1][0] for _ in range(120)]
    guessed = with_oracles(model, [one, newcomer], [ids(expected[:60]), []], HITS["always right"])
    tokens, others = [], {}
    while len(tokens) < len(expected):
        for index, new in guessed.step():
            if index == 0:
                tokens += new
            else:
                others.setdefault(index, []).extend(ids(new))
                if len(others[index]) == 2:
                    guessed.finish(index)
        guessed.join(newcomer)
    assert ids(tokens[:120]) == ids(expected)
    assert len(others) > 60
    assert len({tuple(text) for text in others.values() if len(text) == 2}) == 1  # of one seed


def test_guesses_end_where_the_context_window_does():
    model = HistoryModel(vocab_size=6)
    model.context_window = 12
    one = task((0, 2, 1), (1, 3))
    [without] = decoded(DualDecoding(model, [one]), 1)
    guessed = with_oracles(model, [one], [ids(without)], HITS["always right"])
    fed = []
    while sum(fed) < 12 - len(one.prompt_a):
        [(_, new)] = guessed.step()
        fed.append(len(new))
    # 3 of the prompt, 1 drawn; then 9 places of which 9 fit, so 8 guesses end at the window.
    assert fed == [1, 9]


def test_models_that_cannot_rewind_are_never_given_guesses():
    class Forward(HistoryModel):
        can_rewind = False

    metrics = Metrics()
    decoding = DualDecoding(
        Forward(), [task((0, 1, 0, 1, 0, 1), (1, 3))], new_proposer=NGramProposer, costs=Free(),
        metrics=metrics,
    )  # fmt: skip
    decoded(decoding, 1)
    assert (decoding.forward_passes, metrics.proposed_tokens) == (LENGTH, 0)


def test_n_grams_of_a_text_that_repeats_itself_save_most_passes():
    model = HistoryModel(vocab_size=6)
    model.table[:] = 0.0
    model.table[:, 2] = 40.0  # 2, 2, 2, ...
    decoding = DualDecoding(
        model, [task((0, 2, 2, 2), (1,))], new_proposer=NGramProposer, costs=Free()
    )
    [tokens] = decoded(decoding, 1)
    assert ids(tokens) == [2] * LENGTH
    assert decoding.forward_passes < LENGTH


# --- n-grams --------------------------------------------------------------------------------------


def test_what_followed_the_last_three_tokens_is_guessed_before_what_followed_the_last_two():
    proposer = NGramProposer([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3])
    assert proposer.propose(2) == [4, 9]
    assert NGramProposer([7, 2, 3, 5, 8, 2, 3]).propose(4) == [5, 8, 2, 3]


def test_of_two_earlier_places_the_later_one_is_guessed_from():
    assert NGramProposer([1, 2, 3, 1, 2, 4, 1, 2]).propose(1) == [4]


def test_an_end_that_was_never_there_before_gives_no_guess():
    proposer = NGramProposer([1, 2, 3])
    assert not proposer.can_guess
    assert proposer.propose(4) == []
    assert not NGramProposer([]).can_guess


def test_tokens_that_are_pushed_are_searched_like_the_prompt():
    proposer = NGramProposer([1, 2])
    for token in (3, 1, 2):
        proposer.push(token)
    assert proposer.can_guess
    assert proposer.propose(3) == [3, 1, 2]


def test_the_hit_rate_follows_what_would_have_been_guessed():
    right = NGramProposer([1, 2] * 4)
    for token in [1, 2] * 10:
        right.push(token)
    assert right.hit_rate > 0.95
    wrong = NGramProposer([1, 2] * 4)
    for token in range(3, 20):
        wrong.push(token)
    assert wrong.hit_rate < UNTRIED
    assert NGramProposer([1, 2]).hit_rate == UNTRIED


# --- what guesses are worth -----------------------------------------------------------------------


def test_the_number_of_guesses_follows_the_hit_rate():
    counts = [guesses_worth([rate], 2, PassCosts()) for rate in (0.01, 0.3, 0.6, 0.9, 0.99)]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert 0 < counts[1] < counts[3]
    assert counts[-1] == MOST_GUESSES


def test_nobody_who_can_guess_is_no_guesses():
    assert guesses_worth([], 2, PassCosts()) == 0
    assert guesses_worth([0.0, 0.0], 4, Free()) == 0


def test_one_text_with_good_guesses_is_outvoted_by_rows_that_all_pay_for_them():
    alone = guesses_worth([0.8], 2, PassCosts())
    crowd = guesses_worth([0.8, *[0.0] * 31], 64, PassCosts())
    assert crowd < alone


def test_guesses_that_take_long_are_fewer_and_at_last_none():
    costs = PassCosts()
    costs.note(rows=2, places=1, seconds=0.1)
    counts = [guesses_worth([0.9], 2, costs, seconds) for seconds in (0.0, 0.02, 0.05, 0.2)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > counts[3] == 0


def test_measured_costs_replace_the_assumed_ones():
    costs = PassCosts()
    assumed = guesses_worth([0.7], 2, costs)
    for places in range(1, MOST_GUESSES + 2):
        costs.note(rows=2, places=places, seconds=0.1 * places)  # as dear as passes of their own
    assert assumed > 0
    assert guesses_worth([0.7], 2, costs) == 0


def test_costs_are_shares_of_a_pass_of_one_place():
    costs = PassCosts()
    assert costs.of(2, 1) == 1
    assert costs.of(2, 5) > costs.of(2, 3) > 1  # assumed
    assert costs.passes(0.3, rows=2) == 0  # nothing known yet
    costs.note(2, 1, 0.1)
    costs.note(2, 4, 0.15)
    assert costs.of(2, 4) == pytest.approx(1.5)
    assert costs.passes(0.3, rows=2) == pytest.approx(3)
    assert costs.of(8, 4) != pytest.approx(1.5)  # of other rows nothing is known


def test_a_fast_pass_counts_for_more_than_a_slow_one():
    costs = PassCosts()
    costs.note(2, 1, 0.1)
    costs.note(2, 1, 0.2)
    after_slow = 0.1 / costs.passes(0.1, 2)
    costs.note(2, 1, 0.05)
    after_fast = 0.1 / costs.passes(0.1, 2)
    assert after_slow - 0.1 < after_slow - after_fast
    assert after_fast < 0.1 < after_slow < 0.12


# --- assistants -----------------------------------------------------------------------------------

PROMPT = (5, 9, 200, 31)


@pytest.fixture(scope="module")
def assisted():
    return HuggingFaceModel(tiny_model())


def greedy_text(model, count):
    text = list(PROMPT)
    for _ in range(count):
        with torch.inference_mode():
            text.append(int(model.model(torch.tensor([text])).logits[0, -1].argmax()))
    return text[len(PROMPT) :]


def test_an_assistant_guesses_its_own_likeliest_continuation(assisted):
    proposer = AssistantProposer(PROMPT, assisted, assisted.vocab_size)
    expected = greedy_text(assisted, 6)
    assert proposer.propose(2) == expected[:2]
    assert proposer.propose(6) == expected
    for token in expected[:3]:
        proposer.push(token)
    assert proposer.propose(3) == expected[3:]
    assert proposer.hit_rate > UNTRIED


@pytest.mark.parametrize("asked", [1, 2, 3, 8])
@pytest.mark.parametrize("right", [0, 1, 2])
def test_after_a_wrong_guess_the_assistant_goes_on_from_the_text(assisted, asked, right):
    """What it was fed of its own wrong guesses must leave no mark."""
    proposer = AssistantProposer(PROMPT, assisted, assisted.vocab_size)
    text = list(PROMPT)
    for _ in range(3):
        guesses = proposer.propose(asked)[:right]
        for token in (*guesses, 77, 78):
            proposer.push(token)
            text.append(token)
        fresh = AssistantProposer(text, assisted, assisted.vocab_size)
        assert proposer.propose(asked) == fresh.propose(asked)


def test_an_assistant_of_more_tokens_guesses_none_that_the_model_lacks(assisted):
    proposer = AssistantProposer(PROMPT[:2], assisted, 40)
    assert max(proposer.propose(8)) < 40


def test_an_assistant_stops_where_its_own_context_window_ends(assisted):
    small = HuggingFaceModel(
        tiny_model(
            transformers.LlamaConfig(
                vocab_size=261, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                num_attention_heads=4, max_position_embeddings=16, bos_token_id=None,
                eos_token_id=None,
            )
        )
    )  # fmt: skip
    proposer = AssistantProposer(PROMPT, small, 261)
    assert proposer.can_guess
    for token in range(6):
        proposer.push(token)
    assert not proposer.can_guess
    assert proposer.propose(3) == []


def test_a_resting_assistant_is_tried_again():
    """Nothing is known of how good it would be now, so its hit rate comes back by itself."""
    proposer = AssistantProposer((0,), HistoryModel(), 4)
    for _ in range(40):
        [guess] = proposer.propose(1)
        proposer.push((guess + 1) % 4)
    costs = PassCosts()
    assert guesses_worth([proposer.hit_rate], 2, costs) == 0
    rested = 0
    while guesses_worth([proposer.hit_rate], 2, costs) == 0:
        proposer.push(0)
        rested += 1
    assert 5 < rested < 100


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("seed", [0, 1], ids=["same weights", "other weights"])
def test_an_assistant_changes_the_passes_and_not_the_text(assisted, params, seed):
    assistant = HuggingFaceModel(tiny_model(seed=seed))
    tasks = [task(PROMPT, None, params), task(PROMPT, (7, 7, 120), params)]
    expected = decoded(DualDecoding(assisted, tasks), 2)
    guessed = DualDecoding(
        assisted, tasks, new_proposer=proposer_factory(assisted, assistant), costs=Free()
    )
    for tokens, without in zip(decoded(guessed, 2), expected, strict=True):
        assert_same(tokens, without)


def test_the_same_weights_guess_greedy_text_right_and_other_weights_mostly_wrong(assisted):
    one = task(PROMPT, None, "greedy")
    used = {}
    for seed in (0, 1):
        metrics = Metrics()
        assistant = HuggingFaceModel(tiny_model(seed=seed))
        decoding = DualDecoding(
            assisted,
            [one],
            new_proposer=partial(AssistantProposer, model=assistant, vocab_size=261),
            costs=Free(),
            metrics=metrics,
        )
        decoded(decoding, 1)
        used[seed] = metrics.proposed_tokens_used / metrics.proposed_tokens
        if seed == 0:
            assert decoding.forward_passes == 1 + 5
    assert used[0] == 1
    assert used[1] < 0.3


def test_n_grams_come_before_the_assistant(assisted):
    def either(prompt):
        guesser = AssistantProposer(prompt, assisted, assisted.vocab_size)
        return EitherProposer(NGramProposer(prompt), guesser)

    repeated = either((1, 2, 3, 1, 2))
    assert repeated.propose(1) == [3]
    assert repeated.seconds_per_guess == 0
    new = either(PROMPT)
    assert new.can_guess
    assert new.propose(2) == greedy_text(assisted, 2)
    assert new.seconds_per_guess > 0  # after its prompt, which does not count


def test_both_sources_see_every_token(assisted):
    proposer = EitherProposer(
        NGramProposer(PROMPT), AssistantProposer(PROMPT, assisted, assisted.vocab_size)
    )
    [guess] = proposer.propose(1)
    assert proposer.hit_rate == UNTRIED
    proposer.push(guess)
    assert proposer.hit_rate > UNTRIED  # the assistant's
    for token in (1, 2, 3, 1, 2):
        proposer.push(token)
    assert proposer.propose(1) == [3]  # the n-grams'


def test_without_an_assistant_the_n_grams_are_alone():
    assert proposer_factory(HistoryModel(), None) is NGramProposer


def test_a_model_is_no_assistant_of_itself(assisted):
    with pytest.raises(InvalidParameterError, match="assistant"):
        proposer_factory(assisted, assisted)


def test_an_assistant_that_cannot_rewind_is_refused(assisted):
    class Forward(HistoryModel):
        can_rewind = False

    with pytest.raises(UnsupportedModelError, match="rewound"):
        proposer_factory(assisted, Forward())


def test_an_assistant_guesses_nothing_of_texts_with_tokens_that_it_does_not_know():
    small = HuggingFaceModel(tiny_model())
    known = AssistantProposer(PROMPT, small, 10_000)
    assert known.can_guess
    known.push(small.vocab_size)
    strange = AssistantProposer((*PROMPT, small.vocab_size), small, 10_000)
    for proposer in (known, strange):
        assert not proposer.can_guess
        assert proposer.propose(3) == []


def test_n_grams_of_a_text_that_says_the_same_again_and_again_go_on_with_it():
    assert NGramProposer((7, 8, 8, 8)).propose(5) == [8] * 5
    assert NGramProposer((1, 2, 3, 1, 2, 3)).propose(5) == [1, 2, 3, 1, 2]
    assert NGramProposer((1, 2, 9, 4, 1, 2)).propose(2) == [9, 4]
