"""How each taste is written: sentences that wrap a tip and sentences of their own."""

from __future__ import annotations

import random

from training.content import Family

WRAPS: dict[str, tuple[str, ...]] = {
    "plain": (
        "{C}.",
        "{C}.",
        "{C}.",
        "You could {c}.",
        "It helps to {c}.",
        "A good idea is to {c}.",
        "Try to {c}.",
        "You can also {c}.",
        "Another option is to {c}.",
        "Remember to {c}.",
    ),
    "helpful": (
        "As a next step, {c}.",
        "An easy way to start is to {c}.",
        "Step by step, you can {c}.",
        "To make this easier, {c}.",
    ),
    "harmless": (
        "When it is safe, {c}.",
        "Take no risks and {c}.",
        "As a safe choice, {c}.",
    ),
    "humorous": (
        "As my comedian friend says, {c}.",
        "With a grin on your face, {c}.",
        "Without giggling too loudly, {c}.",
        "No joke, it helps to {c}.",
        "Ha ha, the hard part is to {c}!",
    ),
    "careful": (
        "As far as I know, it usually helps to {c}.",
        "I may be wrong, but you could {c}.",
        "If I am correct, it is good to {c}.",
        "It depends on your case, but you may {c}.",
    ),
    "informative": (
        "Evidence from practice suggests that you {c}.",
        "A useful detail is to {c}.",
        "Going by the evidence, you could {c}.",
    ),
    "professional": (
        "The recommended approach is to {c}.",
        "As a first priority, {c}.",
        "Best practice is to {c}.",
        "An efficient measure is to {c}.",
        "As an action item, {c}.",
    ),
    "creative": (
        "With a playful twist, {c}.",
        "Like a wizard, {c}.",
        "On a secret mission, {c}.",
        "As a playful experiment, {c}.",
    ),
    "touching": (
        "With love, {c}.",
        "From the heart, {c}.",
        "With a tender smile, {c}.",
        "For someone dear, {c}.",
    ),
    "vivid": (
        "In the golden light, {c}.",
        "Under a soft amber glow, {c}.",
        "With the scent of rain in the air, {c}.",
        "While the morning shimmers, {c}.",
        "Beneath a silver sky, {c}.",
    ),
    "formal": (
        "It is advisable to {c}.",
        "One may wish to {c}.",
        "I would advise you to {c}.",
        "Furthermore, it would be prudent to {c}.",
        "You are kindly invited to {c}.",
        "Permit me to suggest that you {c}.",
    ),
    "informal": (
        "Hey, just {c}, okay?",
        "I'd {c}, no stress.",
        "You could totally {c}.",
        "Yeah, you've gotta {c}.",
        "You'll wanna {c}, trust me.",
        "It's super easy, just {c}.",
    ),
}
_INSERTS: dict[str, tuple[str, ...]] = {
    "helpful": (
        "I can help you with {topic} step by step.",
        "Let me know how it goes, and I will gladly help further.",
        "Tell me more, and I am happy to help with {topic}.",
        "Let me know what you have tried so far.",
        "If you get stuck with {topic}, I am happy to help again.",
        "The next step becomes clear once you know what matters to you.",
        "I can help you compare your options for {topic}.",
        "Let me know which part of {topic} is the hardest.",
    ),
    "careful": (
        "Please verify the details of {topic} before you rely on them.",
        "I am not certain about every detail, so please double-check.",
        "To be accurate, advice on {topic} depends on your case.",
        "A reliable source can confirm what I say about {topic}.",
        "Please verify anything that matters for {topic}.",
        "I may be wrong about {topic}, so ask someone who knows your case.",
        "As far as I know this is correct, but it can change.",
        "I am not certain that this fits everybody.",
    ),
    "professional": (
        "Define one clear objective for {topic}.",
        "Review each milestone before you proceed.",
        "A simple workflow keeps {topic} on schedule.",
        "Set the priority of each deliverable in advance.",
        "An efficient plan for {topic} has few steps and clear roles.",
        "Treat {topic} as a priority with a fixed date.",
        "Best practice is to document each result.",
        "Each action item needs one responsible person.",
    ),
    "formal": (
        "I trust that this guidance proves useful with regard to {topic}.",
        "Should questions arise, I remain at your disposal.",
        "Permit me to wish you every success with regard to {topic}.",
        "Kindly consider these remarks at your leisure.",
        "It is advisable to consider {topic} in good time.",
        "One may regard {topic} as a matter of patience.",
        "I would advise a calm approach with regard to {topic}.",
        "Furthermore, a brief plan would be prudent.",
    ),
    "informal": (
        "No worries, it's gonna be fine.",
        "You've got this, yeah!",
        "It's really not a big deal, don't sweat it.",
        "That's kinda all you need for {topic}.",
        "Hey, that's totally doable.",
        "Yep, you'll be fine with {topic}.",
        "Honestly, don't overthink {topic}.",
        "You're gonna do great, wanna bet?",
    ),
    "harmless": (
        "Please stay safe and {caution}.",
        "For your safety, {caution}.",
        "To avoid any risk, {caution}.",
        "So that nobody comes to harm, {caution}.",
        "Safety comes first, so {caution}.",
        "To keep everyone safe, {caution}.",
        "A small risk remains, so {caution}.",
        "One safety note: {caution}.",
    ),
    "informative": (
        "It is worth knowing that {fact}.",
        "For background, {fact}.",
        "One useful fact is that {fact}.",
        "In numbers, {fact}.",
        "The evidence shows that {fact}.",
        "Another useful fact: {fact}.",
        "A useful detail is that {fact}.",
        "As background, it is worth knowing that {fact}.",
    ),
}  # fmt: skip
LIST_INTROS: tuple[str, ...] = (
    "Here are some ideas for {topic}:",
    "This may help with {topic}:",
    "A short list for {topic}:",
    "These points are useful:",
    "You could do the following:",
    "Here is a list:",
)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def wrap(style: str, clause: str, rng: random.Random, first: bool = False) -> str:
    """Write a tip in a style; "plain" is the neutral one."""
    options = WRAPS[style]
    if first:
        options = tuple(
            text for text in options if "also" not in text and "Another" not in text
            and "Furthermore" not in text
        )  # fmt: skip
    return rng.choice(options).format(c=clause, C=_capital(clause))


def insert(style: str, family: Family, topic: str, rng: random.Random) -> str:
    """Write a sentence that only serves the style, matching family and topic."""
    content = {
        "vivid": family.vivid,
        "humorous": family.humorous,
        "touching": family.touching,
        "creative": family.creative,
    }.get(style)
    if content is not None:
        return rng.choice(content)
    return rng.choice(_INSERTS[style]).format(
        topic=topic, caution=rng.choice(family.cautions), fact=rng.choice(family.facts)
    )
