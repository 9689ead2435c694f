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
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.batches import IGNORED, Batch, batches
from training.corpus import stream
from training.muon import Muon
from training.tokenizer import save_tokenizer, train_tokenizer

TARGET = Path(__file__).resolve().parent.parent / "persona_judge_llm" / "bundled"
ROUNDS: tuple[tuple[int, int], ...] = ((2196, 1428), (2108, 1371))
"""Steps of each round and the step from which its learning rate falls; a later round starts from
the weights that the one before has written."""
SEED = 20260
PROCESSES = 2
TOKENS_PER_PROCESS = 1600
TOKENIZER_SAMPLES = 30_000
_WARMUP = 60
_MUON_RATE = 0.02
_ADAM_RATE = 0.004

log = logging.getLogger("training")


@dataclass(frozen=True)
class Plan:
    """How long to train.

    Attributes:
        steps: Number of steps.
        decay_from: Step from which the learning rate falls.
        minutes: If not zero, steps are planned by wall time: the decay starts after 65 % of it,
            and the number of steps is fixed then and logged, so that the run can be made again.
        resume: Folder of a model to go on with; None starts from random weights.
    """

    steps: int
    decay_from: int
    minutes: float = 0.0
    resume: Path | None = None


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
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
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


def _optimizers(model: LlamaForCausalLM) -> tuple[torch.optim.Optimizer, ...]:
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return (
        Muon(matrices, lr=_MUON_RATE),
        torch.optim.AdamW(others, lr=_ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    )


def _factor(step: int, plan: Plan) -> float:
    """Learning-rate factor: warm up, hold, then fall linearly to nearly nothing."""
    if step < _WARMUP:
        return (step + 1) / _WARMUP
    if step < plan.decay_from:
        return 1.0
    return max(0.01, (plan.steps - step) / max(1, plan.steps - plan.decay_from))


def _settled(plan: Plan, step: int, seconds: float) -> Plan:
    """Turn minutes into steps once most of the time has passed; all processes agree."""
    if not plan.minutes or seconds <= 0.65 * plan.minutes * 60:
        return plan
    rest = int(step / seconds * (plan.minutes * 60 - seconds))
    log.info("planned: steps %d, decay from %d", step + rest, step)
    return replace(plan, steps=step + rest, decay_from=step, minutes=0.0)


def _share_gradients(
    model: LlamaForCausalLM, loss: torch.Tensor, seconds: float
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


def _starting_model(plan: Plan, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Build the model, or take the weights as written for a warm restart."""
    if plan.resume is None:
        return make_model(tokenizer, seed)
    return LlamaForCausalLM.from_pretrained(plan.resume, dtype=torch.float32)


def _worker(rank: int, folder: Path, plan: Plan, seed: int, meeting: str) -> None:
    """Train as one of the processes; the first one writes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    start = time.monotonic()
    tokenizer = make_tokenizer(seed)
    model = _starting_model(plan, tokenizer, seed)
    optimizers = _optimizers(model)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    rates = [group["lr"] for group in groups]
    fresh = 1000 if plan.resume else 0
    source = batches(tokenizer, seed + 100 * rank + fresh, TOKENS_PER_PROCESS)
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
    if rank == 0:
        save(model, tokenizer, folder)
        log.info("done: steps %d tokens ~%d seconds %.0f", plan.steps, seen, seconds)
    dist.destroy_process_group()


def train(folder: Path, plan: Plan, seed: int) -> None:
    """Train in ``PROCESSES`` processes of one thread each, and save.

    Args:
        folder: Where to write.
        plan: How long.
        seed: Seed of everything.
    """
    with tempfile.TemporaryDirectory() as meeting:
        place = (Path(meeting) / "meeting").as_uri()
        spawn(_worker, (folder, plan, seed, place), nprocs=PROCESSES)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the bundled model.")
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--steps", type=int, help="one round of so many steps")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="one round, planned by wall time"
    )
    parser.add_argument("--resume", type=Path, help="folder to start from, with fresh samples")
    options = parser.parse_args()
    if options.minutes:
        plans = [Plan(10**9, 10**9, options.minutes, options.resume)]
    elif options.steps:
        plans = [Plan(options.steps, options.steps * 65 // 100, resume=options.resume)]
    else:
        plans = [
            Plan(steps, decay_from, resume=options.out if i else options.resume)
            for i, (steps, decay_from) in enumerate(ROUNDS)
        ]
    for plan in plans:
        train(options.out, plan, options.seed)


if __name__ == "__main__":
    main()
