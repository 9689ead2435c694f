"""Loading from local folders: what is refused, and with which words."""

import builtins
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

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


def test_a_dtype_and_a_device_may_be_objects(folder):
    model, _ = load(folder, dtype=torch.bfloat16, device=torch.device("cpu"))
    assert model.dtype == torch.bfloat16
    assert model.device == torch.device("cpu")


def test_options_reach_tokenizer_and_model_and_are_left_as_they_were(folder):
    options = {"attn_implementation": "eager", "padding_side": "left", "local_files_only": True}
    given = dict(options)
    with pytest.raises(ModelLoadError, match="padding_side"):  # the model knows no such option
        load(folder, device="cpu", **options)
    assert options == given
    del options["padding_side"]
    model, _ = load(folder, device="cpu", **options)
    assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize("name", ["use_safetensors", "dtype", "torch_dtype", "device", "model_id"])
def test_an_option_that_is_an_argument_or_a_promise_is_refused_by_name(folder, name):
    options = {name: "float32"}
    with pytest.raises(InvalidParameterError, match=name):
        PersonaJudge.from_pretrained(folder, load_options=options)


def test_a_device_beside_a_map_of_devices_is_refused(folder):
    with pytest.raises(InvalidParameterError, match="device_map"):
        load(folder, device="cpu", device_map="auto")


@pytest.mark.parametrize("model_id", [None, 3, b"bytes", ["a"]])
def test_what_is_no_name_is_refused(model_id):
    with pytest.raises(InvalidParameterError, match="model_id"):
        load(model_id)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def rewrite_config(path, **changes):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **changes}))


def cut_weights(path):
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def spoil_tokenizer(path):
    (path / "tokenizer.json").write_text('{"version": "1.0"}')


BROKEN = {
    "weights cut short": cut_weights,
    "weights of another shape": lambda path: rewrite_config(path, hidden_size=64),
    "no config": lambda path: (path / "config.json").unlink(),
    "a config that is no JSON": lambda path: (path / "config.json").write_text("{"),
    "an unknown architecture": lambda path: rewrite_config(path, model_type="abacus"),
    "no tokenizer": lambda path: [file.unlink() for file in path.glob("tokenizer*")],
    "a tokenizer that is none": spoil_tokenizer,
    "no causal model": lambda path: rewrite_config(
        path, model_type="t5", architectures=["T5ForConditionalGeneration"]
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_refused_by_name(copy, kind):
    BROKEN[kind](copy)
    with pytest.raises(ModelLoadError, match="copy") as caught:
        load(copy, device="cpu")
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("part", ["AutoConfig", "AutoModelForCausalLM", "AutoTokenizer"])
def test_code_in_a_folder_is_never_run_and_nobody_is_asked_whether_it_may(copy, monkeypatch, part):
    asked = []
    monkeypatch.setattr(builtins, "input", lambda *question: asked.append(question) or "y")
    marker = copy / "ran"
    (copy / "code.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Own: pass\n")
    if part == "AutoTokenizer":
        settings = json.loads((copy / "tokenizer_config.json").read_text())
        own = {**settings, "tokenizer_class": "Own", "auto_map": {part: ["code.Own", None]}}
        (copy / "tokenizer_config.json").write_text(json.dumps(own))
    rewrite_config(copy, model_type="own", auto_map={part: "code.Own"})
    with pytest.raises(ModelLoadError):
        load(copy, device="cpu")
    assert asked == []
    assert not marker.exists()


def test_a_checkpoint_that_lacks_weights_is_refused_by_name(copy):
    path = copy / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"lacks 1 weights.*layers\.0\.mlp\.up_proj"):
        load(copy, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_an_error_that_names_it(folder):
    with pytest.raises(ModelLoadError, match="cuda"):
        load(folder, device="cuda")
