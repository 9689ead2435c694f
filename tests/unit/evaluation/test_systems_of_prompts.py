"""Systems that need prompts only: their law at every token, and the engine's rules they equal."""

from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, MistralConfig

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import (
    ContextOverflowError,
    InvalidParameterError,
    NumericalError,
    UnsupportedModelError,
)
from persona_judge_llm.evaluation.engine_methods import engine_method
from persona_judge_llm.evaluation.systems import open_system
from persona_judge_llm.evaluation.systems.asking import prompt_ids
from persona_judge_llm.evaluation.systems.checkpoints import engine_writer
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import HistoryModel, tiny_engine, tiny_model, tiny_tokenizer
from tests.unit.evaluation.systems_kit import GREEDY, SAMPLED, case, logits, record, said


@pytest.fixture(scope="module")
def engine():
    return tiny_engine()


@pytest.mark.parametrize("params", [GREEDY, SAMPLED, replace(SAMPLED, temperature=4.0)])
@pytest.mark.parametrize(
    ("spec", "method"),
    [
        ({"system": "guidance", "scale": 0.5, "against": "side_b"}, "geometric"),
        ({"system": "guidance", "scale": 1, "against": "side_b"}, "single_a"),
        ({"system": "guidance", "scale": 0, "against": "side_b"}, "single_b"),
        ({"system": "guidance", "scale": 1}, "direct"),
        ({"system": "guidance", "scale": 0}, "plain"),
        ({"system": "context_steering", "strength": 0}, "plain"),
    ],
)
def test_a_seed_draws_the_text_that_it_draws_in_the_engine(engine, spec, method, params):
    asked = case(params)
    found = said(open_system(spec, engine), asked)
    wanted = said(engine_method(engine, method), asked)
    assert (found.text, found.tokens, found.finish_reason) == (
        wanted.text,
        wanted.tokens,
        wanted.finish_reason,
    )


@pytest.mark.parametrize("strength", [1, 1.5])
def test_context_steering_of_two_sides_is_compose_where_nothing_is_cut(engine, strength):
    asked = case(SamplingParams(temperature=1, max_new_tokens=16, seed=3))
    spec = {"system": "context_steering", "strength": strength}
    found = said(open_system(spec, engine), asked)
    assert found.text == said(engine_method(engine, f"compose:{strength}"), asked).text


@pytest.mark.parametrize(("per", "contexts"), [("side", 2), ("preference", 3)])
def test_context_steering_mixes_after_the_temperature(engine, monkeypatch, per, contexts):
    drawn, asked = record(monkeypatch), case()
    spec = {"system": "context_steering", "strength": 1.5, "per": per}
    said(open_system(spec, engine), asked)
    writer = engine_writer(engine)
    texts = {"side": [asked.side_a, asked.side_b]}
    texts["preference"] = [(text,) for text in (*asked.side_a, *asked.side_b)]
    unsteered = prompt_ids(writer, asked)
    rows = [prompt_ids(writer, replace(asked, side_a=t), "single_a") for t in texts[per]]
    assert len(rows) == contexts

    def formula(text):
        plain = torch.log_softmax(logits(engine.model, unsteered + tuple(text)) / 0.9, -1)
        mixed = plain
        for row in rows:
            side = torch.log_softmax(logits(engine.model, row + tuple(text)) / 0.9, -1)
            mixed = mixed + 1.5 * (side - plain)
        return mixed

    drawn.check(formula)


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(
            vocab_size=261,
            n_positions=256,
            n_embd=32,
            n_layer=2,
            n_head=4,
            bos_token_id=None,
            eos_token_id=258,
        ),
        MistralConfig(
            vocab_size=261,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            sliding_window=32,
            bos_token_id=None,
            eos_token_id=258,
        ),
    ],
    ids=lambda config: config.model_type,
)
@pytest.mark.parametrize("system", ["context_steering", "guidance"])
def test_rows_of_other_lengths_do_not_disturb_each_other(monkeypatch, config, system):
    model = tiny_model(config, scale=2)
    engine = PersonaJudge(model, tiny_tokenizer())
    drawn, asked = record(monkeypatch), replace(case(), side_b=())
    said(open_system({"system": system}, engine), asked)
    writer = engine_writer(engine)
    plain, side = (prompt_ids(writer, asked, prompt) for prompt in ("plain", "single_a"))
    if system == "guidance":
        side = prompt_ids(writer, asked, "direct")
    assert len(plain) < len(side)

    def formula(text):
        if system == "context_steering":
            return logits(model, side + tuple(text)) / 0.9
        logs = [torch.log_softmax(logits(model, row + tuple(text)), -1) for row in (side, plain)]
        return 1.5 * logs[0] - 0.5 * logs[1]

    drawn.check(formula)


def test_guidance_has_its_law_at_every_token(engine, monkeypatch):
    drawn, asked = record(monkeypatch), case()
    said(open_system({"system": "guidance", "scale": 2}, engine), asked)
    writer = engine_writer(engine)
    wanted, other = (prompt_ids(writer, asked, prompt) for prompt in ("direct", "plain"))
    drawn.check(
        lambda text: (
            2 * torch.log_softmax(logits(engine.model, wanted + tuple(text)), -1)
            - torch.log_softmax(logits(engine.model, other + tuple(text)), -1)
        )
    )


def test_a_single_side_is_steered_alone(engine):
    asked = replace(case(), side_b=())
    alone = said(engine_method(engine, "single_a"), asked).text
    assert (
        said(open_system({"system": "guidance", "against": "side_b"}, engine), asked).text == alone
    )
    spec = {"system": "context_steering", "strength": 1}
    asked = replace(asked, params=replace(SAMPLED, temperature=1.0))
    wanted = said(engine_method(engine, "single_a"), asked).text
    assert said(open_system(spec, engine), asked).text == wanted


def test_guidance_has_to_lead_somewhere(engine):
    with pytest.raises(InvalidParameterError, match="side_a"):
        said(open_system({"system": "guidance"}, engine), replace(case(), side_a=()))


def test_stop_strings_end_the_text_and_seeds_repeat_it(engine):
    method = open_system({"system": "guidance", "scale": 1}, engine)
    whole = said(method, case())
    assert whole.seconds > 0
    assert whole.text == said(method, case()).text
    assert whole.text != said(method, case(replace(SAMPLED, seed=6))).text
    stop = whole.text[3:5]
    cut = said(method, case(replace(SAMPLED, stop=stop)))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"


def test_the_global_generator_is_left_as_it_was(engine):
    torch.manual_seed(1)
    wanted = torch.rand(1)
    torch.manual_seed(1)
    said(open_system({"system": "context_steering"}, engine), case())
    assert torch.equal(torch.rand(1), wanted)


def test_the_models_own_settings_count_once(monkeypatch):
    engine = tiny_engine()
    engine.model.generation_config.update(repetition_penalty=1.7, temperature=0.6, do_sample=True)
    engine = PersonaJudge(engine.model, engine.tokenizer)
    asked = case(SamplingParams(max_new_tokens=16, seed=2))
    found = said(open_system({"system": "guidance", "scale": 1}, engine), asked)
    assert found.text == said(engine_method(engine, "direct"), asked).text


def test_a_seed_is_drawn_where_none_is_given(engine):
    method = open_system({"system": "context_steering"}, engine)
    texts = {said(method, case(replace(SAMPLED, seed=None))).text for _ in range(3)}
    assert len(texts) > 1


def test_what_does_not_fit_is_refused(engine):
    asked = case(SamplingParams(max_new_tokens=2000))
    with pytest.raises(ContextOverflowError):
        said(open_system({"system": "context_steering"}, engine), asked)


def test_nan_is_told(monkeypatch):
    engine = tiny_engine()
    with torch.no_grad():
        engine.model.get_output_embeddings().weight.fill_(torch.nan)
    with pytest.raises(NumericalError):
        said(open_system({"system": "context_steering"}, engine), case())


def test_a_model_that_is_not_of_transformers_is_refused():
    engine = PersonaJudge(HistoryModel(261), tiny_tokenizer())
    with pytest.raises(UnsupportedModelError, match="HistoryModel"):
        open_system({"system": "guidance"}, engine)
