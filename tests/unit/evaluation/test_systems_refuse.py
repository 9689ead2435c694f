"""What systems refuse, and how they say so: before any answer, by name, with what to do."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from persona_judge_llm.errors import (
    InvalidParameterError,
    MissingDependencyError,
    ModelLoadError,
    PersonaJudgeError,
    UnsupportedModelError,
)
from persona_judge_llm.evaluation.systems import SYSTEMS, check_system, open_system
from persona_judge_llm.testing import tiny_engine, tiny_model, tiny_tokenizer
from tests.unit.evaluation.systems_kit import checkpoint

SHORT = {  # the least that each system takes, on checkpoints that are not there
    "context_steering": {},
    "guidance": {},
    "policy": {"model": "/nowhere"},
    "mod": {"models": ["/nowhere"]},
    "soups": {"checkpoints": ["/nowhere"]},
    "args": {"reward": "classifier:/nowhere"},
    "style_vectors": {"vectors": "/nowhere"},
    "corrector": {"model": "/nowhere"},
    "reward_tokens": {"model": "/nowhere", "scores": [1]},
}


@pytest.fixture(scope="module")
def engine():
    return tiny_engine()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("checkpoint"), 0)


def test_every_system_is_named_as_its_key_unless_told(engine):
    assert set(SHORT) == set(SYSTEMS)
    assert open_system({"system": "guidance"}, engine).name == "guidance"
    assert open_system({"system": "guidance", "name": "CFG"}, engine).name == "CFG"
    assert open_system({"system": "guidance"}, engine).needs == ""


@pytest.mark.parametrize("spec", [{}, {"system": "magic"}, {"system": 3}, {"system": ["args"]}])
def test_an_unknown_system_lists_those_that_there_are(engine, spec):
    with pytest.raises(InvalidParameterError) as caught:
        open_system(spec, engine)
    assert all(name in str(caught.value) for name in SYSTEMS)


def test_a_spec_is_a_mapping(engine):
    with pytest.raises(InvalidParameterError, match="spec"):
        open_system("guidance", engine)


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_unknown_key_lists_those_that_there_are(engine, system):
    with pytest.raises(InvalidParameterError, match="one of this system's") as caught:
        open_system({"system": system, **SHORT[system], "wieght": 1}, engine)
    assert "wieght" in str(caught.value)
    assert all(key in str(caught.value) for key in SHORT[system])


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_spec_is_checked_without_loading_anything(system):
    spec = {"system": system, **SHORT[system]}
    assert check_system(spec) == system
    assert check_system({**spec, "name": "mine"}) == "mine"
    with pytest.raises(InvalidParameterError, match="one of this system's"):
        check_system({**spec, "wieght": 1})


@pytest.mark.parametrize("system", [name for name, own in SHORT.items() if own])
def test_what_is_not_there_is_named(engine, system):
    with pytest.raises(PersonaJudgeError, match="/nowhere"):
        open_system({"system": system, **SHORT[system]}, engine)


@pytest.mark.parametrize("system", [name for name, own in SHORT.items() if own])
def test_what_is_needed_is_asked_for(engine, system):
    with pytest.raises(InvalidParameterError, match="given"):
        open_system({"system": system}, engine)


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"system": "guidance", "name": ""}, "name"),
        ({"system": "guidance", "scale": "2"}, "scale"),
        ({"system": "guidance", "scale": True}, "scale"),
        ({"system": "guidance", "scale": float("nan")}, "scale"),
        ({"system": "guidance", "against": "nobody"}, "against"),
        ({"system": "context_steering", "per": []}, "per"),
        ({"system": "policy", "model": ""}, "model"),
        ({"system": "policy", "model": "/nowhere", "prompt": "loud"}, "prompt"),
        ({"system": "mod", "models": []}, "models"),
        ({"system": "mod", "models": "a"}, "models"),
        ({"system": "mod", "models": ["a", ""]}, "models"),
        ({"system": "mod", "models": ["a", "b"], "weights": [1]}, "weights"),
        ({"system": "mod", "models": ["a", "b"], "weights": [2, -1]}, "weights"),
        ({"system": "mod", "models": ["a", "b"], "weights": [0.5, 0.6]}, "weights"),
        ({"system": "soups", "adapters": ["a"], "checkpoints": ["b"]}, "one of the two"),
        ({"system": "soups", "checkpoints": ["b"], "average": "updates"}, "average"),
        ({"system": "args", "reward": "/nowhere"}, "reward"),
        ({"system": "args", "reward": "classifier:x", "candidates": 0}, "candidates"),
        ({"system": "args", "reward": "classifier:x", "trust_remote_code": 1}, "trust_remote"),
        ({"system": "corrector", "model": "x", "form": "poem"}, "form"),
        ({"system": "corrector", "model": "x", "template": "{question}"}, "answer"),
        ({"system": "corrector", "model": "x", "first": "nobody"}, "method"),
        ({"system": "reward_tokens", "model": "x", "scores": []}, "scores"),
        ({"system": "reward_tokens", "model": "x", "scores": ["high"]}, "scores"),
    ],
)
def test_values_that_cannot_be_used_are_named(engine, spec, key):
    with pytest.raises(InvalidParameterError, match=key):
        open_system(spec, engine)


def test_an_adapter_stands_on_a_model_that_can_be_loaded(engine):
    with pytest.raises(InvalidParameterError, match="model"):
        open_system({"system": "policy", "adapter": "/nowhere"}, engine)


def test_an_adapter_that_is_not_there_is_named(engine, path):
    with pytest.raises(ModelLoadError, match="/nowhere"):
        open_system({"system": "policy", "model": path, "adapter": "/nowhere"}, engine)


def test_without_peft_the_extra_is_named(engine, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependencyError, match=r"\[eval\]"):
        open_system({"system": "soups", "model": path, "adapters": [path]}, engine)


@pytest.mark.parametrize("spec", [{"system": "mod"}, {"system": "soups"}])
def test_models_of_other_vocabularies_do_not_add_up(engine, path, tmp_path, spec):
    key = "models" if spec["system"] == "mod" else "checkpoints"
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<more>"])
    tiny_model().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="vocabulary"):
        open_system({**spec, key: [path, str(tmp_path)]}, engine)


def test_models_of_other_widths_do_not_add_up(engine, path, tmp_path):
    config = tiny_model().config
    config.vocab_size = 272
    tiny_model(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="272"):
        open_system({"system": "mod", "models": [path, str(tmp_path)]}, engine)


def test_soups_are_of_models_shaped_alike(engine, path, tmp_path):
    config = tiny_model().config
    config.intermediate_size = 48
    tiny_model(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="shaped"):
        open_system({"system": "soups", "checkpoints": [path, str(tmp_path)]}, engine)


def test_a_language_model_is_no_reward_model(engine, path):
    with pytest.raises(ModelLoadError, match="score"):
        open_system({"system": "args", "reward": f"classifier:{path}"}, engine)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"7": torch.ones(32)}, "0 to 1"),
        ({"style": torch.ones(32)}, "0 to 1"),
        ({"0": torch.ones(31)}, "32 numbers"),
        ({"0": torch.ones(1, 32)}, "32 numbers"),
        ({}, "some layer"),
    ],
)
def test_vectors_fit_the_model(engine, tmp_path, tensors, told):
    save_file(tensors, tmp_path / "v")
    with pytest.raises(InvalidParameterError, match=told):
        open_system({"system": "style_vectors", "vectors": str(tmp_path / "v")}, engine)


def test_a_file_of_another_kind_holds_no_vectors(engine, tmp_path):
    (tmp_path / "v").write_text("no tensors")
    with pytest.raises(InvalidParameterError, match="safetensors"):
        open_system({"system": "style_vectors", "vectors": str(tmp_path / "v")}, engine)
