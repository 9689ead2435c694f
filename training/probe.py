"""Watches copying while a model trains: held-out passages and tool tasks, read with the answer."""

from __future__ import annotations

import random

import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from training.answers import Piece
from training.batches import IGNORED, encode, pad
from training.contexts import context_messages
from training.copying import passage
from training.corpus import Dialogue, call_text
from training.scripts import naming_task
from training.tooling import tool_task

_SAMPLES = 48


class Probe:
    """Says which share of answers a model would write token for token.

    Args:
        tokenizer: The model's tokenizer.
        seed: Draws the tasks.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        rng = random.Random(seed + 31)
        passages = [passage(rng, rng.randint(1, 6), held_out=True) for _ in range(_SAMPLES)]
        tasks = [tool_task(rng, held_out=True) for _ in range(_SAMPLES)]
        names = [naming_task(rng, held_out=True) for _ in range(_SAMPLES)]
        dialogues = {
            "context": [
                Dialogue(context_messages(task, rng), [Piece(task.answer)]) for task in passages
            ],
            **{
                label: [
                    Dialogue(
                        [{"role": "user", "content": task.question}],
                        [Piece(call_text(task.name, task.arguments))],
                        task.tools,
                    )
                    for task in chosen
                ]
                for label, chosen in (("tool", tasks), ("scripts", names))
            },
        }
        self._batches = {
            name: pad([encode(each, tokenizer, rng) for each in chosen], tokenizer.pad_token_id)
            for name, chosen in dialogues.items()
        }

    @torch.no_grad()
    def __call__(self, model: Qwen2ForCausalLM) -> str:
        """Write the shares as text."""
        shares = []
        for name, batch in self._batches.items():
            logits = model(input_ids=batch.ids, position_ids=batch.positions).logits
            targets = batch.labels[:, 1:]
            right = (logits[:, :-1].argmax(-1) == targets) | (targets == IGNORED)
            shares.append(f"{name} {right.all(-1).float().mean().item():.2f}")
        return ", ".join(shares)
