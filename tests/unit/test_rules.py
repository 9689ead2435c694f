"""Rules that blend: their closed forms, sides that share nothing, and the rules in a decoder."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from persona_judge_llm.decoding import blending
from persona_judge_llm.decoding.dual import DualDecoding
from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.errors import InvalidParameterError, NumericalError
from persona_judge_llm.preferences import Preference
from persona_judge_llm.requests import Request, Rule
from persona_judge_llm.rules import BALANCING, BLEND_RULES, COMPOSING, Blend, evidence_of
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import HistoryModel, tiny_engine

A, B, PLAIN = (0, 2, 1), (1, 3), (2, 2)
PREFERENCES = ["Be concise", "Make me laugh"]
rows = st.lists(st.floats(-8, 8, width=32), min_size=6, max_size=6)


def expected(rule, probs, share, strength=1.0, evidence=(0, 0)):
    """The closed forms, on probabilities; evidence as sums of log ratios."""
    a, b = probs[0], probs[1]
    if rule in BALANCING:
        says = share * np.exp(-evidence[0] / 8), (1 - share) * np.exp(-evidence[1] / 8)
        share = says[0] / sum(says)
    if rule == "overlap":
        blended = np.minimum(a, b)
    elif rule == "geometric":
        blended = a**share * b ** (1 - share)
    elif rule == "mixture":
        blended = share * a + (1 - share) * b
    elif rule == "veto":
        entropy = -(b * np.log(b)).sum()
        blended = a * (b > min(0.09, 0.3 * np.exp(-entropy)))
    else:
        plain = probs[2]
        blended = plain * (a / plain) ** (2 * share * strength)  # compose, and each of two rows
        blended = blended * (b / plain) ** (2 * (1 - share) * strength)
    return blended / blended.sum()


def blend(rule, share=0.5, strength=1.0):
    return Blend(rule, (share, 1 - share), strength)


@pytest.mark.parametrize("rule", BLEND_RULES)
@given(
    a=rows,
    b=rows,
    plain=rows,
    share=st.floats(0, 1),
    strength=st.floats(0, 3),
    evidence=st.tuples(st.floats(-60, 60), st.floats(-60, 60)),
)
def test_each_rule_has_its_closed_form(  # noqa: PLR0917
    rule, a, b, plain, share, strength, evidence
):
    logits = torch.tensor([a, b, plain] if rule in COMPOSING else [a, b])
    probs = torch.softmax(logits.double(), -1).numpy()
    wanted = expected(rule, probs, share, strength, evidence)
    scores = blend(rule, share, strength).scores(logits, torch.tensor(evidence))
    found = scores.double().exp().numpy()
    if rule == "veto":  # a token at the very threshold may fall to either side of it
        threshold = min(0.09, 0.3 * np.exp((probs[1] * np.log(probs[1])).sum()))
        if (abs(probs[1] - threshold) < 1e-6).any():
            return
    assert np.abs(found - wanted).max() < 1e-4


@pytest.mark.parametrize("rule", BLEND_RULES)
def test_sides_that_share_nothing_still_give_a_distribution(rule):
    inf = float("inf")
    sides = [[0.0, -inf, -inf, -inf], [-inf, -inf, 1.0, -inf]]
    logits = torch.tensor([*sides, [0.0, 0.0, 0.0, -inf]] if rule in COMPOSING else sides)
    probs = blend(rule).scores(logits).exp()
    assert probs.sum() == pytest.approx(1.0)
    assert not probs.isnan().any()
    assert probs[3] == 0
    if rule in ("overlap", "geometric", "veto", "mixture"):
        assert probs.tolist() == pytest.approx([0.5, 0, 0.5, 0])


@pytest.mark.parametrize("rule", BLEND_RULES)
@pytest.mark.parametrize("place", [0, 1])
def test_nan_on_either_side_is_not_hidden(rule, place):
    logits = torch.zeros(3 if rule in COMPOSING else 2, 5)
    logits[place, 3] = torch.nan
    assert blend(rule).scores(logits).isnan().all()


def test_one_token_is_evidence_of_ten_nats_at_most_whatever_a_side_rules_out():
    inf = float("inf")
    logits = torch.tensor([[0.0, -inf, 0.0], [30.0, 1.0, 0.0], [0.0, 0.0, -40.0]])
    logs = logits.log_softmax(-1)
    gains = evidence_of(logs.expand(3, 3, 3), torch.arange(3)).tolist()
    ruled_out = logs.masked_fill(torch.tensor([False, True, False]), -inf)
    assert evidence_of(ruled_out[None], torch.tensor([1])).tolist() == [[0, 0]]
    assert gains[0] == pytest.approx([0.0, np.log(2)], abs=1e-6)
    assert gains[1] == [-10, -10]
    assert gains[2] == [10, pytest.approx(10)]


def test_the_side_that_a_text_says_less_of_is_spoken_up_for():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    for rule in BALANCING:
        even, ahead, far = (
            blend(rule).scores(logits, torch.tensor([e, 0.0])).exp() for e in (0.0, 8.0, 500.0)
        )
        assert even[0] == even[1]
        assert ahead[0] < ahead[1]
        assert torch.allclose(far, torch.softmax(2 * logits[1], -1), atol=1e-6)


def test_a_side_of_no_weight_has_no_say():
    logits = torch.tensor([[0.0, 1.0, 2.0], [5.0, -float("inf"), 0.0]])
    for rule in ("geometric", "mixture"):
        found = blend(rule, share=1.0).scores(logits)
        assert torch.allclose(found, torch.log_softmax(logits[0], -1), atol=1e-6)
    with_plain = torch.cat([logits, torch.tensor([[0.5, 0.0, 0.0]])])
    found = blend("compose", strength=0.0).scores(with_plain)
    assert torch.allclose(found, torch.log_softmax(with_plain[2], -1), atol=1e-6)


@pytest.mark.parametrize("rule", BLEND_RULES)
def test_a_decoder_draws_from_the_blend_of_what_all_rows_say(rule):
    model = HistoryModel(seed=7)
    params = SamplingParams(max_new_tokens=5, top_logprobs=4).resolved(SamplingParams())
    sides = [A, B, PLAIN] if rule in COMPOSING else [A, B]
    blended = DecodeTask(
        prompt_a=A,
        prompt_b=B,
        prompt_plain=PLAIN if rule in COMPOSING else None,
        params=params,
        seed=3,
        num_draft_tokens=2,
        turns=(1, 1),
        blend=blend(rule, share=0.3),
    )
    beside = DecodeTask(
        prompt_a=B, prompt_b=A, params=params, seed=4, num_draft_tokens=2, turns=(1, 1)
    )
    decoding = DualDecoding(model, [beside, blended, beside])
    text, evidence = [], np.zeros(2)
    while len(text) < 5:
        for index, tokens in decoding.step():
            for token in tokens if index == 1 else ():
                logits = torch.stack([model.logits([*prompt, *text]) for prompt in sides])
                probs = torch.softmax(logits.double(), -1).numpy()
                wanted = expected(rule, probs, 0.3, evidence=evidence)
                assert token.judge_prob == pytest.approx(wanted[token.token_id], abs=1e-5)
                assert {t: pytest.approx(p, abs=1e-5) for t, p in token.top_probs} == {
                    t: p for t, p in enumerate(wanted) if p > 0
                }
                assert (token.outcome, token.judged_by, token.draft_prob) == ("sampled", None, None)
                text.append(token.token_id)
                if rule in BALANCING:
                    says = np.log(probs[:, token.token_id])
                    evidence = 0.5 ** (1 / 64) * evidence + np.clip(says[:2] - says[2], -10, 10)
    assert (abs(evidence) > 0.1).all() == (rule in BALANCING)
    alone = DualDecoding(model, [blended])
    again = []
    while len(again) < 5:
        again += [t.token_id for _, tokens in alone.step() for t in tokens]
    assert again == text


def blended(rule, seed, *, more=(), strength=1.0, penalty=1.0):
    params = SamplingParams(max_new_tokens=9, repetition_penalty=penalty, top_logprobs=2)
    rows = 2 + len(more)
    return DecodeTask(
        prompt_a=A,
        prompt_b=B,
        prompts_more=more,
        prompt_plain=PLAIN if rule in COMPOSING else None,
        params=params.resolved(SamplingParams()),
        seed=seed,
        num_draft_tokens=2,
        turns=(1, 1),
        blend=Blend(rule, (1 / rows,) * rows, strength),
    )


@pytest.mark.parametrize("piece", [1, 1 << 22])
def test_many_rules_sizes_and_strengths_in_one_batch_are_each_as_alone(piece, monkeypatch):
    """Also when some leave and others come: evidence, penalties and shares stay with their task."""
    monkeypatch.setattr(blending, "_PIECE", piece)
    model = HistoryModel(seed=7)
    tasks = [
        blended("balance", 3),
        blended("balance_each", 4, more=((3, 0), (2, 1, 1))),
        replace(blended("mixture", 5), blend=None),
        blended("balance", 6, strength=2.5, penalty=1.3),
        blended("balance_each", 7, more=((3, 0), (0,)), strength=0.5),
        blended("balance_each", 8, more=((3, 3),)),
        blended("overlap", 9, penalty=2.0),
        blended("balance", 10),
    ]
    alone = []
    for task in tasks:
        decoding, tokens = DualDecoding(model, [task]), []
        while len(tokens) < 9:
            tokens += [token for _, found in decoding.step() for token in found]
        alone.append(tokens)
    lengths = (9, 8, 3, 4, 9, 8, 6, 9)  # so that others move into the gaps
    together, found = DualDecoding(model, tasks[:5]), {n: [] for n in range(8)}
    for step in range(40):
        if step in (2, 3, 4):
            together.join(tasks[step + 3])
        for index, tokens in together.step():
            found[index] += tokens
            if len(found[index]) >= lengths[index]:
                together.finish(index)
    for index, tokens in found.items():
        assert len(tokens) == lengths[index]
        for token, other in zip(tokens, alone[index], strict=False):
            assert token.token_id == other.token_id
            assert token.judge_prob == pytest.approx(other.judge_prob, abs=1e-5)


class Only:
    """A grammar that allows the tokens 0 and 2, whatever came before."""

    least_tokens = 1

    def follow(self, _):
        return self

    def allowed(self):
        return bytes([0b0101])

    def forced(self):
        return []

    def commit(self, token):
        return token


@pytest.mark.parametrize("rule", BLEND_RULES)
def test_a_rule_blends_what_a_grammar_allows(rule):
    """The mask first: the same as if the model had never heard of the other tokens."""
    model = HistoryModel(seed=7)
    params = SamplingParams(max_new_tokens=5, top_logprobs=4).resolved(SamplingParams())
    task = replace(blended(rule, 3), constraint=Only(), params=params)
    decoding, text, evidence = DualDecoding(model, [task]), [], np.zeros(2)
    while len(text) < 5:
        for token in (token for _, found in decoding.step() for token in found):
            logits = torch.stack([model.logits([*p, *text]) for p in task.prompts])[:, [0, 2]]
            probs = torch.softmax(logits.double(), -1).numpy()
            wanted = expected(rule, probs, 0.5, evidence=evidence)
            assert dict(token.top_probs) == {
                t: pytest.approx(p, abs=1e-5) for t, p in zip((0, 2), wanted, strict=True) if p > 0
            }
            text.append(token.token_id)
            if rule in BALANCING:
                says = np.log(probs[:, [0, 2].index(token.token_id)])
                evidence = 0.5 ** (1 / 64) * evidence + says[:2] - says[2]


def test_a_penalty_on_repeating_counts_what_any_row_was_asked():
    """So that neither side's words are dearer than the other's."""
    model = HistoryModel(7, seed=7)
    token = DualDecoding(model, [blended("balance", 3, penalty=1.7)]).step()[0][1][0]
    logits = torch.stack([model.logits(prompt) for prompt in (A, B, PLAIN)])
    scores = blend("balance").scores(logits)
    seen = torch.tensor([any(t in prompt for prompt in (A, B, PLAIN)) for t in range(len(scores))])
    punished = torch.where(scores < 0, scores * 1.7, scores / 1.7)
    law = torch.softmax(torch.where(seen, punished, scores), -1)
    assert token.judge_prob == pytest.approx(law[token.token_id].item(), abs=1e-5)


@pytest.fixture(scope="module")
def engine():
    with tiny_engine() as engine:
        yield engine


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rule", BLEND_RULES)
def test_the_process_dtype_does_not_matter(rule, default):
    """It changes for everybody while transformers loads a model in some thread."""
    model, task = HistoryModel(seed=7), blended(rule, 3)

    def tokens():
        decoding, found = DualDecoding(model, [blended("mixture", 4)]), []
        found += decoding.step()
        decoding.join(task)
        for _ in range(4):
            found += decoding.step()
        return found

    wanted = tokens()
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        found = tokens()
    finally:
        torch.set_default_dtype(before)
    for (index, own), (other, expected_) in zip(found, wanted, strict=True):
        assert index == other
        assert [t.token_id for t in own] == [t.token_id for t in expected_]
        assert own[0].judge_prob == pytest.approx(expected_[0].judge_prob, abs=1e-5)


@pytest.mark.parametrize("rule", BLEND_RULES)
def test_the_rule_that_is_asked_for_is_the_one_that_blends(engine, rule):
    blend = engine.plan("Hi", preferences=PREFERENCES, rule=rule).task().blend
    assert (blend.rule, blend.plain) == (rule, rule in COMPOSING)


@pytest.mark.parametrize("rule", BLEND_RULES)
def test_an_engine_answers_by_each_rule_and_repeats_itself(engine, rule):
    params = SamplingParams(max_new_tokens=12, seed=5)
    answer = engine.generate("Hi", preferences=PREFERENCES, rule=rule, params=params)
    assert {t.outcome for t in answer.trace} == {"sampled"}
    assert answer.acceptance_rate is None
    assert answer.usage.forward_passes <= len(answer.token_ids) + 2
    request = Request("Hi", preferences=PREFERENCES, rule=rule, params=params)
    other = Request("Hi", preferences=["Be vivid"], params=params)
    assert engine.generate_batch([other, request, other])[1].text == answer.text


def test_no_strength_is_the_plain_model_and_more_is_not(engine):
    params = SamplingParams(max_new_tokens=12, seed=5)
    texts = [
        engine.generate(
            "Hi", preferences=PREFERENCES, rule="compose", strength=strength, params=params
        ).text
        for strength in (0, 1.0, 2.5)
    ]
    assert texts[0] == engine.generate("Hi", params=params).text
    assert len(set(texts)) == 3


def test_one_preference_is_composed_with_the_plain_model(engine):
    params = SamplingParams(max_new_tokens=8, seed=5, temperature=0)
    plan = engine.plan("Hi", preferences=["Be concise"], rule="compose", params=params)
    assert [len(p) for p in plan.task().prompts] == [
        len(plan.prompt_ids_a),
        plan.prompt_tokens,
    ]
    at_one = engine.generate(plan).text  # P (A / P)^1 is A
    assert at_one == engine.generate("Hi", preferences=["Be concise"], params=params).text
    overlap = engine.plan("Hi", preferences=["Be concise"], rule="overlap", params=params)
    assert overlap.task().blend is None


def test_more_than_two_preferences_act_at_every_token(engine):
    """A row for each, the heaviest first; the law is the closed form of all of them."""
    three = [Preference("Be concise"), Preference("Be warm", weight=3), Preference("Be vivid")]
    params = SamplingParams(max_new_tokens=1, temperature=0, top_logprobs=3)
    plan = engine.plan("Hi", preferences=three, rule="compose_each", strength=1.5, params=params)
    rows = plan.task().prompts
    alone = [
        engine.plan("Hi", preferences=[three[i]], params=params).prompt_ids_a for i in (1, 0, 2)
    ]
    assert rows == (*alone, engine.plan("Hi", params=params).prompt_ids_a)
    assert plan.blend.shares == (0.6, 0.2, 0.2)
    scores = engine.model(input_ids=torch.tensor([rows[-1]])).logits[0, -1].log_softmax(-1)
    wanted = scores.clone()
    for row, share in zip(rows, plan.blend.shares, strict=False):
        side = engine.model(input_ids=torch.tensor([row])).logits[0, -1].log_softmax(-1)
        wanted += 3 * share * 1.5 * (side - scores)
    assert list(engine.generate(plan).token_ids) == [wanted.argmax().item()]
    warm = replace(plan, params=replace(plan.params, temperature=1.0))
    (token,) = engine.generate(warm).trace
    law = wanted.softmax(-1)
    assert token.judge_prob == pytest.approx(law[token.token_id].item(), abs=1e-4)
    lighter = [*three[:2], replace(three[2], weight=0.9)]
    marks = {
        engine.plan("Hi", preferences=each, rule="compose_each").fingerprint
        for each in (three, lighter)
    }
    assert len(marks) == 2


def test_beyond_eight_preferences_rows_are_shared(engine):
    many = [Preference(f"Taste {n}", weight=5 - n / 4) for n in range(10)]
    plan = engine.plan("Hi", preferences=many, rule="compose_each")
    rows = plan.task().prompts
    assert len(rows) == 9
    prompts = [engine.tokenizer.decode(row) for row in rows]
    total = sum(p.weight for p in many)
    for n, share in enumerate(plan.blend.shares):
        held = [p for p in many if p.text in prompts[n]]
        assert held == (many[n::8])
        assert share == pytest.approx(sum(p.weight for p in held) / total)
    two = engine.plan("Hi", preferences=many[:2], rule="compose_each")
    assert len(two.task().prompts) == 3
    assert len(engine.plan("Hi", preferences=many[:1], rule="compose_each").task().prompts) == 2
    assert engine.plan("Hi", rule="compose_each").blend is None


def test_a_must_stands_in_every_row_and_a_text_once_in_each(engine):
    must = Preference("Never swear", kind="must", weight=4)
    mine = [must, Preference("Be concise", weight=3), Preference("Be warm")]
    plan = engine.plan("Hi", preferences=mine, rule="compose_each")
    prompts = [engine.tokenizer.decode(row) for row in plan.task().prompts]
    assert [p.count("Never swear") for p in prompts] == [1, 1, 0]
    assert [("Be concise" in p, "Be warm" in p) for p in prompts[:2]] == [
        (True, False),
        (False, True),
    ]
    assert plan.blend.shares == (0.75, 0.25)
    alone = engine.plan("Hi", preferences=[must], rule="compose_each")
    assert len(alone.task().prompts) == 2


def test_the_strength_is_part_of_the_fingerprint(engine):
    marks = {
        engine.plan("Hi", preferences=PREFERENCES, rule="compose", strength=s).fingerprint
        for s in (0.5, 1.0, None)
    }
    assert len(marks) == 2  # None is the engine's, which is 1


@pytest.mark.parametrize("strength", [-0.1, 10.5, "1", True, float("nan")])
def test_a_strength_that_cannot_be_used_is_refused(strength):
    with pytest.raises(InvalidParameterError, match="strength"):
        Request("Hi", strength=strength)


def test_the_command_line_offers_every_rule():
    """It lists them itself, so that its help needs no torch."""
    from persona_judge_llm.cli import options

    offered = get_args(get_args(options.Rule)[0])[0]
    assert get_args(offered) == get_args(Rule)


def test_the_loop_as_printed_knows_no_blend():
    with (
        tiny_engine(loop="reference") as engine,
        pytest.raises(InvalidParameterError, match="rule"),
    ):
        engine.generate("Hi", preferences=PREFERENCES, rule="overlap")


def test_a_model_that_returns_nan_fails_the_call():
    class Broken(HistoryModel):
        def __init__(self):
            super().__init__()
            self.table[:, 1] = torch.nan

    task = DecodeTask(
        prompt_a=A,
        prompt_b=B,
        params=SamplingParams(max_new_tokens=5).resolved(SamplingParams()),
        seed=3,
        num_draft_tokens=2,
        turns=(1, 1),
        blend=blend("overlap"),
    )
    ((_, found),) = DualDecoding(Broken(), [task]).step()
    assert isinstance(found, NumericalError)
