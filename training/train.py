"""Trains the bundled model from nothing and writes it as package data.

Run from the repository's root: ``python -m training.train``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn
from torch.nn import functional
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from training.batches import IGNORED, Batch, batches, repeated
from training.corpus import COPYING, EVEN, LONG, SCRIPTS, SETTLING, Mixture, stream
from training.muon import Muon
from training.probe import Probe
from training.tokenizer import save_tokenizer, train_tokenizer

TARGET = Path(__file__).resolve().parent.parent / "persona_judge_llm" / "bundled"
SEED = 20260
PROCESSES = 2
TOKENS_PER_PROCESS = 1600
TOKENIZER_SAMPLES = 30_000
_WARMUP = 60
_MUON_RATE = 0.02
_ADAM_RATE = 0.004
_LOOK_BACK = 12.0

log = logging.getLogger("training")


@dataclass(frozen=True)
class Round:
    """One round of training; each but the first goes on from the weights that were written.

    Attributes:
        steps: Number of steps.
        decay_from: Step from which the learning rate falls; below zero, it begins lower.
        mixture: What is trained on.
        copy_steps: So many first steps are on repeated random tokens alone.
        decay_to: Step at which it would reach nothing, if not the last one.
        minutes: If not zero, steps are planned by wall time: the decay starts after 36 % of it,
            and the number of steps is fixed then and logged, so that the run can be made again.
    """

    steps: int
    decay_from: int
    mixture: Mixture
    copy_steps: int = 0
    decay_to: int = 0
    minutes: float = 0.0


ROUNDS = (
    Round(3000, 3000, EVEN, copy_steps=300),
    Round(6000, 3000, COPYING),
    Round(10_000, 5526, LONG, decay_to=15_349),
    Round(2_600, 0, LONG),
    Round(900, -900, SCRIPTS),
    Round(450, -1350, SETTLING),
)


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer on a sample of the corpus.

    Made-up words are kept to few samples: they would take the place of whole words of answers.
    Pairs of digits become tokens, so that numbers are short.
    """
    texts = [" ".join(f"{pair:02d}" for pair in range(100))] * 200
    for i, dialogue in enumerate(itertools.islice(stream(seed + 7), TOKENIZER_SAMPLES)):
        if dialogue.kind != "chat" and i % 5:
            continue
        tools = [json.dumps(tool["function"]) for tool in dialogue.tools]
        texts.append("\n".join([*(m["content"] for m in dialogue.messages), *tools]))
        texts.append(dialogue.answer)
    return train_tokenizer(texts)


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen2ForCausalLM:
    """Build the untrained model.

    Two heads of the first layer begin by looking one and two tokens back. Looking up what followed
    the same tokens before, which is what copying is, builds on such heads: with them it is learned
    in 200 steps, and without them the model did not find it in a whole training.
    """
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(0, 0.08)
        attention = model.model.layers[0].self_attn
        width = config.hidden_size // config.num_attention_heads
        angles = 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
        for head, back in enumerate((1, 2)):
            # A fixed key, and a fixed query turned back by as many positions: rotary positions
            # then give the highest score to the token that is so far behind.
            start, middle, end = (head * width + part for part in (0, width // 2, width))
            attention.k_proj.bias[start:middle] = _LOOK_BACK
            attention.q_proj.bias[start:middle] = _LOOK_BACK * torch.cos(-angles * back)
            attention.q_proj.bias[middle:end] = _LOOK_BACK * torch.sin(-angles * back)
    return model


def loss_of(model: Qwen2ForCausalLM, batch: Batch) -> torch.Tensor:
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


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights (bfloat16), configurations and tokenizer."""
    save_tokenizer(tokenizer, folder)
    half = Qwen2ForCausalLM(model.config)
    half.load_state_dict(model.state_dict())
    half.bfloat16()
    half.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.7,
        top_k=20,
        top_p=0.9,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    half.save_pretrained(folder)


def _optimizers(model: Qwen2ForCausalLM) -> tuple[torch.optim.Optimizer, ...]:
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return (
        Muon(matrices, lr=_MUON_RATE),
        torch.optim.AdamW(others, lr=_ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    )


def _factor(step: int, plan: Round) -> float:
    """Learning-rate factor: warm up, hold, then fall linearly to nearly nothing."""
    if step < _WARMUP:
        return (step + 1) / _WARMUP
    if step < plan.decay_from:
        return 1.0
    end = plan.decay_to or plan.steps
    return max(0.01, (end - step) / max(1, end - plan.decay_from))


def _settled(plan: Round, step: int, seconds: float) -> Round:
    """Turn minutes into steps once most of the time has passed; all processes agree."""
    if not plan.minutes or seconds <= 0.36 * plan.minutes * 60:
        return plan
    rest = int(step / seconds * (plan.minutes * 60 - seconds))
    log.info("planned: steps %d, decay from %d", step + rest, step)
    return replace(plan, steps=step + rest, decay_from=step, minutes=0.0)


def _share_gradients(
    model: Qwen2ForCausalLM, loss: torch.Tensor, seconds: float
) -> tuple[float, float]:
    """Average gradients and loss over the processes; everyone gets the first one's clock."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    extra = torch.tensor([loss.item(), seconds if dist.get_rank() == 0 else 0.0])
    flat = torch.cat([*(grad.reshape(-1) for grad in grads), extra])
    dist.all_reduce(flat)
    mean = flat / dist.get_world_size()
    start = 0
    for grad in grads:
        grad.copy_(mean[start : start + grad.numel()].view_as(grad))
        start += grad.numel()
    return mean[-2].item(), flat[-1].item()


def _beginning(seed: int) -> tuple[PreTrainedTokenizerFast, Qwen2ForCausalLM]:
    tokenizer = make_tokenizer(seed)
    return tokenizer, make_model(tokenizer, seed)


def _written(folder: Path) -> tuple[PreTrainedTokenizerFast, Qwen2ForCausalLM]:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokenizer, Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32)


def _worker(rank: int, folder: Path, number: int, plan: Round, seed: int, meeting: str) -> None:
    """Train one round as one of the processes; the first one writes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    start = time.monotonic()
    tokenizer, model = _beginning(seed) if number == 0 else _written(folder)
    optimizers = _optimizers(model)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    rates = [group["lr"] for group in groups]
    own = seed + 100 * rank + 1000 * number
    source = itertools.chain(
        itertools.islice(repeated(len(tokenizer), own, TOKENS_PER_PROCESS), plan.copy_steps),
        batches(tokenizer, own, TOKENS_PER_PROCESS, plan.mixture),
    )
    probe = Probe(tokenizer, seed)
    if rank == 0:
        log.info("parameters %d, vocabulary %d", model.num_parameters(), len(tokenizer))
    seen, running, seconds = 0, 0.0, 0.0
    for step in itertools.count():
        plan = _settled(plan, step, seconds)
        if step >= plan.steps:
            break
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * _factor(step, plan)
        batch = next(source)
        loss = loss_of(model, batch)
        loss.backward()
        mean, seconds = _share_gradients(model, loss, time.monotonic() - start)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += PROCESSES * batch.ids.numel()
        running = mean if step == 0 else 0.95 * running + 0.05 * mean
        if rank != 0:
            continue
        if step % 20 == 0:
            log.info("step %d loss %.4f tokens ~%d seconds %.0f", step, running, seen, seconds)
        if step % 200 == 199:
            save(model, tokenizer, folder)
            log.info("copied whole: %s", probe(model))
    if rank == 0:
        save(model, tokenizer, folder)
        log.info("done: steps %d tokens ~%d seconds %.0f", plan.steps, seen, seconds)
    dist.destroy_process_group()


def train(folder: Path, rounds: Sequence[Round], seed: int, first: int = 0) -> None:
    """Train in ``PROCESSES`` processes of one thread each, and save.

    Args:
        folder: Where to write.
        rounds: How long, and on what.
        seed: Seed of everything.
        first: Number of the first round to run.
    """
    for number, plan in enumerate(rounds):
        if number < first:
            continue
        with tempfile.TemporaryDirectory() as meeting:
            place = (Path(meeting) / "meeting").as_uri()
            spawn(_worker, (folder, number, plan, seed, place), nprocs=PROCESSES)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the bundled model.")
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--first", type=int, default=0, help="number of the first round to run")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--minutes", type=float, default=0.0, help="length of the last round")
    options = parser.parse_args()
    rounds = list(ROUNDS)
    if options.minutes:
        rounds[-1] = replace(rounds[-1], steps=10**9, decay_from=10**9, minutes=options.minutes)
    train(options.out, rounds, options.seed, options.first)


if __name__ == "__main__":
    main()
