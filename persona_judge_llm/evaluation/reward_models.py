r"""Reward models, each asked in the format that it was trained on.

- `armo`: RLHFlow/ArmoRM-Llama3-8B-v0.1. The conversation through the tokenizer's chat template;
  helpfulness and harmlessness are entries 0 and 10 of `output.rewards`. Read without the code that
  comes with the checkpoint, see `armo`; by that code where it is allowed.
- `gpt2-helpful`, `gpt2-harmless`: the two Ray2333 models. The pair of the question as
  "\n\nHuman: ... \n\nAssistant:" and the answer.
- `classifier`: any sequence classifier. The conversation through its chat template where it has
  one, else the pair of question and answer. One label gives its logit, several their
  probabilities, each by its name.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from persona_judge_llm.errors import (
    InvalidParameterError,
    ModelLoadError,
    NumericalError,
    UnsupportedModelError,
)
from persona_judge_llm.evaluation.armo import ArmoRewards
from persona_judge_llm.evaluation.reward_specs import RewardSpec

if TYPE_CHECKING:
    from transformers import BatchEncoding

ARMO: Final[Mapping[str, int]] = {"armo-helpful": 0, "armo-harmless": 10}
"""The entries of ArmoRM's nineteen that the paper reports."""
_DTYPES: Final[Mapping[str, torch.dtype | str]] = {"armo": torch.bfloat16, "classifier": "auto"}

__all__ = ["ARMO", "RewardModel", "RewardSpec", "Scored"]

Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a reward model says of one answer."""

    scores: Scores
    """By name, such as "armo-helpful"."""
    truncated: bool
    """Whether the model's context was too short to read all of it."""


class RewardModel:
    """A loaded reward model; scores one answer at a time, so that no padding changes a number.

    Args:
        spec: which one.
        trust_remote_code: runs code that comes with the checkpoint; never by itself.
        device: "auto" for CUDA or the CPU, or a torch device.

    Raises:
        ModelLoadError: it cannot be loaded, or brings code that was not allowed.
    """

    def __init__(
        self, spec: RewardSpec, *, trust_remote_code: bool = False, device: str = "auto"
    ) -> None:
        self.spec = spec
        self._device = _device(device)
        options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
        try:
            kind = _class(spec, trusted=trust_remote_code)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(spec.source, **options)
            loaded: Any = kind.from_pretrained(
                spec.source,
                dtype=_dtype(spec.kind, self._device),
                output_loading_info=True,
                **options,
            )
        except ModelLoadError:
            raise
        except Exception as error:  # of many libraries, and of the checkpoint's code
            reason = " ".join(str(error).split())[:300]
            raise ModelLoadError(
                f"cannot load the reward model {spec.source!r}: {reason}"
            ) from error
        model, found = loaded
        if missing := sorted(found["missing_keys"]):
            raise ModelLoadError(
                f"the reward model {spec.source!r} lacks {len(missing)} weights, such as "
                f"{missing[0]!r}, which would be random numbers"
            )
        self._model = model.to(self._device).eval()
        self._limit = _limit(self._tokenizer, self._model.config)
        self._read: Callable[[Any], Scores] = {"armo": self._armo, "classifier": self._labels}.get(
            spec.kind, self._one
        )

    def score(self, question: str, answer: str) -> Scored:
        """Return the rewards of an answer.

        Raises:
            UnsupportedModelError: the model gives no such rewards.
        NumericalError: a reward is no finite number.
        """
        inputs = self._inputs(question, answer)
        length = int(inputs["input_ids"].shape[1])
        truncated = self._limit is not None and length > self._limit
        if truncated:
            inputs = {name: value[:, : self._limit] for name, value in inputs.items()}
        with torch.inference_mode():
            output = self._model(**{name: v.to(self._device) for name, v in inputs.items()})
        scores = self._read(output)
        if not all(map(math.isfinite, scores.values())):
            raise NumericalError(f"{self.spec.source!r} gave a reward that is no finite number")
        return Scored(scores, truncated)

    def _inputs(self, question: str, answer: str) -> "BatchEncoding | dict[str, Any]":
        if self.spec.kind.startswith("gpt2"):
            found: BatchEncoding = self._tokenizer(
                f"\n\nHuman: {question} \n\nAssistant:", answer, return_tensors="pt"
            )
            return found
        if getattr(self._tokenizer, "chat_template", None):
            messages = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
            # Without the attention mask, which is all ones, as ArmoRM's own example has it.
            ids = self._tokenizer.apply_chat_template(
                messages, return_tensors="pt", return_dict=True
            )["input_ids"]
            return {"input_ids": ids}
        if self.spec.kind == "armo":
            raise UnsupportedModelError(f"{self.spec.source!r} has no chat template")
        pair: BatchEncoding = self._tokenizer(question, answer, return_tensors="pt")
        return pair

    def _armo(self, output: Any) -> Scores:  # noqa: ANN401 - of the checkpoint's own class
        rewards = getattr(output, "rewards", None)
        if rewards is None or rewards.shape[-1] <= max(ARMO.values()):
            raise UnsupportedModelError(
                f"{self.spec.source!r} gives no `rewards` of {max(ARMO.values()) + 1} or more "
                "entries, as ArmoRM does; use classifier:..."
            )
        values = rewards[0].float()
        # Another name for the model is another name for its scores.
        prefix = self.spec.name
        return {name.replace("armo", prefix, 1): float(values[i]) for name, i in ARMO.items()}

    def _one(self, output: Any) -> Scores:  # noqa: ANN401
        if output.logits.shape[-1] != 1:
            raise UnsupportedModelError(
                f"{self.spec.source!r} has {output.logits.shape[-1]} labels, not one; "
                "use classifier:..."
            )
        return {self.spec.name: float(output.logits[0, 0].float())}

    def _labels(self, output: Any) -> Scores:  # noqa: ANN401
        if output.logits.shape[-1] == 1:
            return self._one(output)
        shares = output.logits[0].float().softmax(-1)
        labels = self._model.config.id2label
        return {f"{self.spec.name}/{labels[i]}": float(share) for i, share in enumerate(shares)}


def _class(spec: RewardSpec, *, trusted: bool) -> Any:  # noqa: ANN401 - what loads a model
    if trusted:
        return AutoModelForSequenceClassification
    source = spec.source
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    if spec.kind == "armo" and config.model_type == "llama":
        return ArmoRewards
    # Left to itself, transformers would load the plain class, with random weights for a head.
    if "AutoModelForSequenceClassification" in (getattr(config, "auto_map", None) or {}):
        raise ModelLoadError(
            f"the reward model {source!r} brings code of its own; read it, and if you trust it "
            "allow it with --trust-remote-code"
        )
    return AutoModelForSequenceClassification


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except RuntimeError:
        raise InvalidParameterError("device", device, "a torch device or 'auto'") from None


def _dtype(kind: str, device: torch.device) -> torch.dtype | str:
    # Half precision is slow on CPUs, and there is no memory to save.
    return torch.float32 if device.type == "cpu" else _DTYPES.get(kind, torch.float16)


def _limit(tokenizer: Any, config: Any) -> int | None:  # noqa: ANN401
    sizes = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    known = [size for size in sizes if isinstance(size, int) and 0 < size < 1_000_000]  # noqa: PLR2004
    return min(known, default=None)
