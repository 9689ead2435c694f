"""Models of real sizes with random weights, and a tokenizer that makes prompts of exact lengths.

The tokenizer's vocabulary is made of words, one token each, so that a text of n words is n tokens.
What no answer should hold (the end of a text, control tokens, single bytes) has an embedding of
zeros, whose logit of 0 lies far below the 20 largest: every answer has exactly the length asked.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from persona_judge_llm import PersonaJudge, SamplingParams
from persona_judge_llm.arguments import Proposals
from persona_judge_llm.models.weights import WeightFormat, packed
from persona_judge_llm.preferences import Preference
from persona_judge_llm.prompts import preference_block

PREFERENCES = ("vivid", "brief")
SAMPLING: dict[str, Any] = {"temperature": 0.7, "top_k": 20, "top_p": 0.9}
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's sizes, and how much of everything is measured on it."""

    name: str
    dtype: torch.dtype
    hidden: int
    intermediate: int
    layers: int
    heads: int
    vocab: int
    prompts: tuple[int, ...]
    """Lengths of prompts."""
    new_tokens: int
    """Length of the answers."""
    rounds: int
    """Repetitions at the shorter prompts."""

    def config(self) -> Qwen2Config:
        """Return the configuration for transformers."""
        return Qwen2Config(
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=2,
            max_position_embeddings=32768,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=self.vocab - 1,
            pad_token_id=self.vocab - len(CONTROL),
            dtype=self.dtype,
        )


FULL = Shape(
    "Qwen2.5-0.5B", torch.bfloat16, 896, 4864, 24, 14, 151936, (32, 512, 2048), 32, rounds=5
)
QUICK = Shape("quick", torch.float32, 64, 128, 4, 4, 2048, (32, 64, 96), 12, rounds=2)


def save(shape: Shape, folder: Path) -> None:
    """Write a checkpoint of this shape, as `from_pretrained` reads it; the same every time."""
    config = shape.config()
    with torch.device("meta"):
        empty = Qwen2ForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    state: dict[str, torch.Tensor] = {}
    for name, parameter in empty.named_parameters():
        weight = torch.zeros(parameter.shape, dtype=shape.dtype)
        if name.endswith("norm.weight"):
            weight.fill_(1.0)
        elif "embed" in name:
            weight.normal_(0.0, 0.02, generator=generator)
            weight[: _first_word()] = 0.0
            weight[-len(CONTROL) :] = 0.0
        elif weight.ndim > 1 and name != "lm_head.weight":
            weight.normal_(0.0, parameter.shape[1] ** -0.5, generator=generator)
        if name != "lm_head.weight":
            state[name] = weight
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config.architectures = [type(empty).__name__]
    config.save_pretrained(folder)


def stock(folder: Path, device: str) -> PreTrainedModel:
    """Return the model as transformers gives it."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    model.to(device)  # type: ignore[arg-type]  # upstream wraps `to` without its types
    return model


def engine(
    folder: Path,
    device: str,
    weights: WeightFormat = "auto",
    *,
    proposals: Proposals = "off",
    prefix_cache_bytes: int = 0,
    **settings: Any,  # noqa: ANN401
) -> PersonaJudge:
    """Return an engine in which nothing is on but what is asked for."""
    model = stock(folder, device)
    if device == "cpu" and not packed.is_available(model.dtype):
        # As `PersonaJudge.from_pretrained` does.
        model = model.float()  # type: ignore[no-untyped-call]
    return PersonaJudge(
        model,
        word_tokenizer(int(model.config.vocab_size)),
        weights=weights,
        proposals=proposals,
        prefix_cache_bytes=prefix_cache_bytes,
        **settings,
    )


def model_of(judge: PersonaJudge) -> PreTrainedModel:
    """Return the model that an engine runs, with whatever it made of the weights."""
    if not isinstance(judge.model, PreTrainedModel):
        raise TypeError("this engine runs no model of transformers")
    return judge.model


def sampling(new_tokens: int, **changes: Any) -> SamplingParams:  # noqa: ANN401
    """Return the parameters that all methods sample with."""
    return SamplingParams(max_new_tokens=new_tokens, **(SAMPLING | changes))


def word(number: int) -> str:
    """Return a word that is one token, with the space before it."""
    letters = [chr(ord("a") + number // 26**place % 26) for place in (3, 2, 1, 0)]
    return " q" + "".join(letters)


def words(count: int, first: int = 0) -> str:
    """Return a text of so many tokens, all different up to a thousand."""
    return "".join(word((first + i) % 1000 + 600) for i in range(count))


def prompt(judge: PersonaJudge, length: int, first: int = 0) -> str:
    """Return a text with which side A's whole prompt has exactly `length` tokens."""
    around = len(judge.plan(words(1), preferences=PREFERENCES).prompt_ids_a) - 1
    return words(length - around, first)


def _written() -> list[str]:
    """Return the pieces, each one token, of what template and preferences write."""
    block = preference_block([Preference(text) for text in PREFERENCES])
    text = f"{block}\nsystem\nuser\nassistant"
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    return list(dict.fromkeys(piece for piece, _ in pieces if len(piece) > 1))


def _first_word() -> int:
    return len(pre_tokenizers.ByteLevel.alphabet()) + len(_written())


@cache
def word_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """Return the tokenizer; AutoTokenizer would make one of Qwen's kind, which splits the words."""
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet()) + _written()
    made = vocab_size - len(tokens) - len(CONTROL)
    tokens += [word(number).replace(" ", "\u0120") for number in reversed(range(made))]
    backend = Tokenizer(
        BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[], ignore_merges=True)
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(CONTROL))
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, eos_token=CONTROL[-1], pad_token=CONTROL[0]
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
