"""Distributions over few candidates are those over the whole vocabulary, for every filter."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from persona_judge_llm.candidates import MARGIN, MOST_CANDIDATES, _largest, candidates
from persona_judge_llm.sampling import RowParams, SamplingParams, draw, logits_to_probs

LARGE = 9001  # searched by blocks, the last of which is not whole
VOCABULARIES = (2, 7, 50, 300, 3000, LARGE)


def row_params(fields, vocab):
    return RowParams.of([SamplingParams(**row).resolved(SamplingParams()) for row in fields], vocab)


def random_logits(rows, vocab, *, seed=0, scale=3.0):
    return scale * torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed))


def some_uniforms(rows, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, dtype=torch.float64, generator=generator)


def assert_same_law(logits, fields, seen=None):
    """Compare everything that can be asked of candidates; return them."""
    rows, vocab = logits.shape
    params = row_params(fields, vocab)
    expected = logits_to_probs(logits, params, seen)
    found = candidates(logits, params, seen)
    whole = found.probs
    if found.ids is not None:
        assert (found.ids.diff(dim=1) > 0).all()
        whole = torch.zeros_like(expected).scatter_(1, found.ids, found.probs)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(whole, expected, atol=1e-6, rtol=0)
    for seed in range(5):
        tokens = torch.randint(vocab, (rows,), generator=torch.Generator().manual_seed(seed))
        likely = expected.multinomial(1, generator=torch.Generator().manual_seed(seed))[:, 0]
        for asked in (tokens, likely):
            probs = expected.gather(1, asked[:, None])[:, 0]
            torch.testing.assert_close(found.prob_of(asked), probs, atol=1e-6, rtol=0)
        uniforms = some_uniforms(rows, seed=seed)
        bounds = expected.double().cumsum(1) - uniforms[:, None]
        certain = bounds.abs().amin(1) > 1e-5  # a number at a bound may be rounded either way
        same = found.draw(uniforms) == draw(expected, uniforms)
        assert same[certain].all()
    return found


def at_an_edge(logits, fields, seen):
    """Whether rounding decides what top-p or min-p keeps."""
    open_fields = [{**row, "top_p": 1.0, "min_p": 0.0} for row in fields]
    probs = logits_to_probs(logits, row_params(open_fields, logits.shape[1]), seen)
    ranked = probs.sort(dim=1, descending=True).values
    top_p = torch.tensor([[row.get("top_p", 1.0)] for row in fields])
    min_p = torch.tensor([[row.get("min_p", 0.0)] for row in fields])
    near_p = ((ranked.cumsum(1) - top_p).abs() < 1e-5) & (top_p < 1)
    near_min = ((ranked / ranked[:, :1] - min_p).abs() < 1e-5) & (min_p > 0)
    return bool((near_p | near_min).any())


any_row = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.just(0.0) | st.floats(0.1, 3),
        "top_k": st.integers(0, 60) | st.sampled_from([MOST_CANDIDATES, MOST_CANDIDATES + 1]),
        "top_p": st.floats(0.02, 1),
        "min_p": st.floats(0, 0.5),
        "repetition_penalty": st.floats(0.5, 2),
        "logit_bias": st.dictionaries(st.integers(0, 1), st.floats(-20, 20), max_size=2),
    },
)


@settings(max_examples=150)
@given(
    fields=st.lists(any_row, min_size=1, max_size=3),
    vocab=st.sampled_from(VOCABULARIES),
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([0.3, 3.0, 8.0]),
    grain=st.sampled_from([0.0, 0.01, 0.5, 4.0]),  # coarse logits are full of ties
    seen_one=st.booleans(),
)
def test_the_law_is_that_of_the_whole_vocabulary(fields, vocab, seed, scale, grain, seen_one):
    logits = random_logits(len(fields), vocab, seed=seed, scale=scale)
    if grain:
        logits = (logits / grain).round() * grain
    seen = torch.zeros(len(fields), vocab, dtype=torch.bool)
    if seen_one:
        seen[torch.arange(len(fields)), logits.argmax(1)] = True
    assume(not at_an_edge(logits, fields, seen))
    assert_same_law(logits, fields, seen)


COMMON = {
    "top-k": {"top_k": 20},
    "top-k and top-p": {"top_k": 20, "top_p": 0.8},
    "top-p": {"top_p": 0.8},
    "top-k and min-p": {"top_k": 20, "min_p": 0.1},
    "top-k at a temperature": {"top_k": 7, "temperature": 0.4},
    "greedy": {"temperature": 0.0},
    "top-k, penalty and bias": {
        "top_k": 20, "repetition_penalty": 1.3, "logit_bias": {0: 5.0, 2999: 30.0},
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", COMMON)
@pytest.mark.parametrize("vocab", [3000, LARGE])
def test_common_filters_need_few_candidates(kind, vocab):
    logits = random_logits(2, vocab)
    seen = torch.zeros(2, vocab, dtype=torch.bool)
    seen[:, :1000] = True
    found = assert_same_law(logits, [COMMON[kind]] * 2, seen)
    assert found.ids is not None
    assert found.probs.shape[1] <= vocab / 2


def test_rows_with_filters_of_different_kinds_go_together():
    logits = random_logits(3, LARGE)
    few = [{"temperature": 0.0}, {"top_k": 5}, {"top_k": 50, "top_p": 0.5, "min_p": 0.05}]
    assert assert_same_law(logits, few).ids is not None
    assert assert_same_law(logits, [{"temperature": 0.0}, {"top_p": 0.5}, {}]).ids is None


@pytest.mark.parametrize(
    "fields", [{}, {"min_p": 0.1}, {"top_k": MOST_CANDIDATES + 1}, {"top_p": 0.8, "min_p": 0.1}]
)
def test_where_few_candidates_cannot_do_the_whole_vocabulary_is_used(fields):
    assert assert_same_law(random_logits(2, LARGE), [fields] * 2).ids is None


@pytest.mark.parametrize("vocab", [300, LARGE])
@pytest.mark.parametrize("ties", [2, MARGIN, MARGIN + 1, MARGIN + 2, 250])
def test_all_that_are_tied_with_the_kth_are_kept_however_many(vocab, ties):
    logits = random_logits(1, vocab, scale=0.1).clamp(max=0.9)
    logits[0, :4] = torch.tensor([5.0, 4.0, 3.0, 2.0])
    places = torch.randperm(vocab - 4, generator=torch.Generator().manual_seed(1))[:ties] + 4
    logits[0, places] = 1.0
    found = assert_same_law(logits, [{"top_k": 5}])
    assert int((found.probs > 0).sum()) == 4 + ties


@pytest.mark.parametrize("fields", [{"top_k": 3}, {"temperature": 0.0}, {"top_p": 0.5}])
@pytest.mark.parametrize("vocab", [300, LARGE])
def test_equal_logits_everywhere_keep_the_law(fields, vocab):
    assert_same_law(torch.zeros(1, vocab), [fields])


def test_a_nucleus_that_ends_among_ties_keeps_the_lower_token_ids():
    logits = torch.zeros(1, 4096)
    logits[0, 4095] = torch.tensor(4095.0).log()  # half of the mass; the others share the rest
    found = assert_same_law(logits, [{"top_p": 0.55}])
    assert found.prob_of(torch.tensor([0])) > 0
    assert found.prob_of(torch.tensor([2000])) == 0


def test_a_nucleus_that_ends_among_the_ties_of_half_precision_logits():
    logits = random_logits(1, 32_000, scale=2.5).bfloat16()
    probs = torch.softmax(logits.float(), -1)
    last = logits.sort(descending=True).values[0, 1023]  # as many are searched at first
    assert int((logits == last).sum()) > 10
    above, tied = (float(probs[where].sum()) for where in (logits > last, logits == last))
    for part in (0.05, 0.35, 0.65, 0.95):
        assert_same_law(logits, [{"top_p": above + part * tied}])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("grain", [0.0, 0.5])
@pytest.mark.parametrize("sort", [False, True])
def test_the_search_by_blocks_finds_the_largest(seed, grain, sort):
    scores = random_logits(3, LARGE, seed=seed)
    if grain:
        scores = (scores / grain).round() * grain
    if sort:  # the largest are all in a few blocks, and in the one that is not whole
        scores = scores.sort(dim=1).values
    values, places = _largest(scores, 100)
    assert torch.equal(values, scores.topk(100, dim=1).values)
    assert torch.equal(scores.gather(1, places), values)
    assert all(len(set(row)) == 100 for row in places.tolist())


@pytest.mark.parametrize("fields", [{"top_k": 5}, {}])
def test_rows_are_selected_in_any_order(fields):
    logits = random_logits(3, 300)
    found = candidates(logits, row_params([fields] * 3, 300))
    order = torch.tensor([2, 0, 0])
    tokens = logits.argmax(1)[order]
    chosen = found.select(order)
    assert torch.equal(chosen.prob_of(tokens), found.prob_of(logits.argmax(1))[order])
    uniforms = some_uniforms(3)
    chosen_alone = candidates(logits[order], row_params([fields] * 3, 300))
    assert torch.equal(chosen.draw(uniforms), chosen_alone.draw(uniforms))


def test_a_token_that_is_no_candidate_has_no_probability():
    logits = random_logits(1, LARGE)
    found = candidates(logits, row_params([{"top_k": 5}], LARGE))
    assert found.prob_of(logits.argmin(1)) == 0
