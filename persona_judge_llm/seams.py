"""Text that a user wrote stays text: it never becomes a control token.

control token: an id that steers the model instead of spelling text: every special token, and
other added tokens that the chat template writes or that have the shape of a mark.
seam: a mark around what the tokenizer would read as a control token. It is set before the chat
template runs and cut at before the rendered text is encoded, so that only the template itself
writes control tokens. Text without any is rendered and encoded as always.

Which text would become a control token is not guessed but asked of the tokenizer, which may
normalise text first or hold control tokens in its ordinary vocabulary.
"""

import re
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from persona_judge_llm.errors import InvalidPromptError
from persona_judge_llm.messages import map_strings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")

# <|im_end|>, <tool_call>, [TOOL_CALLS]; not <table> or "...", which some vocabularies add as text.
_MARK_SHAPE = re.compile(r"<[|\uff5c].*[|\uff5c]>|</?\w+_\w+>|\[/?[A-Z_]+\]", re.DOTALL)


class Seams:
    """Marks and encodes for one tokenizer; not safe to use from several threads at once."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", template: str | None) -> None:
        self._tokenizer = tokenizer
        self._template = template or _templates(tokenizer)
        self._control = _control_tokens(tokenizer, self._template)
        contents = sorted(self._control.values(), key=len, reverse=True)
        self._exact = re.compile("|".join(map(re.escape, contents)) or "(?!)")
        self._newline = self._ids("\n")

    def mark(self, data: T) -> tuple[T, tuple[str, str]]:
        """Return `data` with a seam around each control token in its strings, and the seam."""
        strings: list[str] = []

        def collect(text: str) -> str:
            strings.append(text)
            return text

        map_strings(data, collect)
        seams = self._free_seams("\0".join([self._template, *strings]))
        marked: T = map_strings(data, lambda text: self._marked(text, seams))
        return marked, seams

    def encode(self, text: str, seams: tuple[str, str]) -> list[int]:
        """Return the ids of rendered text; what stands between two seams is read as text."""
        opening, closing = map(re.escape, seams)
        # A template may part the two seams of a pair (`split`, `trim`): a lone one still cuts.
        pieces = re.split(
            f"{opening}((?:(?!{opening}).)*?){closing}|{opening}|{closing}", text, flags=re.DOTALL
        )
        ids = self._ids(pieces[0] or "")
        for i, piece in enumerate(pieces[1:], start=1):
            if piece:
                ids += self._as_text(piece) if i % 2 else self._inner_ids(piece)
        return ids

    def _marked(self, text: str, seams: tuple[str, str]) -> str:
        cut = 0
        marked = []
        for start, end in self._spans(text):
            marked += [self._marked(text[cut:start], seams), *seams[:1], text[start:end], seams[1]]
            cut = end
        if not cut:
            return text
        return "".join([*marked, self._marked(text[cut:], seams)])

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where in `text` the tokenizer, or plain search, sees a control token."""
        if self._exact.search(text):
            yield from (match.span() for match in self._exact.finditer(text))
        elif self._tokenizer.is_fast:
            read = self._tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            for token, (start, end) in zip(read["input_ids"], read["offset_mapping"], strict=True):
                if self._is_control(token, text[start:end]):
                    yield start, end

    def _is_control(self, token: int, text: str) -> bool:
        # The token for unknown text is no control token where the text really is unknown.
        if token == self._tokenizer.unk_token_id:
            return bool(text.strip() == self._tokenizer.unk_token)
        return token in self._control

    def _as_text(self, piece: str) -> list[int]:
        """Encode what reads as a control token: in two parts, neither of which does."""
        bare = piece.strip()
        if any(self._spans(piece)):
            if len(bare) <= 1:
                raise InvalidPromptError(
                    "prompt", piece, "free of a sign that this tokenizer only reads as control"
                )
            head = piece.index(bare) + 1
            return self._as_text(piece[:head]) + self._as_text(piece[head:])
        return self._inner_ids(piece)

    def _inner_ids(self, piece: str) -> list[int]:
        """Encode a piece from inside a text.

        Some tokenizers put a space before every text; behind a line break there is none.
        """
        ids = self._ids(f"\n{piece}")
        if ids[: len(self._newline)] == self._newline:
            return ids[len(self._newline) :]
        return self._ids(piece)

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    @staticmethod
    def _free_seams(texts: str) -> tuple[str, str]:
        """Return two marks that occur in none of `texts`.

        Letters and digits, which survive whatever escaping or trimming a template does; the
        first letter occurs once only, so that a mark cannot overlap text around it.
        """
        free = (f"Q{n}z" for n in count() if f"Q{n}z" not in texts)
        return next(free), next(free)


def _templates(tokenizer: "PreTrainedTokenizerBase") -> str:
    template = tokenizer.chat_template or ""
    return template if isinstance(template, str) else "\0".join(template.values())


def _control_tokens(tokenizer: "PreTrainedTokenizerBase", template: str) -> dict[int, str]:
    named = set(getattr(tokenizer, "chat_control_tokens", None) or ())
    control = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    for token, added in tokenizer.added_tokens_decoder.items():
        content: Any = added.content
        written = content in template and not content.isspace() and not content.isalnum()
        if added.special or content in named or written or _MARK_SHAPE.fullmatch(content):
            control[token] = content
    return {token: content for token, content in control.items() if content}
