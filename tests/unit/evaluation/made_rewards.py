"""Reward models with random weights, in folders, as their checkpoints are."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
)

from persona_judge_llm.testing import tiny_tokenizer

_CODE = """
from dataclasses import dataclass

import torch
from transformers import LlamaModel, LlamaPreTrainedModel
from transformers.utils import ModelOutput


@dataclass
class Output(ModelOutput):
    rewards: torch.Tensor = None
    score: torch.Tensor = None


class Rewarding(LlamaPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.regression_layer = torch.nn.Linear(16, config.num_objectives, bias=False)
        self.gating = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([torch.nn.Linear(16, 3)])})
        self.reward_transform_matrix = torch.nn.Parameter(torch.zeros(2, 2))
        self.post_init()

    def forward(self, input_ids=None, **ignored):
        rewards = self.regression_layer(self.model(input_ids).last_hidden_state[:, -1])
        return Output(rewards=rewards, score=rewards.mean(-1))
"""


def _saved(folder: Path, model: PreTrainedModel, *, chat: bool) -> str:
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    model.save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    if not chat:
        tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    return str(folder)


def _config(**settings: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=261,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        pad_token_id=256,
        **settings,
    )


def llama(folder: Path, labels: int = 1, *, chat: bool = True, **settings: Any) -> str:
    config = _config(num_labels=labels, **settings)
    return _saved(folder, AutoModelForSequenceClassification.from_config(config), chat=chat)


def gpt2(folder: Path, labels: int = 1) -> str:
    config = GPT2Config(vocab_size=261, n_embd=16, n_layer=1, n_head=2, n_positions=128)
    config.num_labels, config.pad_token_id = labels, 256
    return _saved(folder, AutoModelForSequenceClassification.from_config(config), chat=False)


def armo(folder: Path, objectives: int = 19) -> str:
    """A checkpoint of ArmoRM's form, with the class that it is to be loaded by."""
    made: dict[str, Any] = {"__name__": __name__}
    exec(_CODE, made)
    mapped = {"AutoModelForSequenceClassification": "rewarding.Rewarding"}
    model = made["Rewarding"](_config(num_objectives=objectives, auto_map=mapped))
    source = _saved(folder, model, chat=True)
    (folder / "rewarding.py").write_text(_CODE)
    return source
