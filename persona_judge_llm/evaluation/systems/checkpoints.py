"""The user's own models: loaded from folders or the hub, and checked against each other."""

import warnings
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import (
    InvalidParameterError,
    MissingDependencyError,
    ModelLoadError,
    UnsupportedModelError,
)
from persona_judge_llm.evaluation.systems.options import Options
from persona_judge_llm.evaluation.systems.writing import Writer
from persona_judge_llm.models.loading import load

if TYPE_CHECKING:
    from peft import PeftModel


def engine_model(engine: PersonaJudge) -> PreTrainedModel:
    """Return the engine's model.

    Raises:
        UnsupportedModelError: it is not one of transformers'.
    """
    if isinstance(engine.model, PreTrainedModel):
        return engine.model
    raise UnsupportedModelError(
        f"this system decodes by transformers' generate, which {type(engine.model).__name__} does "
        "not have; open the engine on a PreTrainedModel"
    )


def engine_writer(engine: PersonaJudge) -> Writer:
    """Return a writer with the engine's own model."""
    return Writer(engine_model(engine), engine.tokenizer)


def opened(path: str, engine: PersonaJudge) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal model in the checkpoint's dtype, on the device of the engine's model.

    Raises:
        ModelLoadError: not found, without safetensors or tokenizer, or in need of remote code.
    """
    return load(path, dtype="auto", device=engine_model(engine).device)


def base_of(options: Options, engine: PersonaJudge) -> str:
    """Return what adapters stand on: the key "model", or what the engine's model was loaded from.

    A copy is loaded, for an adapter changes the model that it is put on.

    Raises:
        InvalidParameterError: neither says.
    """
    if options.has("model"):
        return options.text("model")
    path = str(getattr(engine_model(engine).config, "name_or_path", "") or "")
    if not path:
        raise InvalidParameterError(
            "model", None, "a folder or hub id: this engine's model was not loaded from one"
        )
    return path


def with_adapters(model: PreTrainedModel, adapters: tuple[str, ...]) -> "PeftModel":
    """Return the model with LoRA adapters, named "0", "1" and so on; the first one is active.

    Raises:
        MissingDependencyError: peft is not installed.
        ModelLoadError: an adapter that is not there, or was made for another model.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingDependencyError("eval", error.name) from error
    wrapped: Any = None
    with warnings.catch_warnings():
        # peft asks for an attribute that transformers is about to rename.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        for number, path in enumerate(adapters):
            try:
                if wrapped is None:
                    wrapped = PeftModel.from_pretrained(model, path, adapter_name=str(number))
                else:
                    wrapped.load_adapter(path, adapter_name=str(number))
            except Exception as error:  # of peft, safetensors and torch
                raise ModelLoadError(f"cannot load the adapter {path!r}: {error}") from error
    found: PeftModel = wrapped
    return found


def check_one_vocabulary(first: Writer, other: Writer, path: str) -> None:
    """Check that two models' logits are of the same tokens.

    Raises:
        UnsupportedModelError: they are not.
    """
    if first.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        raise UnsupportedModelError(
            f"{path!r} has another vocabulary than the first model; this system adds up logits of "
            "the same tokens: take models with one tokenizer"
        )
    if first.vocab_size != other.vocab_size:
        raise UnsupportedModelError(
            f"{path!r} has logits for {other.vocab_size} tokens and the first model for "
            f"{first.vocab_size}; resize the embeddings of one of them"
        )
