"""Reward models with random weights, in folders, as their checkpoints are."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
)

from persona_judge_llm.testing import tiny_tokenizer

_CODE = '''
from dataclasses import dataclass

import torch
from transformers import LlamaForSequenceClassification
from transformers.utils import ModelOutput


@dataclass
class Output(ModelOutput):
    rewards: torch.Tensor = None
    score: torch.Tensor = None


class Rewarding(LlamaForSequenceClassification):
    """Nineteen rewards, as ArmoRM gives them: beside a score that mixes them."""

    def forward(self, input_ids=None, attention_mask=None, **ignored):
        hidden = self.model(input_ids).last_hidden_state[:, -1]
        rewards = self.score(hidden)
        return Output(rewards=rewards, score=rewards.mean(-1))
'''


def _saved(folder: Path, config: PreTrainedConfig, *, chat: bool) -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    if not chat:
        tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    return str(folder)


def llama(folder: Path, labels: int = 1, *, chat: bool = True, **settings: Any) -> str:
    config = LlamaConfig(
        vocab_size=261,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        pad_token_id=256,
        **{"num_labels": labels, **settings},
    )
    return _saved(folder, config, chat=chat)


def gpt2(folder: Path, labels: int = 1) -> str:
    config = GPT2Config(vocab_size=261, n_embd=16, n_layer=1, n_head=2, n_positions=128)
    config.num_labels, config.pad_token_id = labels, 256
    return _saved(folder, config, chat=False)


def armo(folder: Path, labels: int = 19) -> str:
    """A checkpoint that brings the class it is to be loaded by."""
    mapped = {"AutoModelForSequenceClassification": "rewarding.Rewarding"}
    source = llama(folder, labels, auto_map=mapped)
    (folder / "rewarding.py").write_text(_CODE)
    return source
