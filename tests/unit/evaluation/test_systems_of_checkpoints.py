"""Systems that take a checkpoint of the user's own: each one's law, without a cache."""

import copy
import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForSequenceClassification

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.evaluation.engine_methods import engine_method
from persona_judge_llm.evaluation.reward_models import RewardModel
from persona_judge_llm.evaluation.reward_specs import RewardSpec
from persona_judge_llm.evaluation.systems import open_system
from persona_judge_llm.evaluation.systems.style_vectors import decoder_layers
from persona_judge_llm.prompts import detokenizer
from persona_judge_llm.testing import tiny_engine, tiny_model, tiny_tokenizer
from tests.unit.evaluation.systems_kit import (
    GREEDY,
    QUESTION,
    SAMPLED,
    case,
    checkpoint,
    logits,
    prompt,
    record,
    said,
    saved,
)

SCALING = 2.0
TARGETS = ["q_proj", "v_proj"]


@pytest.fixture(scope="module")
def engine():
    return tiny_engine()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return [checkpoint(folder / str(seed), seed) for seed in range(3)]


@pytest.fixture(scope="module")
def adapters(tmp_path_factory, paths):
    """Two adapters of the model of seed 0."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        config = LoraConfig(
            r=4, lora_alpha=4 * SCALING, target_modules=TARGETS, init_lora_weights=False
        )
        path = tmp_path_factory.mktemp("adapters") / str(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of peft, about transformers
            get_peft_model(tiny_model(seed=0), config).save_pretrained(path)
        found.append(str(path))
    return found


def with_updates(adapters, weights, average):
    """The model of seed 0 with averaged adapters, by hand."""
    model, files = (
        tiny_model(seed=0),
        [load_file(f"{a}/adapter_model.safetensors") for a in adapters],
    )
    with torch.no_grad():
        for name in [n for n in files[0] if "lora_A" in n]:
            a = [file[name] for file in files]
            b = [file[name.replace("lora_A", "lora_B")] for file in files]
            if average == "parameters":
                update = sum(map(torch.mul, b, weights)) @ sum(map(torch.mul, a, weights))
            else:
                update = sum(w * (y @ x) for w, x, y in zip(weights, a, b, strict=True))
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            model.get_submodule(module).weight += SCALING * update
    return model


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    config = LlamaConfig(
        vocab_size=261,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=1,
        pad_token_id=256,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(config)
    with torch.no_grad():
        model.score.weight.mul_(100)
    return "classifier:" + saved(tmp_path_factory.mktemp("reward"), model)


def plain_text(model, asked):
    return said(engine_method(PersonaJudge(model, tiny_tokenizer()), "plain"), asked).text


@pytest.mark.parametrize("params", [GREEDY, SAMPLED])
def test_a_policy_answers_as_itself(engine, paths, params):
    method = open_system({"system": "policy", "model": paths[1]}, engine)
    assert said(method, case(params)).text == plain_text(tiny_model(seed=1), case(params))
    assert method.needs == "a trained policy"


def test_a_policy_may_be_asked_for_a_side(engine, paths):
    method = open_system({"system": "policy", "model": paths[0], "prompt": "single_b"}, engine)
    assert said(method, case()).text == said(engine_method(engine, "single_b"), case()).text


def test_a_policy_may_be_an_adapter_and_the_engine_stays_as_it_is(paths, adapters):
    engine = PersonaJudge.from_pretrained(paths[0], weights="plain")
    before = copy.deepcopy(engine.model.state_dict())
    spec = {"system": "policy", "adapter": adapters[1]}
    wanted = plain_text(with_updates(adapters[1:], [1], "updates"), case())
    assert said(open_system(spec, engine), case()).text == wanted
    assert wanted != plain_text(tiny_model(seed=0), case())
    assert all(torch.equal(before[n], value) for n, value in engine.model.state_dict().items())


def test_mod_adds_up_weighted_logits(engine, paths, monkeypatch):
    drawn, weights = record(monkeypatch), [0.5, 0.3, 0.2]
    said(open_system({"system": "mod", "models": paths, "weights": weights}, engine), case())
    models, asked = [tiny_model(seed=seed) for seed in range(3)], prompt()
    drawn.check(
        lambda text: sum(
            w * logits(model, asked + tuple(text)) for w, model in zip(weights, models, strict=True)
        )
    )


def test_mod_of_one_policy_or_of_one_weight_is_that_policy(engine, paths):
    wanted = plain_text(tiny_model(seed=1), case())
    assert said(open_system({"system": "mod", "models": [paths[1]]}, engine), case()).text == wanted
    spec = {"system": "mod", "models": paths[:2], "weights": [0, 1]}
    method = open_system(spec, engine)
    assert said(method, case()).text == wanted
    assert said(method, case()).text == wanted  # the caches are of one answer


@pytest.mark.parametrize("average", ["parameters", "updates"])
@pytest.mark.parametrize("weights", [[1.0, 0.0], [0.25, 0.75]])
def test_soups_average_adapters(engine, paths, adapters, monkeypatch, average, weights):
    spec = {
        "system": "soups",
        "model": paths[0],
        "adapters": adapters,
        "weights": weights,
        "average": average,
    }
    method = open_system(spec, engine)
    drawn = record(monkeypatch)
    said(method, case())
    model, asked = with_updates(adapters, weights, average), prompt()
    drawn.check(lambda text: logits(model, asked + tuple(text)))


def test_a_soup_of_weights_1_and_0_is_the_first_adapter_alone(engine, paths, adapters):
    soup = {"system": "soups", "model": paths[0], "adapters": adapters, "weights": [1, 0]}
    alone = {"system": "policy", "model": paths[0], "adapter": adapters[0]}
    assert (
        said(open_system(soup, engine), case()).text
        == said(open_system(alone, engine), case()).text
    )


def test_soups_average_whole_checkpoints(engine, paths, monkeypatch):
    method = open_system({"system": "soups", "checkpoints": paths[:2]}, engine)
    drawn = record(monkeypatch)
    said(method, case())
    model, other = tiny_model(seed=0), tiny_model(seed=1).state_dict()
    model.load_state_dict({n: (v + other[n]) / 2 for n, v in model.state_dict().items()})
    asked = prompt()
    drawn.check(lambda text: logits(model, asked + tuple(text)))


def test_args_adds_the_reward_of_the_text_with_each_token(engine, reward, monkeypatch):
    spec = {"system": "args", "reward": reward, "weight": 1.5, "candidates": 4}
    method = open_system(spec, engine)
    drawn = record(monkeypatch)
    said(method, case(GREEDY))
    model, asked = RewardModel(RewardSpec.of(reward), device="cpu"), prompt()
    text_of = detokenizer(tiny_tokenizer())

    def formula(text):
        found = logits(engine.model, asked + tuple(text))
        wanted = torch.full_like(found, -torch.inf)
        for token in found.topk(4).indices.tolist():
            (value,) = model.score(QUESTION, text_of([*text, token])).scores.values()
            wanted[token] = found[token] + 1.5 * value
        return wanted

    drawn.check(formula)


def test_args_has_a_say_and_without_weight_none(engine, reward):
    wanted = plain_text(engine.model, case(GREEDY))
    silent = {"system": "args", "reward": reward, "weight": 0}
    assert said(open_system(silent, engine), case(GREEDY)).text == wanted
    loud = {"system": "args", "reward": reward, "weight": 20}
    assert said(open_system(loud, engine), case(GREEDY)).text != wanted


def vectors(path, tensors):
    save_file(tensors, path)
    return str(path)


def test_style_vectors_change_what_layers_put_out(engine, tmp_path, monkeypatch):
    torch.manual_seed(0)
    vector = 0.15 * torch.randn(32)  # about as large as what it is added to
    spec = {
        "system": "style_vectors",
        "vectors": vectors(tmp_path / "v", {"layers.0": vector}),
        "strength": 0.7,
        "keep": 0.4,
    }
    drawn, method = record(monkeypatch), open_system(spec, engine)
    said(method, case())
    asked, model = prompt(), tiny_model(seed=0)

    class Steered(torch.nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, *args, **kwargs):
            return 0.4 * self.layer(*args, **kwargs) + 0.7 * vector

    layers = decoder_layers(model)
    layers[0] = Steered(layers[0])
    drawn.check(lambda text: logits(model, asked + tuple(text)))
    assert plain_text(engine.model, case()) == plain_text(tiny_model(seed=0), case())  # as it was


def test_a_style_vector_without_strength_changes_nothing(engine, tmp_path):
    path = vectors(tmp_path / "v", {"0": torch.ones(32)})
    spec = {"system": "style_vectors", "vectors": path, "strength": 0}
    wanted = plain_text(engine.model, case())
    assert said(open_system(spec, engine), case()).text == wanted
    assert said(open_system({**spec, "strength": 5}, engine), case()).text != wanted


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        ("aligner", "{lead}{question} | {answer} ASSISTANT:"),
        ("metaaligner", "{lead}{aspects} | Context: {question} | Answer: {answer} | Edit:"),
        ("chat", "{lead}Aspects: {aspects}\nQuestion: {question}\nAnswer: {answer}\n"),
    ],
)
def test_a_corrector_reads_question_and_first_answer(engine, paths, monkeypatch, form, shape):
    asked = case(GREEDY)
    method = open_system({"system": "corrector", "model": paths[1], "form": form}, engine)
    drawn = record(monkeypatch)
    found = said(method, asked)
    first = said(engine_method(engine, "plain"), asked)
    assert found.seconds > 0
    filled = shape.format(
        lead="",
        question=QUESTION,
        answer=first.text,
        aspects="Be concise; Be kind; Make me laugh",
    )
    assert filled in text_read(method, monkeypatch, asked)
    assert drawn.tokens


def text_read(method, monkeypatch, asked):
    """The prompt that a method's own writer was given."""
    from persona_judge_llm.evaluation.systems.writing import Writer

    seen, write = [], Writer.write

    def spied(self, prompts, *rest, **options):
        seen.append(tiny_tokenizer().decode(prompts[0]))
        return write(self, prompts, *rest, **options)

    monkeypatch.setattr(Writer, "write", spied)
    said(method, asked)
    return seen[-1]


def test_a_corrector_takes_another_first_answer_and_template(engine, paths, monkeypatch):
    spec = {
        "system": "corrector",
        "model": paths[1],
        "template": "Q={question} A={answer} {other}",
        "first": "direct",
    }
    first = said(engine_method(engine, "direct"), case(GREEDY)).text
    read = text_read(open_system(spec, engine), monkeypatch, case(GREEDY))
    assert read == f"Q={QUESTION} A={first} {{other}}"


def test_reward_tokens_stand_in_the_prompt(engine, paths, monkeypatch):
    spec = {"system": "reward_tokens", "model": paths[1], "scores": [1.5, -0.5]}
    read = text_read(open_system(spec, engine), monkeypatch, case(GREEDY))
    assert read == (f"\n\nHuman: {QUESTION} <rm1_score> 1.5 <rm2_score> -0.5 \n\nAssistant:")


def test_raw_prompts_hold_no_control_tokens_of_the_users(engine, paths, monkeypatch):
    from persona_judge_llm.evaluation.cases import Case
    from persona_judge_llm.evaluation.systems.asking import raw_ids
    from persona_judge_llm.evaluation.systems.checkpoints import engine_writer

    ids = raw_ids(engine_writer(engine), "a<|im_end|>b")
    assert 258 not in ids
    assert tiny_tokenizer().decode(ids) == "a<|im_end|>b"
    asked = Case("What is {answer}?", ("x",), (), GREEDY)
    spec = {"system": "reward_tokens", "model": paths[1], "scores": [1]}
    assert "What is {answer}?" in text_read(open_system(spec, engine), monkeypatch, asked)
