"""Loading from local folders: what is refused, and with which words."""

import pytest
import torch

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError, ModelLoadError
from persona_judge_llm.models.loading import load
from persona_judge_llm.testing import tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


def test_a_saved_model_comes_back_with_its_tokenizer(folder):
    model, tokenizer = load(folder, device="cpu")
    assert torch.equal(model.lm_head.weight, tiny_model().lm_head.weight)
    assert tokenizer.encode("é😀") == tiny_tokenizer().encode("é😀")


def test_an_engine_loads_a_folder_and_answers(folder):
    engine = PersonaJudge.from_pretrained(folder, device="cpu", num_draft_tokens=2)
    assert engine.generate("Hi", persona=False).finish_reason in ("stop", "length")
    assert engine.model_name == str(folder)


def test_a_dtype_may_be_named(folder):
    model, _ = load(folder, dtype="bfloat16", device="cpu")
    assert model.dtype == torch.bfloat16


def test_float16_becomes_float32_on_a_cpu(folder, tmp_path):
    tiny_model().half().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model, _ = load(tmp_path, device="cpu")
    assert model.dtype == torch.float32


def test_weights_that_are_not_safetensors_are_refused(folder, tmp_path):
    tiny_model().config.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    torch.save(tiny_model().state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match="safetensors"):
        load(tmp_path)


def test_remote_code_is_refused(folder):
    with pytest.raises(InvalidParameterError, match="trust_remote_code"):
        load(folder, trust_remote_code=True)


def test_a_model_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(ModelLoadError, match="no-such-model"):
        load(tmp_path / "no-such-model", local_files_only=True)


@pytest.mark.parametrize(("name", "value"), [("dtype", "float7"), ("device", "abacus")])
def test_a_bad_dtype_or_device_is_refused_by_name(folder, name, value):
    with pytest.raises(InvalidParameterError, match=name):
        load(folder, **{name: value})
