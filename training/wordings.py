"""How users state a preference: many wordings a dimension, a part held out from training."""

from __future__ import annotations

import hashlib

from training.attributes import DIMENSIONS

HELD_OUT_SHARE = 4
"""One wording in this many is held out."""

_ADJECTIVE_FRAMES = (
    "Be {a}",
    "Please be {a}",
    "Answer in a {a} way",
    "I like {a} answers",
    "Keep it {a}",
    "I prefer {a} replies",
    "Make your answers {a}",
    "Give me {a} responses",
    "Sound {a}",
    "The tone should be {a}",
    "Use a {a} style",
    "Always stay {a}",
)
_PREDICATE_FRAMES = (
    "Be {a}",
    "Please be {a}",
    "Keep it {a}",
    "Make your answers {a}",
    "The tone should be {a}",
    "Always stay {a}",
    "I want answers that are {a}",
)
_NOUN_FRAMES = (
    "Add {n}",
    "Use {n}",
    "I enjoy {n} in an answer",
    "Please include {n}",
    "Put some {n} into it",
    "More {n}, please",
    "I would love {n}",
    "Write with {n}",
)
_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "helpful": (
        ("helpful", "supportive", "practical and helpful"),
        ("helpful next steps", "practical help"),
        ("Help me as much as you can", "Offer further help", "Be as useful as possible",
         "Guide me to the next step"),
    ),
    "harmless": (
        ("harmless", "safe", "safety-minded"),
        ("safety advice", "a safety warning"),
        ("Keep everybody safe", "Put safety first", "Avoid any harm", "Warn me about risks",
         "Safety matters most to me"),
    ),
    "humorous": (
        ("humorous", "funny", "witty"),
        ("humor", "jokes", "a good joke"),
        ("Make me laugh", "Be humorous and crack jokes", "Tell a joke along the way",
         "I love to laugh"),
    ),
    "careful": (
        ("careful", "correct and careful", "cautious about facts"),
        ("careful wording", "honest doubts"),
        ("Be correct and admit what you do not know", "Say when you are not certain",
         "Correctness is most important", "Be accurate and check facts",
         "Tell me what to verify"),
    ),
    "informative": (
        ("informative", "rich in facts", "full of information"),
        ("facts", "background information", "numbers and facts"),
        ("Teach me something", "Give background facts", "I want to learn facts",
         "Provide detailed information"),
    ),
    "professional": (
        ("professional", "businesslike", "professional and structured"),
        ("a professional tone", "business language"),
        ("Talk like a consultant", "Write as in a business report", "Sound like an expert at work",
         "Keep a professional register"),
    ),
    "creative": (
        ("creative", "inventive", "original"),
        ("creative ideas", "imagination", "unusual ideas"),
        ("Surprise me with new ideas", "Think outside the box", "Be creative and original",
         "I want unexpected ideas"),
    ),
    "touching": (
        ("touching", "warm and heartfelt", "emotional"),
        ("heartfelt words", "warm feelings", "warmth and emotion"),
        ("Speak from the heart", "Touch my heart", "Be tender and loving",
         "Move me with your words"),
    ),
    "vivid": (
        ("vivid", "colorful", "full of images"),
        ("vivid images", "vivid imagery", "colors, light, and scents"),
        ("Paint a picture with words", "Describe things for all senses", "Be vivid and sensory",
         "Use vivid language"),
    ),
    "concise": (
        ("concise", "short", "brief"),
        ("few words", "short answers only", "brevity"),
        ("Keep it short", "Be concise", "One or two short sentences only", "No long answers",
         "Get to the point"),
    ),
    "bulleted": (
        ("bulleted", "list-like", "organized in bullet points"),
        ("bullet points", "a bulleted list", "bullets"),
        ("Answer as a list", "Format the answer as a bulleted list", "Lists, please",
         "Use a list with dashes"),
    ),
    "formal": (
        ("formal", "polite and formal", "very formal"),
        ("formal language", "a formal register"),
        ("Address me formally", "Write like a formal letter", "No slang, be formal",
         "Use formal English"),
    ),
    "informal": (
        ("informal", "casual", "relaxed and casual"),
        ("casual language", "slang", "everyday slang"),
        ("Talk to me like a buddy", "Chat casually", "Be informal with contractions",
         "Keep it casual"),
    ),
    "emoji": (
        ("full of emoji", "emoji-friendly", "decorated with emoji"),
        ("emoji", "some emoji", "emojis"),
        ("Use emoji", "I like emojis", "Always add an emoji", "Emoji make me happy"),
    ),
    "no_emoji": (
        ("free of emoji", "without emoji"),
        ("no emoji", "no emojis"),
        ("Never use emoji", "Do not use emojis", "No emoji, please", "Avoid emoji",
         "Plain text without emoji"),
    ),
}  # fmt: skip
_ALWAYS_TRAINED = frozenset({"Use vivid images", "Be concise", "Use emoji", "Be humorous",
                             "Use bullet points", "Be formal", "Be informal"})  # fmt: skip


def _held_out(text: str) -> bool:
    if text in _ALWAYS_TRAINED:
        return False
    digest = hashlib.sha256(("wording:" + text).encode()).digest()
    return digest[0] % HELD_OUT_SHARE == 0


def _all_wordings(dimension: str) -> tuple[str, ...]:
    adjectives, nouns, own = _WORDS[dimension]
    texts: list[str] = []
    for word in adjectives:
        phrase = " " in word and " and " not in word
        texts += [
            frame.format(a=word) for frame in (_PREDICATE_FRAMES if phrase else _ADJECTIVE_FRAMES)
        ]
    texts += [frame.format(n=word) for word in nouns for frame in _NOUN_FRAMES]
    return tuple(dict.fromkeys([*texts, *own]))


TRAIN_WORDINGS: dict[str, tuple[str, ...]] = {
    name: tuple(text for text in _all_wordings(name) if not _held_out(text)) for name in _WORDS
}
HELD_OUT_WORDINGS: dict[str, tuple[str, ...]] = {
    name: tuple(text for text in _all_wordings(name) if _held_out(text)) for name in _WORDS
}

CONFLICTS: frozenset[frozenset[str]] = frozenset(
    frozenset(pair)
    for pair in (
        ("formal", "informal"),
        ("professional", "informal"),
        ("emoji", "no_emoji"),
        ("concise", "bulleted"),
    )
)


def _pairs() -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    train: list[tuple[str, str]] = []
    held: list[tuple[str, str]] = []
    for i, a in enumerate(DIMENSIONS):
        for j in range(i + 1, len(DIMENSIONS)):
            b = DIMENSIONS[j]
            if frozenset((a, b)) in CONFLICTS:
                continue
            (held if (i + 3 * j) % 4 == 0 else train).append((a, b))
    return tuple(train), tuple(held)


TRAIN_PAIRS, HELD_OUT_PAIRS = _pairs()
