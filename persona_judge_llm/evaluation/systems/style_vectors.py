"""Style vectors: a direction added to what some layers put out."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError, UnsupportedModelError
from persona_judge_llm.evaluation.cases import Answer, Case
from persona_judge_llm.evaluation.systems.asking import PROMPTS, prompt_ids
from persona_judge_llm.evaluation.systems.checkpoints import engine_model, engine_writer
from persona_judge_llm.evaluation.systems.options import Options
from persona_judge_llm.evaluation.systems.system import Reply


def open_style_vectors(options: Options, engine: PersonaJudge) -> Reply:
    """Steering by style vectors: the outputs h of some layers become a * h + b * v.

    Needs a vector per layer, made from the engine's model: a safetensors file whose tensors,
    [hidden], are named by their layer ("12", or "layers.12"). Keys: "vectors" (the file),
    "strength" (b, default 1), "keep" (a, default 1), "prompt" (default "plain"). Holds at every
    place, prompt included; about one forward a token. The engine's model is changed while an
    answer is written, so nothing else may use it meanwhile.

    The library `steering-vectors` is not used: it asks for transformers below 5, which cannot be
    installed beside this package, and adds b * v only. Its vectors can be: save
    `{str(layer): v for layer, v in vector.layer_activations.items()}` by safetensors.

    Source: arXiv 2402.01618.
    """
    strength, keep = options.number("strength", 1.0), options.number("keep", 1.0)
    prompt = options.choice("prompt", PROMPTS, "plain")
    model = engine_model(engine)
    layers = decoder_layers(model)
    width = int(model.config.get_text_config().hidden_size)
    vectors = _read(options.text("vectors"), len(layers), width)
    writer = engine_writer(engine)

    def reply(case: Case) -> Answer:
        asked = prompt_ids(writer, case, prompt)
        with steered(layers, vectors, keep=keep, strength=strength):
            return writer.write([asked], case.params)

    return reply


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the list of a model's layers.

    Raises:
        UnsupportedModelError: no list of modules is as long as the config says.
    """
    config: Any = model.config
    count = config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise UnsupportedModelError(
        f"no list of {count} layers was found in {type(model).__name__}, to add vectors to"
    )


@contextmanager
def steered(
    layers: nn.ModuleList, vectors: Mapping[int, Tensor], *, keep: float, strength: float
) -> Iterator[None]:
    """Within, the layers' outputs are `keep` times what they are, plus `strength` times a vector.

    Args:
        layers: of the model.
        vectors: by the layer's number; [hidden].
        keep: a.
        strength: b.
    """

    def changed(vector: Tensor, hidden: Tensor) -> Tensor:
        return keep * hidden + strength * vector.to(hidden.device, hidden.dtype)

    def hook_of(vector: Tensor) -> Any:  # noqa: ANN401
        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:  # noqa: ANN401, ARG001
            if isinstance(output, tuple):
                return (changed(vector, output[0]), *output[1:])
            return changed(vector, output)

        return hook

    with ExitStack() as hooks:
        for number, vector in vectors.items():
            handle = layers[number].register_forward_hook(hook_of(vector))
            hooks.callback(handle.remove)
        yield


def _read(path: str, layers: int, width: int) -> dict[int, Tensor]:
    try:
        tensors = load_file(Path(path))
    except (OSError, SafetensorError) as error:
        raise InvalidParameterError("vectors", path, f"a safetensors file ({error})") from error
    found: dict[int, Tensor] = {}
    for name, tensor in tensors.items():
        numbers = re.findall(r"\d+", name)
        if not numbers or int(numbers[-1]) >= layers:
            wanted = f"named by a layer from 0 to {layers - 1}"
            raise InvalidParameterError("vectors", name, wanted)
        if tensor.shape != (width,):
            wanted = f"of {width} numbers, the model's width"
            raise InvalidParameterError(f"vectors[{name!r}]", list(tensor.shape), wanted)
        found[int(numbers[-1])] = tensor
    if not found:
        raise InvalidParameterError("vectors", path, "a file with a vector for some layer")
    return found
