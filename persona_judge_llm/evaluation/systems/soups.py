"""Soups: one model out of several, by averaging what was trained."""

from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError, ModelLoadError, UnsupportedModelError
from persona_judge_llm.evaluation.systems.asking import PROMPTS, prompt_ids
from persona_judge_llm.evaluation.systems.checkpoints import (
    base_of,
    check_one_vocabulary,
    opened,
    with_adapters,
)
from persona_judge_llm.evaluation.systems.options import Options
from persona_judge_llm.evaluation.systems.system import Reply
from persona_judge_llm.evaluation.systems.writing import Writer


def open_soups(options: Options, engine: PersonaJudge) -> Reply:
    """Personalized and Rewarded soups: single-preference policies averaged, then plain sampling.

    Needs policies trained from one model: LoRA "adapters" (merged through peft into a copy of
    "model", by default the engine's own), or whole "checkpoints". Further keys: "weights" (sum to
    1; default equal, as in Personalized soups), "prompt" (default "plain"), and for adapters
    "average": "parameters" (the default, as both papers: the matrices of the adapters are averaged,
    each by itself) or "updates" (what they add to the weights is averaged). One forward a token.

    Source: arXiv 2310.11564; arXiv 2306.04488.
    """
    prompt = options.choice("prompt", PROMPTS, "plain")
    if options.has("adapters") == options.has("checkpoints"):
        raise InvalidParameterError("adapters", None, "given, or else checkpoints: one of the two")
    if options.has("adapters"):
        writer = Writer(*_of_adapters(options, engine))
    else:
        writer = _of_checkpoints(options, engine)
    return lambda case: writer.write([prompt_ids(writer, case, prompt)], case.params)


def _of_adapters(
    options: Options, engine: PersonaJudge
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    paths = options.texts("adapters")
    weights = options.shares("weights", len(paths))
    average = options.choice("average", ("parameters", "updates"), "parameters")
    model, tokenizer = opened(base_of(options, engine), engine)
    wrapped: Any = with_adapters(model, paths)
    names = [str(number) for number in range(len(paths))]
    # peft multiplies both matrices of an adapter by the root of its weight.
    roots = [weight**2 for weight in weights] if average == "parameters" else list(weights)
    kind = "linear" if average == "parameters" else "cat"
    try:
        wrapped.add_weighted_adapter(names, roots, "soup", combination_type=kind)
        wrapped.set_adapter("soup")
        merged: PreTrainedModel = wrapped.merge_and_unload(adapter_names=["soup"])
    except (ValueError, RuntimeError) as error:
        raise ModelLoadError(f"cannot average the adapters {list(paths)}: {error}") from error
    return merged, tokenizer


def _of_checkpoints(options: Options, engine: PersonaJudge) -> Writer:
    paths = options.texts("checkpoints")
    weights = options.shares("weights", len(paths))
    for key in ("model", "average"):
        if options.has(key):
            raise InvalidParameterError(key, options.text(key), "left out: it is for adapters")
    writer = Writer(*opened(paths[0], engine))
    own = writer.model.state_dict()
    sums = {name: weights[0] * value.float() for name, value in own.items()}
    for path, weight in zip(paths[1:], weights[1:], strict=True):
        other = Writer(*opened(path, engine))
        check_one_vocabulary(writer, other, path)
        theirs = other.model.state_dict()
        if {n: v.shape for n, v in own.items()} != {n: v.shape for n, v in theirs.items()}:
            raise UnsupportedModelError(
                f"the weights of {path!r} are not shaped as those of {paths[0]!r}; "
                "soups are made of models trained from one"
            )
        for name, value in theirs.items():
            sums[name] += weight * value.float()
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(sums[name])
    return writer
