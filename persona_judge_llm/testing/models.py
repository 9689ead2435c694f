"""Fake models and tiny real ones: offline, in milliseconds.

`HistoryModel` is a language model whose next-token law depends on the whole history, so that a
cache which is off by one shows. `tiny_model` and `tiny_tokenizer` are real transformers objects
with random weights, and `tiny_engine` is an engine on them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from torch import Tensor
from torch.nn.functional import pad
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from persona_judge_llm.engine import PersonaJudge

_TABLE = 1 << 14
_MULTIPLIER = 6364136223846793005
_INCREMENT = 1442695040888963407

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if loop.first and tools %}Tools: {{ tools | tojson }}\n{% endif %}"
    "{{ message['content'] or '' }}"
    "{% for call in message['tool_calls'] or [] %}"
    '<tool_call>\n{"name": "{{ call.function.name }}", '
    '"arguments": {{ call.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class HistoryModel:
    """A `LanguageModel` of random distributions, one for every history.

    Args:
        vocab_size: width of the logits.
        seed: which random distributions.
        scale: standard deviation of the logits; larger is more decided.
        opposed: rows that begin with token 1 have the negated logits of those with token 0.
    """

    context_window: int | None = None
    can_rewind = True
    device = torch.device("cpu")

    def __init__(
        self, vocab_size: int = 4, *, seed: int = 0, scale: float = 1.5, opposed: bool = False
    ) -> None:
        self.vocab_size = vocab_size
        self.opposed = opposed
        generator = torch.Generator().manual_seed(seed)
        self.table = scale * torch.randn(_TABLE, vocab_size, generator=generator)

    def open(self, num_rows: int = 0) -> "HistoryContext":
        """Return an empty context."""
        return HistoryContext(self, num_rows)

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """Return the logits behind a whole sequence, [vocab]."""
        return self.open(1).extend(torch.tensor([list(tokens)]))[0, 0]


class HistoryContext:
    """Rows of a `HistoryModel`: a hash of everything so far, for every length."""

    def __init__(self, model: HistoryModel, num_rows: int) -> None:
        self._model = model
        self._lengths = torch.zeros(num_rows, dtype=torch.long)
        self._hashes = torch.zeros(num_rows, 1, dtype=torch.long)
        self._sign = torch.ones(num_rows)

    def extend(self, tokens: Tensor, counts: Sequence[int] | None = None, last: int = 1) -> Tensor:
        """Append tokens to every row; see `Context.extend`."""
        rows, width = tokens.shape
        given = torch.tensor([width] * rows if counts is None else list(counts))
        end = int(self._lengths.max()) + width + 1
        if end > self._hashes.shape[1]:
            room = torch.zeros(rows, end - self._hashes.shape[1], dtype=torch.long)
            self._hashes = torch.cat([self._hashes, room], dim=1)
        if self._model.opposed and not self._lengths.any():
            self._sign = torch.where(tokens[:, 0] == 1, -1.0, 1.0)
            tokens = tokens.clone()
            tokens[:, 0] = 0
        row = torch.arange(rows)
        for place in range(width):
            before = self._hashes[row, self._lengths + place]
            after = (before + tokens[:, place] + 1) * _MULTIPLIER + _INCREMENT
            self._hashes[row, self._lengths + place + 1] = after
        self._lengths = self._lengths + given
        wanted = self._lengths[:, None] - torch.arange(last - 1, -1, -1)
        entry = (self._hashes.gather(1, wanted) >> 33) & (_TABLE - 1)
        return self._model.table[entry] * self._sign[:, None, None]

    def join(self, groups: Sequence[Sequence[Sequence[int]]]) -> "FakeJoining":
        """Begin to add rows; see `Context.join`."""
        return FakeJoining(groups, self.take_over)

    def take_over(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Add rows that hold these prompts; return the logits behind them, [prompts, vocab]."""
        new = self._model.open(len(prompts))
        width = max(len(prompt) for prompt in prompts)
        tokens = torch.tensor([[*p, *[0] * (width - len(p))] for p in prompts])
        logits = new.extend(tokens, [len(prompt) for prompt in prompts])[:, 0]
        (old_hashes, old_lengths, old_sign), (hashes, lengths, sign) = self.rows(), new.rows()
        end = max(old_hashes.shape[1], hashes.shape[1])
        self._hashes = torch.cat(
            [
                pad(old_hashes, (0, end - old_hashes.shape[1])),
                pad(hashes, (0, end - hashes.shape[1])),
            ]
        )
        self._lengths = torch.cat([old_lengths, lengths])
        self._sign = torch.cat([old_sign, sign])
        return logits

    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return hashes, lengths and signs of all rows."""
        return self._hashes, self._lengths, self._sign

    def rewind(self, counts: Sequence[int]) -> None:
        """Forget the last tokens of each row."""
        self._lengths = self._lengths - torch.tensor(list(counts))

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows."""
        kept = torch.tensor(list(rows), dtype=torch.long)
        self._lengths, self._hashes = self._lengths[kept], self._hashes[kept]
        self._sign = self._sign[kept]

    def remember(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Do nothing: there is nothing to compute that could be reused."""


class FakeJoining:
    """Prompts on their way into a context that computes nothing worth dividing.

    Args:
        groups: as for `Context.join`.
        take_over: adds rows that hold some prompts, and returns the logits behind them.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Sequence[int]]],
        take_over: Callable[[Sequence[Sequence[int]]], Tensor],
    ) -> None:
        self._prompts = [prompt for prompts in groups for prompt in prompts]
        self._take_over = take_over
        self._missing = sum(len(prompt) for prompt in self._prompts)

    def advance(self, max_tokens: int) -> Tensor | None:
        """Pretend to compute `max_tokens` more tokens; see `Joining.advance`."""
        self._missing -= max_tokens
        return None if self._missing > 0 else self._take_over(self._prompts)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer of 261 tokens with a ChatML-like template with tools."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    backend.add_tokens([AddedToken(t, normalized=False) for t in ("<tool_call>", "</tool_call>")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def tiny_model(
    config: PreTrainedConfig | None = None, *, seed: int = 0, scale: float = 4.0
) -> PreTrainedModel:
    """Return a causal model with random weights.

    Args:
        config: of any causal architecture; default a two-layer Llama for `tiny_tokenizer`.
        seed: of the weights; torch's global generator is left as it was.
        scale: factor on the weight matrices, without which all tokens are nearly as likely.
    """
    config = config or LlamaConfig(
        vocab_size=261,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=258,
        pad_token_id=256,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
    return model


def tiny_engine(**settings: Any) -> PersonaJudge:  # noqa: ANN401
    """Return an engine on `tiny_model` and `tiny_tokenizer`; its texts are gibberish.

    Args:
        settings: as for `PersonaJudge`.
    """
    return PersonaJudge(tiny_model(), tiny_tokenizer(), **settings)
