"""The shape of a question family: intents with slots, and sentences of each taste."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Intent:
    """One thing a user may want, with ways to ask and clauses to answer.

    Attributes:
        topic: Noun phrase for what is asked about; may hold slots.
        questions: Ways to ask; the last one is held out from training.
        tips: Clauses that start with a base verb; they fit after "You could ...".
        slots: Values for each slot name in the texts.
        leads: Plain opening sentences; optional.
        lead_always: Whether every answer must open with a lead (facts, greetings).
    """

    topic: str
    questions: tuple[str, ...]
    tips: tuple[str, ...]
    slots: dict[str, tuple[str, ...]] = field(default_factory=dict)
    leads: tuple[str, ...] = ()
    lead_always: bool = False


@dataclass(frozen=True)
class Family:
    """A family of questions that share sentences for the content-bound tastes.

    Attributes:
        name: Short name of the family.
        emoji: Emoji that suit the family.
        intents: What users ask in it.
        vivid: Whole sentences full of images.
        humorous: Whole sentences with a joke.
        touching: Whole heartfelt sentences.
        creative: Whole sentences with an unusual idea.
        facts: Clauses that follow "It is worth knowing that ...".
        cautions: Clauses in the imperative that keep people safe.
    """

    name: str
    emoji: tuple[str, ...]
    intents: tuple[Intent, ...]
    vivid: tuple[str, ...]
    humorous: tuple[str, ...]
    touching: tuple[str, ...]
    creative: tuple[str, ...]
    facts: tuple[str, ...]
    cautions: tuple[str, ...]
