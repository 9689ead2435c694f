"""Each reward model is asked in the format that it was trained on."""

import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, LlamaModel, dynamic_module_utils

from persona_judge_llm.errors import (
    InvalidParameterError,
    ModelLoadError,
    NumericalError,
    RunMismatchError,
    UnsupportedModelError,
)
from persona_judge_llm.evaluation.records import read_records
from persona_judge_llm.evaluation.reward_models import RewardModel
from persona_judge_llm.evaluation.reward_specs import RewardSpec
from persona_judge_llm.evaluation.scoring import SCORES, score_run
from persona_judge_llm.testing import tiny_tokenizer
from tests.unit.evaluation import made_rewards
from tests.unit.evaluation.made_runs import experiment, made_run

CHAT = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n"


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    """Code of checkpoints is copied to a folder of this test's."""
    folder = str(tmp_path / "modules")
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", folder)
    monkeypatch.syspath_prepend(folder)
    yield
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        del sys.modules[name]


def logits(folder, text):
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = torch.tensor([tiny_tokenizer()(text)["input_ids"]])
    with torch.no_grad():
        return model(ids).logits[0]


def load(text, **settings):
    return RewardModel(RewardSpec.of(text), device="cpu", **settings)


@pytest.mark.parametrize(
    ("text", "kind", "source", "name"),
    [
        ("armo:RLHFlow/ArmoRM", "armo", "RLHFlow/ArmoRM", "armo"),
        ("gpt2-harmless:a:b", "gpt2-harmless", "a:b", "gpt2-harmless"),
        ("classifier:some/where", "classifier", "some/where", "where"),
        ("x=classifier:some/where", "classifier", "some/where", "x"),
    ],
)
def test_a_spec_is_read(text, kind, source, name):
    assert RewardSpec.of(text) == RewardSpec(kind, source, name)


@pytest.mark.parametrize("text", ["", "armo", "armo:", "other:x", "=armo:x", "x=:y", ":x"])
def test_other_specs_are_refused(text):
    with pytest.raises(InvalidParameterError, match="KIND:PATH_OR_ID"):
        RewardSpec.of(text)


@pytest.mark.parametrize("kind", ["gpt2-helpful", "gpt2-harmless"])
def test_the_gpt2_models_read_a_pair_of_human_and_assistant(tmp_path, kind):
    folder = made_rewards.gpt2(tmp_path)
    known = logits(folder, "\n\nHuman: Why? \n\nAssistant:So.")[0]
    found = load(f"{kind}:{folder}").score("Why?", "So.")
    assert found.scores == {kind: pytest.approx(float(known), abs=1e-5)}
    assert not found.truncated
    other = load(f"{kind}:{folder}").score("Why?", "No.")
    assert other.scores[kind] != pytest.approx(float(known), abs=1e-3)


def test_a_longer_text_than_the_model_reads_is_cut_and_told(tmp_path):
    folder = made_rewards.gpt2(tmp_path)
    model = load(f"gpt2-helpful:{folder}")
    head = len("\n\nHuman: Why? \n\nAssistant:")
    assert not model.score("Why?", "x" * (128 - head)).truncated
    long = model.score("Why?", "x" * (129 - head))
    assert long.truncated
    assert long.scores == model.score("Why?", "x" * (128 - head)).scores


@pytest.mark.parametrize("trusted", [False, True])
def test_armo_reads_the_chat_template_and_two_of_its_rewards(tmp_path, own_code, trusted):
    folder = made_rewards.armo(tmp_path / "armo")
    found = load(f"armo:{folder}", trust_remote_code=trusted).score("Why?", "So.")
    weights = load_file(tmp_path / "armo" / "model.safetensors")
    transformers.logging.set_verbosity_error()
    plain = LlamaModel.from_pretrained(folder)
    ids = torch.tensor([tiny_tokenizer()(CHAT)["input_ids"]])
    with torch.no_grad():
        known = plain(ids).last_hidden_state[0, -1] @ weights["regression_layer.weight"].T
    assert len(known) == 19
    assert found.scores == {
        "armo-helpful": pytest.approx(float(known[0]), abs=1e-5),
        "armo-harmless": pytest.approx(float(known[10]), abs=1e-5),
    }


def test_code_of_a_checkpoint_runs_only_when_it_is_allowed(tmp_path, own_code):
    folder = made_rewards.armo(tmp_path / "armo")
    (tmp_path / "armo" / "rewarding.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(ModelLoadError, match="--trust-remote-code"):
        load(f"classifier:{folder}")
    load(f"armo:{folder}")
    for kind in ("armo", "classifier"):
        with pytest.raises(SystemExit, match="it ran"):
            load(f"{kind}:{folder}", trust_remote_code=True)


@pytest.mark.parametrize("chat", [True, False])
def test_a_classifier_reads_its_chat_template_or_a_pair(tmp_path, chat):
    folder = made_rewards.llama(tmp_path, chat=chat)
    known = logits(folder, CHAT if chat else "Why?So.")
    found = load(f"tone=classifier:{folder}").score("Why?", "So.")
    assert found.scores == {"tone": pytest.approx(float(known[0]), abs=1e-5)}


def test_a_classifier_of_several_labels_gives_each_its_probability(tmp_path):
    folder = made_rewards.llama(tmp_path / "tone", 3, id2label={0: "sad", 1: "flat", 2: "glad"})
    known = logits(folder, CHAT).softmax(-1)
    found = load(f"classifier:{folder}").score("Why?", "So.").scores
    assert [*found] == ["tone/sad", "tone/flat", "tone/glad"]
    assert [*found.values()] == pytest.approx(known.tolist(), abs=1e-5)


def test_a_model_without_the_rewards_that_were_promised_is_refused(tmp_path, own_code):
    two = made_rewards.gpt2(tmp_path / "two", labels=2)
    with pytest.raises(UnsupportedModelError, match="2 labels"):
        load(f"gpt2-helpful:{two}").score("a", "b")
    few = made_rewards.armo(tmp_path / "few", objectives=5)
    for trusted in (False, True):
        with pytest.raises(UnsupportedModelError, match="11 or more"):
            load(f"armo:{few}", trust_remote_code=trusted).score("a", "b")
    with pytest.raises(UnsupportedModelError, match="no chat template"):
        load(f"armo:{two}").score("a", "b")
    with pytest.raises(ModelLoadError, match=r"'regression_layer\.weight', which would be random"):
        load(f"armo:{made_rewards.llama(tmp_path / 'plain')}")
    plain = made_rewards.llama(tmp_path / "plain")
    with pytest.raises(UnsupportedModelError, match="no `rewards`"):
        load(f"armo:{plain}", trust_remote_code=True).score("a", "b")


def test_a_head_of_random_numbers_is_refused(tmp_path):
    from persona_judge_llm.testing import tiny_model

    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    transformers.logging.set_verbosity_error()
    with pytest.raises(ModelLoadError, match=r"score\.weight.*random numbers"):
        load(f"classifier:{tmp_path}")


def test_nan_is_no_reward(tmp_path):
    folder = made_rewards.llama(tmp_path)
    model = load(f"classifier:{folder}")
    with torch.no_grad():
        model._model.score.weight.fill_(torch.nan)
    with pytest.raises(NumericalError, match="no finite number"):
        model.score("a", "b")


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ModelLoadError, match="cannot load the reward model"):
        load(f"classifier:{tmp_path}")
    with pytest.raises(InvalidParameterError, match="device"):
        RewardModel(RewardSpec.of(f"classifier:{tmp_path}"), device="abacus")


class InterruptedRunError(Exception):
    pass


class Stub:
    """Rewards the length of an answer; stops after so many."""

    def __init__(self, left=10**9):
        self.left, self.asked = left, []

    def score(self, question, answer):
        if self.left == 0:
            raise InterruptedRunError
        self.left -= 1
        self.asked.append((question, answer))
        from persona_judge_llm.evaluation.reward_models import Scored

        return Scored({"length": float(len(answer))}, truncated=False)


@pytest.mark.parametrize("stop_after", [0, 1, 5])
def test_scoring_is_taken_up_where_it_was_left(tmp_path, stop_after):
    folder = made_run(tmp_path, experiment(n=3))
    spec = RewardSpec.of("length=classifier:x")
    broken = Stub(stop_after)
    with pytest.raises(InterruptedRunError):
        score_run(folder, spec, lambda _: broken)
    with (tmp_path / SCORES).open("ab") as file:
        file.write(b'{"torn')
    again = Stub()
    assert score_run(folder, spec, lambda _: again) == 6 - stop_after
    assert len({*broken.asked, *again.asked}) == len(broken.asked) + len(again.asked) == 6
    found = read_records(tmp_path / SCORES)
    assert [record["scores"]["length"] for record in found] == [11.0] * 3 + [14.0] * 3
    assert score_run(folder, spec, lambda _: pytest.fail("loaded for nothing")) == 0


def test_two_models_stand_side_by_side_and_one_name_is_one_model(tmp_path):
    folder = made_run(tmp_path)
    score_run(folder, RewardSpec.of("a=classifier:x"), lambda _: Stub())
    score_run(folder, RewardSpec.of("b=classifier:y"), lambda _: Stub())
    assert [r["scorer"] for r in read_records(tmp_path / SCORES)] == ["a"] * 4 + ["b"] * 4
    with pytest.raises(RunMismatchError, match="reward model named 'a'"):
        score_run(folder, RewardSpec.of("a=classifier:z"), lambda _: Stub())


def test_each_model_has_the_precision_that_it_is_known_for():
    from persona_judge_llm.evaluation.reward_models import _dtype

    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert _dtype("armo", gpu) is torch.bfloat16
    assert _dtype("gpt2-helpful", gpu) is torch.float16
    assert _dtype("classifier", gpu) == "auto"
    assert _dtype("armo", cpu) is torch.float32
