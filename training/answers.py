"""Composes an answer in one or more tastes, as pieces that remember who asked for them.

A *guest* piece is one that the stated preferences did not ask for: the corpus masks its first
tokens from the loss, so that a model never learns to start such a sentence by itself, but learns
to carry on with one that somebody else has begun. That is the situation of each side in
alternating decoding.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.attributes import MAX_CONCISE_WORDS, words
from training.content import Family, Intent
from training.styles import LIST_INTROS, insert, wrap

STRUCTURAL = frozenset({"concise", "bulleted", "emoji", "no_emoji"})


@dataclass(frozen=True)
class Piece:
    """A part of an answer.

    Attributes:
        text: Its text, with the blank or line break before it.
        guest: Whether no stated preference asked for it.
    """

    text: str
    guest: bool = False


@dataclass(frozen=True)
class Setting:
    """What an answer is about.

    Attributes:
        family: The question family.
        topic: Noun phrase of the topic, as said to the user.
        tips: Clauses, slots filled.
        leads: Opening sentences, slots filled.
        lead_always: Whether an answer must hold a lead.
    """

    family: Family
    topic: str
    tips: tuple[str, ...]
    leads: tuple[str, ...] = ()
    lead_always: bool = False


def fill(intent: Intent, rng: random.Random) -> dict[str, str]:
    """Draw a value for each slot of an intent."""
    return {name: rng.choice(values) for name, values in intent.slots.items()}


def setting(family: Family, intent: Intent, slots: dict[str, str]) -> Setting:
    """Fill an intent's texts, turned from the user's "my" to "your"."""
    values: dict[str, str] = {}
    for name, value in slots.items():
        turned = f" {value}".replace(" my ", " your ").strip()
        values[name] = turned
        values[name + "2"] = turned
    return Setting(
        family=family,
        topic=intent.topic.format(**values),
        tips=tuple(tip.format(**values) for tip in intent.tips),
        leads=tuple(lead.format(**values) for lead in intent.leads),
        lead_always=intent.lead_always,
    )


class _Writer:
    """Draws sentences for one answer, none twice."""

    def __init__(self, where: Setting, rng: random.Random) -> None:
        self._where = where
        self._rng = rng
        self._tips = list(where.tips)
        rng.shuffle(self._tips)
        self._used: set[str] = set()
        self.has_tip = False

    def sentence(self, style: str, first: bool) -> str:
        text = ""
        for _ in range(8):
            tip_share = 0.85 if first else 0.55
            if self._tips and (style == "plain" or self._rng.random() < tip_share):
                text = wrap(style, self._tips[-1], self._rng, first)
                if text not in self._used:
                    self._tips.pop()
                    self.has_tip = True
                    break
            else:
                chosen = style if style != "plain" else "helpful"
                text = insert(chosen, self._where.family, self._where.topic, self._rng)
                if text not in self._used:
                    break
        self._used.add(text)
        return text


def _plan(
    count: int, own: list[str], guests: list[str], rng: random.Random
) -> list[tuple[str, bool]]:
    """Draw which unit is written in which style; True marks a guest."""
    for _ in range(60):
        units: list[tuple[str, bool]] = []
        for _ in range(count):
            roll = rng.random()
            if guests and roll < 0.35:
                units.append((rng.choice(guests), True))
            elif own and rng.random() < (0.68 if len(own) == 1 else 0.86):
                units.append((rng.choice(own), False))
            else:
                units.append(("plain", False))
        if all((style, False) in units for style in own):
            return units
    units = [(style, False) for style in own]
    return units + [("plain", False)] * max(0, count - len(units))


def _with_emoji(
    pieces: list[Piece], family: Family, rng: random.Random, guest: bool
) -> list[Piece]:
    """Put emoji after sentences, never after a bullet's dash or an intro."""
    places = [i for i, piece in enumerate(pieces) if piece.text[-1:] in ".!?"]
    marked = {i for i in places if rng.random() < (0.4 if guest else 0.6)} or {rng.choice(places)}
    result: list[Piece] = []
    for i, piece in enumerate(pieces):
        result.append(piece)
        if i in marked:
            result.append(Piece(" " + rng.choice(family.emoji), guest))
    return result


def _short(where: Setting, own: list[str], rng: random.Random) -> list[Piece]:
    best: list[Piece] = []
    best_words = 10_000
    for _ in range(40):
        writer = _Writer(where, rng)
        texts: list[str] = []
        if where.lead_always:
            texts.append(rng.choice(where.leads))
        styles = list(own)
        rng.shuffle(styles)
        if not styles and not texts:
            styles = ["plain"] * rng.choice((1, 1, 2))
        elif not styles:
            styles = ["plain"] * rng.choice((0, 0, 1))
        elif len(styles) == 1 and not texts and rng.random() < 0.4:
            styles.insert(rng.randrange(2), "plain")
        texts += [writer.sentence(style, i == 0 and not texts) for i, style in enumerate(styles)]
        size = len(words(" ".join(texts)))
        if size < best_words:
            best, best_words = [Piece(" " + text) for text in texts], size
        if size <= MAX_CONCISE_WORDS - 1:
            break
    return best


def _long(
    where: Setting,
    own: list[str],
    guests: list[str],
    bulleted: bool,
    guest_bullets: bool,
    rng: random.Random,
) -> list[Piece]:
    writer = _Writer(where, rng)
    count = max(rng.choices((3, 4, 5), (0.2, 0.45, 0.35))[0], len(own) + 1)
    lead = where.leads and (where.lead_always or rng.random() < 0.4)
    if lead:
        count -= 1
    plan = _plan(max(count, len(own), 2 if lead else 3), own, guests, rng)
    pieces: list[Piece] = []
    lead_at = 1 if lead and rng.random() < 0.15 else 0
    for i, (style, guest) in enumerate(plan):
        if lead and i == lead_at:
            pieces.append(Piece(" " + rng.choice(where.leads)))
        pieces.append(Piece(" " + writer.sentence(style, not pieces), guest))
    if not (bulleted or guest_bullets):
        return pieces
    start = rng.choice((0, 1, 1, 2)) if len(pieces) > 3 else rng.choice((0, 1))
    if lead:
        start = max(start, lead_at + 1)
    start = min(start, len(pieces) - 2)
    result = pieces[:start]
    if start == 0 or rng.random() < 0.25:
        intro = rng.choice(LIST_INTROS).format(topic=where.topic)
        result.append(Piece(" " + intro, guest_bullets))
    items = pieces[start:]
    end = len(items) - 1 if len(items) > 3 and rng.random() < 0.35 else len(items)
    for i, piece in enumerate(items):
        if i < end:
            result.append(Piece("\n-", guest_bullets and i == 0))
            result.append(piece)
        else:
            result.append(Piece("\n" + piece.text.strip(), piece.guest))
    return result


def compose(
    where: Setting, dimensions: list[str], guests: list[str], rng: random.Random
) -> list[Piece]:
    """Write one answer.

    Args:
        where: What it is about.
        dimensions: The tastes that the preferences ask for.
        guests: Tastes that shall show up unasked.
        rng: Source of randomness.
    """
    own = [name for name in dimensions if name not in STRUCTURAL]
    guest_styles = [name for name in guests if name not in STRUCTURAL]
    if "concise" in dimensions:
        pieces = _short(where, own, rng)
        bulleted = False
    else:
        bulleted = "bulleted" in dimensions
        pieces = _long(where, own, guest_styles, bulleted, "bulleted" in guests, rng)
    if "emoji" in dimensions or "emoji" in guests:
        pieces = _with_emoji(pieces, where.family, rng, "emoji" not in dimensions)
    first = pieces[0]
    return [Piece(first.text.lstrip(), first.guest), *pieces[1:]]
