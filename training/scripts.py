"""Names in any script, and tasks that copy them: bytes that no sentence of the corpus has."""

from __future__ import annotations

import random

from training.copying import name, pseudo_word
from training.tooling import ToolTask, offer

_LETTERS: tuple[tuple[str, tuple[tuple[int, int], ...], tuple[int, ...]], ...] = (
    ("Chinese", ((0x4E00, 0x9FA5),), (1, 2, 3, 4, 5)),
    ("Japanese", ((0x3041, 0x3093), (0x30A1, 0x30F3), (0x4E00, 0x9FA5)), (2, 3, 4, 6, 8)),
    ("Korean", ((0xAC00, 0xD7A3),), (2, 3, 4, 5)),
    ("Russian", ((0x0430, 0x044F),), (4, 5, 6, 8)),
    ("Greek", ((0x03B1, 0x03C9),), (4, 5, 6, 8)),
    ("Arabic", ((0x0627, 0x063A), (0x0641, 0x064A)), (3, 4, 5, 6)),
    ("Hebrew", ((0x05D0, 0x05EA),), (3, 4, 5)),
    ("Indian", ((0x0905, 0x0939),), (2, 3, 4)),
    ("Polish", ((0x00E0, 0x00F6), (0x0101, 0x017E), (0x0061, 0x007A)), (4, 5, 6, 8)),
)
_THINGS = ("customer", "guest", "member", "partner", "shop", "contact", "supplier", "player")
_VERBS = ("create", "add", "register", "new", "save", "make")
_SORTS = ("company", "technology company", "bakery", "friend", "school", "good customer", "band",
          "travel agency", "small shop", "neighbor")  # fmt: skip
_QUESTIONS = (
    "{v} a {t} named '{n}' - {d}",
    "{v} a {t} named '{n}' ({m}) - {d}",
    "{v} the {t} '{n}', {d}.",
    'Please {w} a {t} with the name "{n}" ({d}).',
    'We have a {t}, {d}: {w} it as "{n}".',
    "{v} {t} {n} ({d}).",
    # Held out:
    "I would like you to {w} a {t} called '{n}' ({m}), {d}.",
)


def foreign(rng: random.Random) -> tuple[str, str]:
    """Draw a script and a name of one or two words of its letters; letters are drawn evenly."""
    label, ranges, lengths = rng.choice(_LETTERS)
    words = [
        "".join(
            chr(rng.randint(*rng.choice(ranges) if rng.random() < 0.3 else ranges[0]))
            for _ in range(rng.choice(lengths))
        )
        for _ in range(rng.choice((1, 1, 1, 2)))
    ]
    return label, " ".join(words)


def naming_task(rng: random.Random, held_out: bool = False) -> ToolTask:
    """Make a task whose tool takes a name, mostly of another script, and often a description.

    Args:
        rng: Source of randomness.
        held_out: Ask in the held-out wording (the last one).
    """
    label, text = foreign(rng)
    if not held_out and rng.random() < 0.2:
        label, text = "local", name(rng)
    thing, verb = rng.choice(_THINGS), rng.choice(_VERBS)
    called = rng.choice(
        (f"{verb}_{thing}", f"{thing}_{verb}", f"{pseudo_word(rng).lower()}_{thing}")
    )
    sort = f"a {label} {rng.choice(_SORTS)}"
    keys = [rng.choice(("name", f"{thing}_name", "title"))]
    if rng.random() < 0.6:
        keys.append(rng.choice(("description", "note", "about")))
    spoken = {"new": "create"}.get(verb, verb)
    question = _QUESTIONS[-1] if held_out else rng.choice(_QUESTIONS[:-1])
    meaning = f"{pseudo_word(rng)} {rng.choice(('Group', 'Corporation', 'House', 'Friends'))}"
    definition = {
        "type": "function",
        "function": {
            "name": called,
            "description": f"{spoken.capitalize()} a {thing}.",
            "parameters": {
                "type": "object",
                "properties": {key: {"type": "string"} for key in keys},
                "required": keys,
            },
        },
    }
    tools = [definition, *offer(rng, rng.choice((1, 2)))[: rng.choice((0, 0, 1, 2))]]
    rng.shuffle(tools)
    return ToolTask(
        tuple(tools),
        question.format(v=spoken.capitalize(), w=spoken, t=thing, n=text, d=sort, m=meaning),
        called,
        dict(zip(keys, (text, sort), strict=False)),
    )
