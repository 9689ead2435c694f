"""Loading a model and its tokenizer from a folder or the hub; safetensors only, no remote code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from persona_judge_llm.errors import InvalidParameterError, ModelLoadError
from persona_judge_llm.models.weights import packed

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_PLACING = {"device_map", "max_memory", "quantization_config"}
_OF_THE_MODEL = _PLACING | {"attn_implementation"}


def check_options(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return `load_options` as they are, or none.

    Raises:
        InvalidParameterError: no mapping, or with what has an argument of its own.
    """
    if options is not None and not isinstance(options, Mapping):
        raise InvalidParameterError("load_options", type(options).__name__, "a mapping")
    for name in {"model_id", "dtype", "device"} & (options or {}).keys():
        raise InvalidParameterError("load_options", name, "free of what has its own argument")
    return options or {}


def load(
    model_id: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    **options: Any,  # noqa: ANN401
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal model and its tokenizer.

    Args:
        model_id: a folder, or a model id on the hub.
        dtype: "auto" takes the checkpoint's (on a CPU float32 instead of float16, and instead of
            bfloat16 if the CPU has no instructions for it), or a name or torch dtype.
        device: "auto" takes CUDA, then MPS, then the CPU.
        options: passed to `from_pretrained` of model and tokenizer (`revision`, `token`,
            `local_files_only`, `cache_dir`, ...), and of the model alone `attn_implementation`,
            `quantization_config` (such as bitsandbytes' 4 bit), `device_map` and `max_memory`;
            with the last three transformers decides where the model is, and `device` must be
            "auto". `trust_remote_code` is refused.

    Raises:
        ModelLoadError: not found, without safetensors, without tokenizer, or in need of code
            from the repository.
        InvalidParameterError: an unknown dtype or device.
    """
    _check_arguments(model_id, device, options)
    target, kind = _device(device), _dtype(dtype)
    _check_folder(Path(model_id))
    options["trust_remote_code"] = False  # left out, transformers asks on the terminal
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(model_id), **{n: v for n, v in options.items() if n not in _OF_THE_MODEL}
        )
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(model_id), dtype=kind, use_safetensors=True, output_loading_info=True, **options
        )
    except Exception as error:  # of many libraries, safetensors' own among them
        raise ModelLoadError(f"cannot load the model {str(model_id)!r}: {error}") from error
    model: PreTrainedModel
    model, found = loaded
    if missing := sorted(found["missing_keys"]):
        raise ModelLoadError(
            f"the checkpoint {str(model_id)!r} lacks {len(missing)} weights, such as "
            f"{missing[0]!r}, which would be random numbers"
        )
    if _PLACING & options.keys():
        return model, tokenizer
    if target.type == "cpu" and _is_slow_on_cpu(model.dtype, asked_for=dtype):
        model = model.float()
    try:
        model.to(target)  # type: ignore[arg-type]  # upstream wraps `to` without its types
    except (RuntimeError, AssertionError) as error:  # the latter of builds without CUDA
        raise ModelLoadError(f"cannot put the model on {str(target)!r}: {error}") from error
    return model, tokenizer


def _check_arguments(model_id: object, device: object, options: Mapping[str, Any]) -> None:
    if "trust_remote_code" in options:
        raise InvalidParameterError(
            "trust_remote_code",
            options["trust_remote_code"],
            "left out: code from a model repository is never run; load such a model yourself and "
            "pass the objects to PersonaJudge(model, tokenizer)",
        )
    for name in ("use_safetensors", "torch_dtype", "output_loading_info"):
        if name in options:
            raise InvalidParameterError("load_options", name, "free of what this function decides")
    if not isinstance(model_id, str | Path):
        raise InvalidParameterError("model_id", type(model_id).__name__, "a folder or a hub id")
    if (placed := _PLACING & options.keys()) and device != "auto":
        raise InvalidParameterError("device", device, f"'auto' beside {sorted(placed)}")


def _is_slow_on_cpu(dtype: torch.dtype, *, asked_for: str | torch.dtype) -> bool:
    if dtype == torch.bfloat16:
        return asked_for == "auto" and not packed.is_available(dtype)
    return dtype == torch.float16


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        return
    if not any(path.glob("*.safetensors")):
        raise ModelLoadError(
            f"no safetensors file in {str(path)!r}; other weight formats can run code when loaded: "
            "convert the model with save_pretrained()"
        )


def _dtype(dtype: str | torch.dtype) -> torch.dtype | str:
    if isinstance(dtype, torch.dtype) or dtype == "auto":
        return dtype
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise InvalidParameterError("dtype", dtype, f"'auto' or one of {sorted(_DTYPES)}")
    return _DTYPES[dtype]


def _device(device: str | torch.device) -> torch.device:
    if device != "auto":
        try:
            return torch.device(device)
        except (RuntimeError, TypeError):
            raise InvalidParameterError("device", device, "a torch device or 'auto'") from None
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
