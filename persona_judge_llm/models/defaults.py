"""What a model's own configuration says of sampling and of the end of a text."""

from typing import Any

from transformers import PreTrainedTokenizerBase

from persona_judge_llm.sampling import SamplingParams

_FIELDS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_new_tokens")


def sampling_defaults(model: object) -> SamplingParams:
    """Return what the model's `generation_config` sets; greedy if it says not to sample."""
    config = getattr(model, "generation_config", None)
    values: dict[str, Any] = {name: getattr(config, name, None) for name in _FIELDS}
    if getattr(config, "do_sample", None) is False:
        values["temperature"] = 0.0
    return SamplingParams(**values)


def eos_token_ids(model: object, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return every id that ends a text: the generation config's and the tokenizer's.

    Checkpoints disagree: some chat models name the end of a document in one place and the end of
    a turn in the other, and either ends an answer.
    """
    config = getattr(model, "generation_config", None)
    ids = getattr(config, "eos_token_id", None)
    named: set[Any] = set(ids) if isinstance(ids, list | tuple) else {ids}
    named.add(tokenizer.eos_token_id)
    return frozenset(int(i) for i in named if i is not None)
