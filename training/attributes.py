"""Measures: is an attribute in a text, and is the text well formed.

Pure functions of the text. The word lists are fixed; they are what the evaluation counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

DIMENSIONS: tuple[str, ...] = (
    "helpful",
    "harmless",
    "humorous",
    "careful",
    "informative",
    "professional",
    "creative",
    "touching",
    "vivid",
    "concise",
    "bulleted",
    "formal",
    "informal",
    "emoji",
)
MAX_CONCISE_WORDS = 22
MAX_CONCISE_SENTENCES = 2

_MARKERS: dict[str, str] = {
    "helpful": r"next step|i can help|happy to help|gladly help|easy way to start|step by step"
    r"|let me know|to make this easier",
    "harmless": r"\bsafe(ty|ly)?\b|risk|harm\b|harmful|out of danger",
    "humorous": r"\bha ha\b|fun warning|\bjok(e|es|ing)\b|giggl|comedian|laugh at|with a grin",
    "careful": r"as far as i know|i may be wrong|double-check|please verify|not certain"
    r"|to be accurate|if i am correct|reliable source|depends on your case",
    "informative": r"worth knowing|for background|useful fact|in numbers|the reason is"
    r"|useful detail|evidence",
    "professional": r"recommended approach|priority|best practice|efficient|objective"
    r"|deliverable|action item|workflow|milestone",
    "creative": r"\btwist\b|\binvent\b|turn it into|what if\b|unusual|secret mission|like a wizard"
    r"|as a playful experiment",
    "touching": r"\bhearts?\b|cherish|\bdear\b|tender|\bhug\b|\bwith love\b",
    "vivid": r"golden|shimmer|glow|crackle|velvet|\bscent\b|sparkl|crimson|amber|silky|silver"
    r"|(?-i:Picture )",
    "formal": r"advisable|one may|kindly|respectfully|furthermore|prudent|i remain at your|"
    r"with regard to|permit me|hence\b|i would advise|i trust that",
    "informal": r"\b(gonna|yeah|totally|super|hey|kinda|wanna|yep|gotta)\b|no worries|no stress"
    r"|n't\b|'s super|'ll\b|'re\b|'ve\b|\bi'd\b",
}
_PATTERNS = {name: re.compile(text, re.IGNORECASE) for name, text in _MARKERS.items()}
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\u2b50]")
_BULLET = re.compile(r"^- \S", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9'-]*")
_CONTRACTION = re.compile(r"\b\w+('ll|'re|'ve|n't|'d|'m)\b", re.IGNORECASE)
_END = re.compile(r"[.!?](?:\s|$)")


def words(text: str) -> list[str]:
    """Split a text into its words."""
    return _WORD.findall(text)


def sentences(text: str) -> list[str]:
    """Split an answer into sentences and list items, without bullets and emoji."""
    plain = _EMOJI.sub("", text).replace("\ufe0f", "").replace("\u200d", "")
    parts: list[str] = []
    for line in plain.splitlines():
        body = line.strip().removeprefix("- ").strip()
        parts += [part.strip() for part in re.split(r"(?<=[.!?])\s+", body) if part.strip()]
    return parts


def _concise(text: str) -> bool:
    count = len(sentences(text))
    return 0 < count <= MAX_CONCISE_SENTENCES and len(words(text)) <= MAX_CONCISE_WORDS


def _bulleted(text: str) -> bool:
    return len(_BULLET.findall(text)) >= 2


def _formal(text: str) -> bool:
    return bool(_PATTERNS["formal"].search(text)) and not _CONTRACTION.search(text)


def _emoji(text: str) -> bool:
    return bool(_EMOJI.search(text))


_SPECIAL: dict[str, Callable[[str], bool]] = {
    "concise": _concise,
    "bulleted": _bulleted,
    "formal": _formal,
    "emoji": _emoji,
}


def present(dimension: str, text: str) -> bool:
    """Say whether the attribute of a dimension can be counted in a text.

    Args:
        dimension: One of ``DIMENSIONS``, or ``"no_emoji"``.
        text: The answer.

    Raises:
        KeyError: If the dimension has no measure.
    """
    if dimension == "no_emoji":
        return not _emoji(text)
    special = _SPECIAL.get(dimension)
    if special is not None:
        return special(text)
    return bool(_PATTERNS[dimension].search(text))


def well_formed(text: str, lexicon: frozenset[str] | None = None) -> bool:
    """Say whether every sentence of an answer is well formed (a proxy, not a parser).

    Each sentence starts with a capital letter or a digit, ends with ``.``, ``!``, ``?`` or
    ``:``, has at least two words, repeats no word right after itself except "ha ha", holds no
    control text, and no sentence occurs twice. With a lexicon, every word must be in it.

    Args:
        text: The answer.
        lexicon: Lower-case words that may occur; None skips this check.
    """
    parts = sentences(text)
    if not parts or "<|" in text or "tool_call" in text:
        return False
    if len({part.lower() for part in parts}) != len(parts):
        return False
    for part in parts:
        tokens = [word.lower() for word in words(part)]
        first = part.lstrip("\"'(")[:1]
        if not (first.isupper() or first.isdigit()) or part[-1:] not in ".!?:":
            return False
        if len(tokens) < 2 and part.rstrip(".!") not in {"Hello", "Yes", "No", "Hi"}:
            return False
        pairs = pairwise(tokens)
        if any(a == b and a not in {"ha", "that", "had"} for a, b in pairs):
            return False
        if lexicon is not None and any(token not in lexicon for token in tokens):
            return False
    return True
