"""What `diagnose` says is what both sides' distributions are, and the rule follows from it."""

import re
from html.parser import HTMLParser

import pytest
import torch

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.prompts import detokenizer
from persona_judge_llm.requests import Request
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import HistoryModel, tiny_engine, tiny_tokenizer
from persona_judge_llm.token_page import page

TWO = ["Be concise", "Be warm"]
PARAMS = SamplingParams(max_new_tokens=40, seed=4, temperature=0.7, top_k=9)


@pytest.fixture(scope="module")
def engine():
    with tiny_engine() as engine:
        yield engine


def sides(engine, plan, text):
    """Each side's distribution at temperature 1 behind its prompt and a text, without a cache."""
    rows = [[*ids, *text] for ids in (plan.prompt_ids_a, plan.prompt_ids_b)]
    return [engine.model(input_ids=torch.tensor([row])).logits[0, -1] for row in rows]


def test_each_token_is_told_as_both_sides_see_it(engine):
    found = engine.diagnose("Hi", preferences=TWO, params=PARAMS)
    answer = found.generation
    plan = engine.plan("Hi", preferences=TWO, params=PARAMS)
    assert answer.text == engine.generate(plan).text
    assert [t.token for t in found.tokens] == list(answer.trace)
    assert len(found.tokens) > 33  # more than one piece is computed at a time
    for place in (0, 1, 32, 33, len(found.tokens) - 1):
        each, logits = found.tokens[place], sides(engine, plan, answer.token_ids[:place])
        probs = []
        for row in logits:
            kept = row.topk(9)
            own = torch.zeros_like(row)
            own[kept.indices] = (kept.values / 0.7).softmax(-1)
            probs.append(own)
        distance = 0.5 * (probs[0] - probs[1]).abs().sum().item()
        assert each.total_variation == pytest.approx(distance, abs=1e-3)
        best = [engine.tokenizer.decode([row.argmax().item()]) for row in logits]
        assert list(each.favourites) == best
    mean = sum(t.total_variation for t in found.tokens) / len(found.tokens)
    assert found.total_variation == pytest.approx(mean)
    assert found.acceptance_rate == answer.acceptance_rate


def test_what_the_other_side_rules_out_is_named():
    model = HistoryModel(vocab_size=300, opposed=True, scale=4.0)
    with PersonaJudge(model, tiny_tokenizer(), proposals="off") as engine:
        shown = detokenizer(engine.tokenizer)
        plan = engine.plan("Hi", preferences=TWO, params=PARAMS)
        found = engine.diagnose("Hi", preferences=TWO, params=PARAMS)
        for place, each in enumerate(found.tokens):
            text = found.generation.token_ids[:place]
            logs = [
                model.logits([*ids, *text]).log_softmax(-1)
                for ids in (plan.prompt_ids_a, plan.prompt_ids_b)
            ]
            wanted = []
            for own, other, side in ((0, 1, "A"), (1, 0, "B")):
                limit = min(0.09, 0.3 * torch.exp((logs[own].exp() * logs[own]).sum()).item())
                likely = [
                    (-logs[other][t].item(), t)
                    for t in range(300)
                    if logs[other][t].exp() > 0.1 and logs[own][t].exp() <= limit
                ]
                wanted += [(side, shown([t])) for _, t in sorted(likely)]
            assert list(each.vetoed) == wanted
        assert any(t.vetoed for t in found.tokens)
        assert found.rule == "balance"


def preferences(**changed):
    return [Preference("Be concise", id="p1"), Preference("Be warm", id="p2", **changed)]


@pytest.mark.parametrize(
    ("mine", "rule", "why"),
    [
        (preferences(), "balance", "differ"),
        (preferences(opposes={"p1"}), "alternate", "conflict"),
        ([Preference("Be concise")], "alternate", "one prompt only"),
        ([], "alternate", "one prompt only"),
        ([Preference("Be concise"), Preference("No names", kind="must")], "veto", "must"),
    ],
)
def test_the_rule_that_fits(engine, mine, rule, why):
    hot = SamplingParams(max_new_tokens=20, seed=4, temperature=0)
    found = engine.diagnose("Hi", preferences=mine, params=hot)
    assert found.rule == rule
    assert why in found.reason
    assert bool(found.tokens) == (found.total_variation is not None) == ("one" not in why)


def test_sides_that_agree_need_no_other_rule(engine):
    hot = SamplingParams(max_new_tokens=10, seed=4, temperature=50.0)
    found = engine.diagnose("Hi", preferences=TWO, params=hot)
    assert found.total_variation < 0.1
    assert found.rule == "alternate"
    assert "agree" in found.reason


def test_users_requests_and_prepared_calls_are_diagnosed_by_the_rule_that_judges():
    store = InMemoryProfileStore()
    store.put(Profile("ana", [Preference(text) for text in TWO]))
    with tiny_engine(profiles=store, rule="mixture") as engine:
        request = Request("Hi", user_id="ana", params=PARAMS, rule="compose")
        all_of_them = [
            engine.diagnose("Hi", user_id="ana", params=PARAMS),
            engine.diagnose(request),
            engine.diagnose(engine.prepare(request)),
        ]
        assert len({d.generation.text for d in all_of_them}) == 1
        assert all_of_them[0].acceptance_rate is not None
        with pytest.raises(InvalidParameterError, match="preference"):
            engine.diagnose("Hi", preference=TWO)


class Spans(HTMLParser):
    def __init__(self):
        super().__init__()
        self.spans, self.text, self.tags = [], "", set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "span":
            self.spans.append(dict(attrs))

    def handle_data(self, data):
        self.text += data


def test_pages_show_each_token_and_nothing_of_the_user(engine):
    found = engine.diagnose("Hi & <b>", preferences=["Be <i>concise", "Be warm"], params=PARAMS)
    trace = found.generation.trace
    for shown in (found.to_html(), found.generation.to_html()):
        read = Spans()
        read.feed(shown)
        assert found.generation.text.strip() in read.text
        assert read.tags <= {
            *("html", "head", "meta", "title", "style", "body", "h1"),
            *("table", "tr", "td", "p", "span"),
        }
        assert "concise" not in shown
        assert "<script" not in shown
    visible = [t for t in trace if t.text]
    shades = Spans()
    shades.feed(found.to_html())
    depths = [
        float(re.search(r"/ ([\d.]+)\)", s["style"]).group(1))
        for s in shades.spans
        if s.get("style")
    ]
    wanted = [t.total_variation for t in found.tokens if t.token.text]
    assert depths == pytest.approx(wanted, abs=0.006)
    outcomes = Spans()
    outcomes.feed(found.generation.to_html())
    assert [s["class"] for s in outcomes.spans if s.get("title")] == [t.outcome for t in visible]


def test_markup_of_the_model_is_text_on_a_page():
    shown = page("<T>", {"<k>": '"v"'}, [("<script>x</script>", 'a"b', 'c"d', '"e<')], [("<", ">")])
    read = Spans()
    read.feed(shown)
    assert "script" not in read.tags
    assert "<script>x</script>" in read.text
    assert {"class": 'a"b', "style": 'c"d', "title": '"e<'} in read.spans
