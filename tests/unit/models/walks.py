"""Texts drawn under a grammar token by token, as a decoder would whatever its weights."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from persona_judge_llm.decoding.constraining import Compiled, Following

MUCH = 4096
Choose: TypeAlias = Callable[[list[int], list[int]], int]
"""Draws one of the tokens that may come next, given those so far."""


@dataclass(frozen=True)
class Walk:
    """One text, without its end-of-sequence token."""

    tokens: list[int]
    ended: bool
    """Whether an end-of-sequence token came within the room."""
    replaced: int
    """Tokens that were drawn and did not leave room for an end."""


def allowed_tokens(following: Following) -> list[int]:
    """Return the tokens that may come next."""
    bits = np.frombuffer(following.allowed(), dtype=np.uint8)
    found: list[int] = np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist()
    return found


def walk(compiled: Compiled, room: int, choose: Choose, ends: Collection[int]) -> Walk:
    """Draw a text that is to end within `room` tokens."""
    following = compiled.follow(room)
    tokens: list[int] = []
    replaced = 0
    while len(tokens) < room:
        drawn = choose(allowed_tokens(following), tokens)
        token = following.commit(drawn)
        replaced += token != drawn
        if token in ends:
            return Walk(tokens, True, replaced)
        tokens.append(token)
    return Walk(tokens, False, replaced)


def accepts(compiled: Compiled, tokens: Sequence[int], end: int) -> bool:
    """Tell whether a grammar allows a whole text."""
    following = compiled.follow(MUCH)
    return all(
        token in allowed_tokens(following) and following.commit(token) == token
        for token in (*tokens, end)
    )


def uniform(rng: random.Random) -> Choose:
    """Every token is as likely as any other."""
    return lambda allowed, _: rng.choice(allowed)


def stubborn(rng: random.Random, avoided: Collection[int]) -> Choose:
    """Draw certain tokens only where there are no others."""
    return lambda allowed, _: rng.choice([t for t in allowed if t not in avoided] or allowed)


def fond(rng: random.Random, phrases: Sequence[Sequence[int]]) -> Choose:
    """Write certain phrases over and over, and now and then something else."""
    left: list[int] = []

    def choose(allowed: list[int], _: list[int]) -> int:
        if not left:
            left.extend(rng.choice(phrases))
        wanted = left.pop(0)
        if wanted in allowed and rng.random() < 0.97:
            return wanted
        left.clear()
        return rng.choice(allowed)

    return choose


def letters(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the tokens of a text's single characters, so that none is a tag."""
    return [token for letter in text for token in tokenizer.encode(letter)]


def byte_tokenizer(tags: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of single bytes.

    Args:
        tags: what the tags of tool calls are: "letters", tokens that are "added", or "special".
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|im_end|>"])
    found = [
        AddedToken(tag, normalized=False, special=tags == "special")
        for tag in ("<tool_call>", "</tool_call>")
    ]
    if tags == "special":
        backend.add_special_tokens(found)
    elif tags == "added":
        backend.add_tokens(found)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
