"""Guesses by a small model with the same tokenizer, where the text repeats nothing.

Assisted generation as transformers has it, but lossless for two sides at once: the assistant only
guesses, and the decoder goes on drawing its own tokens (see `proposals`).
"""

import time
from collections.abc import Callable, Sequence

import torch

from persona_judge_llm.decoding.proposals import (
    MOST_GUESSES,
    UNTRIED,
    NGramProposer,
    Proposer,
    smoothed,
)
from persona_judge_llm.errors import InvalidParameterError, UnsupportedModelError
from persona_judge_llm.models.port import Context, LanguageModel

_RECOVERY = 0.02
"""An assistant that guessed badly and rests is tried again after some tens of tokens."""


class AssistantProposer:
    """Guesses what another model finds likeliest.

    Args:
        prompt: The text so far.
        model: The assistant; it must be able to rewind.
        vocab_size: Tokens that may be guessed, those of the model that is assisted.
    """

    def __init__(self, prompt: Sequence[int], model: LanguageModel, vocab_size: int) -> None:
        self.hit_rate = UNTRIED
        self.seconds_per_guess = 0.0
        self._model = model
        self._vocab_size = min(vocab_size, model.vocab_size)
        self._text = list(prompt)
        self._readable = all(token < model.vocab_size for token in prompt)
        self._guessed: list[int] = []  # of the tokens that come next
        self._context: Context | None = None
        self._fed: list[int] = []  # what the context holds
        self._sure = 0  # first tokens of it that are the text's

    @property
    def can_guess(self) -> bool:
        """Whether text and guesses fit the assistant's context and vocabulary."""
        if not self._readable:
            return False
        window = self._model.context_window
        return window is None or len(self._text) + MOST_GUESSES < window

    def push(self, token: int) -> None:
        """Take the text's next token."""
        if self._guessed:
            hit = self._guessed.pop(0) == token
            self.hit_rate = smoothed(self.hit_rate, hit=hit)
            if not hit:
                self._guessed = []
                # What was fed of the wrong guesses is not the text's.
                self._sure = min(self._sure, len(self._text))
        else:
            self.hit_rate += _RECOVERY * (UNTRIED - self.hit_rate)
        self._text.append(token)
        self._readable &= token < self._model.vocab_size

    def propose(self, count: int) -> list[int]:
        """Return the assistant's likeliest continuation."""
        while self.can_guess and len(self._guessed) < count:
            self._guessed.append(self._next())
        return self._guessed[:count]

    def _next(self) -> int:
        text = self._text + self._guessed
        while self._sure < len(self._fed) and self._fed[self._sure] == text[self._sure]:
            self._sure += 1
            if self._sure == len(text):
                break
        # At least one token must be fed, for there to be logits.
        self._sure = min(self._sure, len(text) - 1)
        if self._context is None:
            self._context = self._model.open(1)
        self._context.rewind([len(self._fed) - self._sure])
        pending = text[self._sure :]
        start = time.perf_counter()
        logits = self._context.extend(torch.tensor([pending], device=self._model.device))
        token = int(logits[0, -1, : self._vocab_size].argmax())
        if len(pending) <= 2:  # noqa: PLR2004  # not a prompt
            took = time.perf_counter() - start
            known = self.seconds_per_guess or took
            self.seconds_per_guess = min(took, known + 0.1 * (took - known))
        self._fed = text
        return token


class EitherProposer:
    """N-grams where the text has any, else an assistant."""

    def __init__(self, ngrams: NGramProposer, assistant: AssistantProposer) -> None:
        self._ngrams = ngrams
        self._assistant = assistant

    @property
    def _source(self) -> Proposer:
        return self._ngrams if self._ngrams.can_guess else self._assistant

    @property
    def hit_rate(self) -> float:
        """Share of tokens that were guessed right, of late."""
        return self._source.hit_rate

    @property
    def seconds_per_guess(self) -> float:
        """What one guess takes."""
        return self._source.seconds_per_guess

    @property
    def can_guess(self) -> bool:
        """Whether there is any guess of the next token."""
        return self._source.can_guess

    def push(self, token: int) -> None:
        """Take the text's next token."""
        self._ngrams.push(token)
        self._assistant.push(token)

    def propose(self, count: int) -> list[int]:
        """Return at most `count` guesses of the tokens that come next."""
        return self._source.propose(count)


def proposer_factory(
    model: LanguageModel, assistant: LanguageModel | None
) -> Callable[[Sequence[int]], Proposer]:
    """Return what makes a proposer for a text that begins with a prompt.

    Raises:
        InvalidParameterError: the model itself as its assistant.
        UnsupportedModelError: an assistant that cannot rewind.
    """
    if assistant is None:
        return NGramProposer
    if assistant is model:
        raise InvalidParameterError("assistant", "the model itself", "a smaller model")
    if not assistant.can_rewind:
        raise UnsupportedModelError("this assistant's cache cannot be rewound; leave it out")

    def make(prompt: Sequence[int]) -> Proposer:
        guesser = AssistantProposer(prompt, assistant, model.vocab_size)
        return EitherProposer(NGramProposer(prompt), guesser)

    return make
