"""Text that a user wrote stays text: it never becomes a control token.

control token: an id that steers the model instead of spelling text: every special token, and
other added tokens that the chat template writes or that have the shape of a mark.
seam: a sign set before whatever the tokenizer would read as a control token. It is set before
the chat template runs and cut at before the rendered text is encoded, so that only the template
itself writes control tokens. Text without any is rendered and encoded as always.

What would become a control token is not guessed but asked of the tokenizer, which may normalise
text first or hold control tokens in its ordinary vocabulary. Where it does neither, search does.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from persona_judge_llm.errors import InvalidPromptError
from persona_judge_llm.messages import map_strings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")

# <|im_end|>, <tool_call>, [TOOL_CALLS]; not <table> or "...", which some vocabularies add as text.
_MARK_SHAPE = re.compile(r"<[|\uff5c].*[|\uff5c]>|</?\w+_\w+>|\[/?[A-Z_]+\]", re.DOTALL)


class Seams:
    """Marks and encodes for one tokenizer; not safe to use from several threads at once."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", template: str) -> None:
        self._tokenizer = tokenizer
        self._control = _control_tokens(tokenizer, template)
        contents = sorted(self._control.values(), key=len, reverse=True)
        self._exact = re.compile("|".join(map(re.escape, contents)) or "(?!)")
        self._ask = tokenizer.is_fast and not _found_by_search(tokenizer, self._control)
        self._ours = "\0".join([template, *contents])
        self._newline = self._ids("\n")

    def mark(self, data: T) -> tuple[T, re.Pattern[str]]:
        """Return `data` with seams in its strings, and what finds them in rendered text."""
        strings: dict[str, None] = {}

        def collect(text: str) -> str:
            strings[text] = None
            return text

        map_strings(data, collect)
        # Signs that survive trimming, escaping and changes of case in a template. The first
        # occurs once only, so that a seam cannot be mistaken together with text before it.
        texts = "\0".join([self._ours, *strings])
        seam = next(sign for n in count() if (sign := f"~{n}^") not in texts)
        found: set[str] = set()
        suspects = {text: self._marked(text, seam, found) for text in self._suspects(strings)}
        marked: T = map_strings(data, lambda text: suspects.get(text, text))
        behind = "|".join(map(re.escape, sorted(found, key=len, reverse=True)))
        # A template may take a seam from its token (by `split`); it cuts the text all the same.
        return marked, re.compile(f"{re.escape(seam)}({behind})?", re.IGNORECASE)

    def encode(self, text: str, seams: re.Pattern[str]) -> list[int]:
        """Return the ids of rendered text; what stands behind a seam is read as text."""
        first, *pieces = seams.split(text)
        ids = self._ids(first)
        for i, piece in enumerate(pieces):
            if piece:
                ids += self._inner_ids(piece) if i % 2 else self._as_text(piece)
        return ids

    def _suspects(self, strings: Iterable[str]) -> Iterator[str]:
        """Yield the strings that may hold a control token; one call for all, as most hold none."""
        plain = []
        for text in strings:
            if self._exact.search(text):
                yield text
            elif text and self._ask:
                plain.append(text)
        if plain:
            read = self._tokenizer(plain, add_special_tokens=False, verbose=False)["input_ids"]
            yield from (t for t, ids in zip(plain, read, strict=True) if self._control.keys() & ids)

    def _marked(self, text: str, seam: str, found: set[str]) -> str:
        cut = 0
        marked = []
        for start, end in self._spans(text):
            # What lies between is looked at again: without its neighbour it may read otherwise.
            marked += [self._marked(text[cut:start], seam, found), seam, text[start:end]]
            found.add(text[start:end])
            cut = end
        return "".join([*marked, self._marked(text[cut:], seam, found)]) if cut else text

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where in `text` control tokens stand."""
        if self._exact.search(text):
            yield from (match.span() for match in self._exact.finditer(text))
        elif text and self._ask:
            read = self._tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            for token, (start, end) in zip(read["input_ids"], read["offset_mapping"], strict=True):
                # What stands for unknown text is no control token where text really is unknown.
                unknown = token == self._tokenizer.unk_token_id
                if token in self._control and start < end and not unknown:
                    yield start, end

    def _as_text(self, piece: str) -> list[int]:
        """Encode what reads as a control token: in parts that do not."""
        if not any(self._spans(piece)):
            return self._inner_ids(piece)
        head = len(piece) - len(piece.lstrip()) + 1
        if head >= len(piece.rstrip()):
            raise InvalidPromptError(
                "prompt", piece, "free of signs that this model's tokenizer has for control only"
            )
        return self._as_text(piece[:head]) + self._as_text(piece[head:])

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


def _control_tokens(tokenizer: "PreTrainedTokenizerBase", template: str) -> dict[int, str]:
    named = set(getattr(tokenizer, "chat_control_tokens", None) or ())
    control = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    for token, added in tokenizer.added_tokens_decoder.items():
        content = added.content
        written = content in template and not content.isspace() and not content.isalnum()
        if added.special or content in named or written or _MARK_SHAPE.fullmatch(content):
            control[token] = content
    return control


def _found_by_search(tokenizer: "PreTrainedTokenizerBase", control: dict[int, str]) -> bool:
    """Tell whether control tokens are read exactly where they are written out, and nowhere else."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and all(
        token in tokenizer.added_tokens_decoder
        and not tokenizer.added_tokens_decoder[token].normalized
        and backend.model.token_to_id(content) is None
        for token, content in control.items()
    )
