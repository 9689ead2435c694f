"""A model that copies from its prompt at a rate that is set, at the full price of its passes.

A model with random weights never copies. Here its forward pass is run as ever, and then the logits
are written over with a law that looks at one token only, whatever row it stands in:

- a *sure* token of the passage is followed by the one behind it in the passage;
- an *open* one by that or by another token of the passage, with even odds, so that temperature,
  top-k and top-p change nothing;
- at rate 0, every token is followed by one of eighteen others of the passage, never by the one
  behind it: whoever proposes the passage's continuation always finds one, and is always wrong.

Both successions are permutations of the passage, so all its tokens come equally often, and the one
behind comes with probability 1 - open / 2.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

NEVER = -10_000.0
OTHERS = 18


def followers(passage: Sequence[int], hit: float, vocab_size: int) -> Tensor:
    """Return what may follow each token, [vocab, choices]; repeated where there is less choice."""
    period = list(dict.fromkeys(passage))
    size = len(period)
    table = torch.full((vocab_size, OTHERS), period[0])
    num_open = round(2 * (1 - hit) * size)
    # Open tokens evenly spread: the k-th of the passage is open where a whole number is passed.
    for place, token in enumerate(period):
        behind = period[(place + 1) % size]
        is_open = (place + 1) * num_open // size > place * num_open // size
        if not hit:
            ahead = [2 + i * (size - 2) // OTHERS for i in range(OTHERS)]
            table[token] = torch.tensor([period[(place + n) % size] for n in ahead])
        else:
            elsewhere = period[(place + 1 + max(2, size // 3)) % size]
            table[token] = torch.tensor([behind, elsewhere if is_open else behind] * (OTHERS // 2))
    return table


def imposed(passage: Sequence[int], hit: float) -> float:
    """Return the rate that a passage of this length really gives."""
    size = len(set(passage))
    return 1 - round(2 * (1 - hit) * size) / size / 2 if hit else 0.0


@contextmanager
def copies(model: PreTrainedModel, table: Tensor) -> Iterator[None]:
    """Write the law over the logits of every forward pass."""

    def overwrite(_: object, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> None:  # noqa: ANN401
        ids: Tensor = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        logits: Tensor = outputs.logits
        kept = kwargs.get("logits_to_keep", 0)
        ids = ids[:, kept] if isinstance(kept, Tensor) else ids[:, -logits.shape[1] :]
        logits.fill_(NEVER).scatter_(2, table[ids], 0.0)

    hook = model.register_forward_hook(overwrite, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
