"""Trains the bundled model from nothing and writes it as package data.

Run from the repository's root: ``python -m training.train``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import time
from pathlib import Path

import torch
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.batches import IGNORED, Batch, batches
from training.corpus import stream
from training.muon import Muon
from training.tokenizer import END, PAD, save_tokenizer, train_tokenizer

TARGET = Path(__file__).resolve().parent.parent / "persona_judge_llm" / "bundled"
STEPS = 2000
DECAY_FROM = 1300
SEED = 20260
TOKENS_PER_STEP = 4096
TOKENIZER_SAMPLES = 30_000
_WARMUP = 60
_MUON_RATE = 0.02
_ADAM_RATE = 0.004

log = logging.getLogger("training")


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer on a sample of the corpus."""
    texts = []
    for dialogue in itertools.islice(stream(seed + 7), TOKENIZER_SAMPLES):
        tools = [json.dumps(tool["function"]) for tool in dialogue.tools]
        texts.append("\n".join([*(m["content"] for m in dialogue.messages), *tools]))
        texts.append(dialogue.answer)
    return train_tokenizer(texts)


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Build the untrained model."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
    )
    return LlamaForCausalLM(config)


def loss_of(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Cross entropy of the answer tokens; logits are computed at these alone."""
    core = model.model
    hidden = core.embed_tokens(batch.ids)
    rotary = core.rotary_emb(hidden, batch.positions)
    for layer in core.layers:
        hidden = layer(hidden, attention_mask=None, position_embeddings=rotary)
    targets = batch.labels[:, 1:].reshape(-1)
    kept = targets != IGNORED
    hidden = core.norm(hidden[:, :-1].reshape(-1, hidden.shape[-1])[kept])
    return functional.cross_entropy(model.lm_head(hidden), targets[kept])


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights (bfloat16), configurations and tokenizer."""
    save_tokenizer(tokenizer, folder)
    half = LlamaForCausalLM(model.config)
    half.load_state_dict(model.state_dict())
    half.to(torch.bfloat16)
    half.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.7,
        top_k=20,
        top_p=0.9,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    half.save_pretrained(folder)


def _optimizers(model: LlamaForCausalLM) -> tuple[torch.optim.Optimizer, ...]:
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return (
        Muon(matrices, lr=_MUON_RATE),
        torch.optim.AdamW(others, lr=_ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    )


def _factor(step: int, steps: int, decay_from: int) -> float:
    """Learning-rate factor: warm up, hold, then fall linearly to nearly nothing."""
    if step < _WARMUP:
        return (step + 1) / _WARMUP
    if step < decay_from:
        return 1.0
    return max(0.01, (steps - step) / max(1, steps - decay_from))


def train(
    folder: Path, steps: int, decay_from: int, seed: int, minutes: float | None = None
) -> LlamaForCausalLM:
    """Train and save.

    Args:
        folder: Where to write.
        steps: Number of steps.
        decay_from: Step from which the learning rate falls.
        seed: Seed of everything.
        minutes: Plan the run by wall time instead: the decay starts after 65 % of it, and the
            number of steps is fixed then and logged, so that the run can be made again.
    """
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    start = time.monotonic()
    tokenizer = make_tokenizer(seed)
    model = make_model(tokenizer, seed)
    log.info("parameters %d, vocabulary %d", model.num_parameters(), len(tokenizer))
    optimizers = _optimizers(model)
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    source = batches(tokenizer, seed, TOKENS_PER_STEP)
    planned = minutes is None
    if not planned:
        steps = decay_from = 10**9
    seen, running = 0, 0.0
    for step in itertools.count():
        passed = time.monotonic() - start
        if minutes is not None and not planned and passed > 0.65 * minutes * 60:
            planned, decay_from = True, step
            steps = step + int(step / passed * (minutes * 60 - passed))
            log.info("planned: steps %d, decay from %d", steps, decay_from)
        if step >= steps:
            break
        factor = _factor(step, steps, decay_from)
        groups = (group for optimizer in optimizers for group in optimizer.param_groups)
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * factor
        batch = next(source)
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += batch.ids.numel()
        running = loss.item() if step == 0 else 0.97 * running + 0.03 * loss.item()
        if step % 20 == 0:
            log.info("step %d loss %.4f tokens %d seconds %.0f", step, running, seen, passed)
        if step % 200 == 199:
            save(model, tokenizer, folder)
    save(model, tokenizer, folder)
    log.info("done: steps %d tokens %d seconds %.0f", steps, seen, time.monotonic() - start)
    return model


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the bundled model.")
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--decay-from", type=int, default=DECAY_FROM)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--minutes", type=float, default=None)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(options.out, options.steps, options.decay_from, options.seed, options.minutes)


if __name__ == "__main__":
    main()
