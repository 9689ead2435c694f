"""Turns dialogues into batches of token ids, targets and positions."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from training.corpus import Dialogue, Mixture, stream

IGNORED = -100
GUEST_TOKENS = 3
"""So many first tokens of a guest piece bear no loss."""
_CHUNK = 2048
_MAX_TOKENS = 900
_LONGEST_GAP = 1600


@dataclass(frozen=True)
class Encoded:
    """One sample: ids, targets (shifted by the loss, not here) and positions."""

    ids: list[int]
    labels: list[int]
    positions: list[int]


@dataclass(frozen=True)
class Batch:
    """Right-padded samples; pads need no mask, since attention is causal."""

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor


def encode(dialogue: Dialogue, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Encoded:
    """Encode a dialogue; only the answer bears loss, without the starts of guest pieces.

    Positions get a random gap somewhere in the prompt at times, so that distances occur that
    are far longer than the samples are.
    """
    prompt = tokenizer.apply_chat_template(
        dialogue.messages,
        tools=list(dialogue.tools) or None,
        tokenize=False,
        add_generation_prompt=True,
    )
    core = tokenizer.backend_tokenizer
    prompt_ids = core.encode(prompt, add_special_tokens=False).ids
    ids = list(prompt_ids)
    labels = [IGNORED] * len(prompt_ids)
    for piece in dialogue.pieces:
        part = core.encode(piece.text, add_special_tokens=False).ids
        ids += part
        free = GUEST_TOKENS if piece.guest else 0
        labels += [IGNORED] * min(free, len(part)) + part[free:]
    end = tokenizer.eos_token_id
    ids.append(end)
    labels.append(end)
    positions = list(range(len(ids)))
    if rng.random() < 0.12:
        cut = rng.randrange(1, len(prompt_ids))
        gap = rng.randint(1, _LONGEST_GAP)
        positions = [p if p < cut else p + gap for p in positions]
    return Encoded(ids, labels, positions)


def pad(samples: Sequence[Encoded], filler: int) -> Batch:
    """Make one batch; ``filler`` fills the shorter samples up."""
    width = max(len(sample.ids) for sample in samples)
    ids, labels, positions = [], [], []
    for sample in samples:
        rest = width - len(sample.ids)
        last = sample.positions[-1]
        ids.append(sample.ids + [filler] * rest)
        labels.append(sample.labels + [IGNORED] * rest)
        positions.append(sample.positions + list(range(last + 1, last + 1 + rest)))
    return Batch(torch.tensor(ids), torch.tensor(labels), torch.tensor(positions))


def repeated(vocabulary: int, seed: int, tokens: int) -> Iterator[Batch]:
    """Draw batches of random token sequences said two to four times; the first time bears no loss.

    A model that has seen some hundred of these looks tokens up in its prompt, which copying from
    passages and questions builds on; without them that look-up took longer than a whole training.
    """
    random_ints = torch.Generator().manual_seed(seed)
    rng = random.Random(seed)
    while True:
        length, times = rng.randint(4, 40), rng.randint(2, 4)
        shape = (max(1, tokens // (length * times)), length)
        ids = torch.randint(0, vocabulary, shape, generator=random_ints).repeat(1, times)
        labels = ids.clone()
        labels[:, : length + 1] = IGNORED
        yield Batch(ids, labels, torch.arange(ids.shape[1]).expand(ids.shape))


def batches(
    tokenizer: PreTrainedTokenizerFast, seed: int, tokens: int, mixture: Mixture
) -> Iterator[Batch]:
    """Draw batches of about ``tokens`` padded tokens, samples of like length together."""
    source = stream(seed, mixture)
    rng = random.Random(seed + 1)
    while True:
        chunk = [encode(next(source), tokenizer, rng) for _ in range(_CHUNK)]
        chunk = [sample for sample in chunk if len(sample.ids) <= _MAX_TOKENS]
        chunk.sort(key=lambda sample: len(sample.ids))
        groups: list[list[Encoded]] = [[]]
        for sample in chunk:
            if (len(groups[-1]) + 1) * len(sample.ids) > tokens and groups[-1]:
                groups.append([])
            groups[-1].append(sample)
        rng.shuffle(groups)
        for group in groups:
            yield pad(group, tokenizer.pad_token_id)
