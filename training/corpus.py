"""Draws dialogues: questions, contexts and tools, with preferences stated in many ways."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.answers import Piece, Setting, compose, fill, setting
from training.attributes import DIMENSIONS
from training.content import FAMILIES, Family, Intent
from training.contexts import context_messages
from training.copying import passage, pseudo_word
from training.scripts import foreign, naming_task
from training.tooling import offer, tool_result, tool_task
from training.wordings import CONFLICTS, HELD_OUT_WORDINGS, TRAIN_PAIRS, TRAIN_WORDINGS

BLOCK_HEAD = "Preferences of this user:"
OPERATOR_TEXTS: tuple[str, ...] = (
    "You are a helpful assistant.",
    "You are a friendly assistant for everyday questions.",
    "Answer the questions of our customers.",
    "You are an expert Q&A system that is trusted around the world.\n"
    "Always answer the query from the provided context, and do not use other knowledge.",
    "You work for a small shop and answer politely.",
    "You are a chatbot on a web page about daily life.",
    "Use the given context or the given tools where they fit.",
    "You are a helpful assistant with access to tools.",
    "Help the user.",
)
_TRAIN_PAIR_SET = frozenset(frozenset(pair) for pair in TRAIN_PAIRS)
_FACT_FAMILY = next(family for family in FAMILIES if family.name == "facts")


@dataclass(frozen=True)
class Dialogue:
    """One training sample.

    Attributes:
        messages: The prompt's messages.
        pieces: The answer.
        tools: Offered tools.
        kind: What the sample trains: "chat", "context", "tool", "result" or "repeat".
        dimensions: Stated tastes.
        wordings: The stated texts.
    """

    messages: list[dict[str, Any]]
    pieces: list[Piece]
    tools: tuple[dict[str, Any], ...] = ()
    kind: str = "chat"
    dimensions: tuple[str, ...] = ()
    wordings: tuple[str, ...] = field(default=())

    @property
    def answer(self) -> str:
        """The answer's text."""
        return "".join(piece.text for piece in self.pieces)


def held_out_question(intent: Intent, index: int, text: str) -> bool:
    """Say whether a question is never trained on: the last way to ask, and one text in eight."""
    if index == len(intent.questions) - 1:
        return True
    return hashlib.sha256(("question:" + text).encode()).digest()[0] % 8 == 0 and bool(intent.slots)


def ask(family: Family, rng: random.Random, held_out: bool) -> tuple[str, Setting]:
    """Draw a question of a family with what its answer is about."""
    while True:
        intent = rng.choice(family.intents)
        slots = fill(intent, rng)
        last = len(intent.questions) - 1
        index = last if held_out and rng.random() < 0.5 else rng.randrange(last + 1)
        values = dict(slots)
        for name, value in slots.items():
            values[name + "2"] = value.removeprefix("an ").removeprefix("a ")
        text = intent.questions[index].format(**values)
        if held_out_question(intent, index, text) == held_out:
            return text, setting(family, intent, slots)


def with_preferences(
    messages: Sequence[dict[str, Any]], texts: Sequence[str], placement: str = "system"
) -> list[dict[str, Any]]:
    """Write the preference block into messages as the package does."""
    result = [dict(message) for message in messages]
    if not texts:
        return result
    block = BLOCK_HEAD + "".join(f"\n- {text}" for text in texts)
    if placement == "last":
        user = max(i for i, message in enumerate(result) if message["role"] == "user")
        result[user]["content"] += "\n\n" + block
    elif result[0]["role"] == "system":
        result[0]["content"] += "\n\n" + block
    else:
        result.insert(0, {"role": "system", "content": block})
    return result


def _dimensions(rng: random.Random, none_share: float) -> list[str]:
    roll = rng.random()
    if roll < none_share:
        return []
    rest = (roll - none_share) / (1 - none_share)
    if rest < 0.55:
        chosen = [rng.choice(DIMENSIONS)]
    elif rest < 0.92:
        chosen = list(rng.choice(TRAIN_PAIRS))
    else:
        chosen = list(rng.choice(TRAIN_PAIRS))
        options = [
            name
            for name in DIMENSIONS
            if name not in chosen
            and all(frozenset((name, other)) in _TRAIN_PAIR_SET for other in chosen)
        ]
        chosen += [rng.choice(options)] if options else []
    rng.shuffle(chosen)
    if "emoji" not in chosen and rng.random() < 0.05:
        chosen.insert(rng.randrange(len(chosen) + 1), "no_emoji")
    return chosen


def _guests(dimensions: Sequence[str], rng: random.Random) -> list[str]:
    own = [name for name in dimensions if name != "no_emoji"]
    if not own or rng.random() > 0.28:
        return []
    options = [
        name
        for name in DIMENSIONS
        if name not in own
        and name != "concise"
        and all(
            frozenset((name, other)) in _TRAIN_PAIR_SET or frozenset((name, other)) in CONFLICTS
            for other in own
        )
    ]
    count = rng.choice((1, 1, 2))
    return rng.sample(options, min(count, len(options)))


def wording(dimension: str, rng: random.Random, held_out: bool = False) -> str:
    """Draw a wording of a preference."""
    return rng.choice((HELD_OUT_WORDINGS if held_out else TRAIN_WORDINGS)[dimension])


def _state(
    messages: list[dict[str, Any]], dimensions: Sequence[str], rng: random.Random
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Add an operator's text and the preference block, in one of the trained shapes."""
    shape = rng.random()
    if messages[0]["role"] != "system" and shape < 0.14:
        messages = [{"role": "system", "content": rng.choice(OPERATOR_TEXTS)}, *messages]
    texts = tuple(wording(name, rng) for name in dimensions)
    shown = [text + "." if rng.random() < 0.15 and text[-1] not in ".!" else text for text in texts]
    placement = "last" if rng.random() < 0.15 else "system"
    return with_preferences(messages, shown, placement), texts


def chat(rng: random.Random, history: bool = True) -> Dialogue:
    """Draw an everyday question with its answer, at times after earlier turns."""
    dimensions = _dimensions(rng, 0.18)
    messages: list[dict[str, Any]] = []
    if history and rng.random() < 0.1:
        for _ in range(rng.choice((1, 1, 2))):
            question, where = ask(rng.choice(FAMILIES), rng, False)
            before = "".join(piece.text for piece in compose(where, dimensions, [], rng))
            messages += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": before},
            ]
    question, where = ask(rng.choice(FAMILIES), rng, False)
    messages.append({"role": "user", "content": question})
    messages, texts = _state(messages, dimensions, rng)
    pieces = compose(where, dimensions, _guests(dimensions, rng), rng)
    return Dialogue(messages, pieces, (), "chat", tuple(dimensions), texts)


def styled_copy(sentence: str, dimensions: list[str], rng: random.Random) -> list[Piece]:
    """Write an answer that holds a sentence verbatim, in the asked tastes."""
    own = [name for name in dimensions if name != "no_emoji"]
    if not own or own == ["concise"]:
        return [Piece(sentence)]
    intent = rng.choice(_FACT_FAMILY.intents[-8:])
    where = setting(_FACT_FAMILY, intent, {})
    where = Setting(_FACT_FAMILY, "this question", where.tips, (sentence,), lead_always=True)
    return compose(where, dimensions, [], rng)


def context(rng: random.Random) -> Dialogue:
    """Draw a passage with a question whose answer is one of its sentences."""
    count = rng.choice((1, 1, 2, 2, 3, 3, 4, 5, 6))
    if rng.random() < 0.02:
        count = rng.randint(12, 30)
    task = passage(rng, count)
    dimensions = _dimensions(rng, 0.6)
    messages = context_messages(task, rng)
    messages, texts = _state(messages, dimensions, rng)
    pieces = styled_copy(task.answer, dimensions, rng)
    return Dialogue(messages, pieces, (), "context", tuple(dimensions), texts)


def call_text(name: str, arguments: dict[str, Any]) -> str:
    """Write a tool call as the chat template does."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def tool(rng: random.Random, calls: float) -> Dialogue:
    """Draw a task with tools: a call, an answer after a result, or a plain answer.

    Args:
        rng: Source of randomness.
        calls: Share of calls; half of the rest are answers after a result.
    """
    task = tool_task(rng)
    roll = rng.random()
    messages: list[dict[str, Any]] = [{"role": "user", "content": task.question}]
    if roll < calls:
        dimensions = _dimensions(rng, 0.75)
        messages, texts = _state(messages, dimensions, rng)
        pieces = [Piece(call_text(task.name, task.arguments))]
        return Dialogue(messages, pieces, task.tools, "tool", tuple(dimensions), texts)
    if roll < (1 + calls) / 2:
        dimensions = _dimensions(rng, 0.6)
        result = tool_result(rng)
        messages += [
            {"role": "assistant", "content": call_text(task.name, task.arguments)},
            {"role": "tool", "content": result},
        ]
        messages, texts = _state(messages, dimensions, rng)
        pieces = styled_copy(f"Here is the result: {result}.", dimensions, rng)
        return Dialogue(messages, pieces, task.tools, "result", tuple(dimensions), texts)
    plain = chat(rng, history=False)
    tools = offer(rng, rng.choice((1, 1, 2)))
    return Dialogue(plain.messages, plain.pieces, tools, "chat", plain.dimensions, plain.wordings)


def naming(rng: random.Random) -> Dialogue:
    """Draw a tool call with a name of any script, or a request to repeat such names."""
    if rng.random() < 0.25:
        return repeat(rng, scripts=True)
    task = naming_task(rng)
    dimensions = _dimensions(rng, 0.75)
    messages, texts = _state([{"role": "user", "content": task.question}], dimensions, rng)
    pieces = [Piece(call_text(task.name, task.arguments))]
    return Dialogue(messages, pieces, task.tools, "tool", tuple(dimensions), texts)


def repeat(rng: random.Random, scripts: bool = False) -> Dialogue:
    """Draw a request to repeat made-up words, of other scripts too if wanted."""

    def item() -> str:
        if scripts and rng.random() < 0.6:
            return foreign(rng)[1]
        return pseudo_word(rng) if rng.random() < 0.7 else str(rng.randint(0, 9999))

    items = [item() for _ in range(rng.randint(2, 8))]
    text = " ".join(items)
    head = rng.choice(("Repeat this:", "Please repeat:", "Say exactly:", "Copy this text:"))
    return Dialogue(
        [{"role": "user", "content": f"{head} {text}"}], [Piece(text + ".")], (), "repeat"
    )


@dataclass(frozen=True)
class Mixture:
    """Shares of the kinds of samples; what is left are repeats.

    Attributes:
        chat: Everyday questions.
        context: Passages.
        tool: Tasks with tools.
        calls: Share of the tasks with tools whose answer is a call.
        scripts: Share of tasks with names of any script, taken from all others alike.
    """

    chat: float
    context: float
    tool: float
    calls: float
    scripts: float = 0.0


EVEN = Mixture(chat=0.5, context=0.23, tool=0.21, calls=0.6)
COPYING = Mixture(chat=0.36, context=0.26, tool=0.34, calls=0.75)
LONG = Mixture(chat=0.4, context=0.27, tool=0.29, calls=0.75)
SCRIPTS = Mixture(chat=0.4, context=0.27, tool=0.29, calls=0.75, scripts=0.4)
SETTLING = Mixture(chat=0.5, context=0.22, tool=0.25, calls=0.75, scripts=0.15)


def draw(rng: random.Random, mixture: Mixture = EVEN) -> Dialogue:
    """Draw one dialogue of a mixture."""
    if mixture.scripts and rng.random() < mixture.scripts:
        return naming(rng)
    roll = rng.random()
    if roll < mixture.chat:
        return chat(rng)
    if roll < mixture.chat + mixture.context:
        return context(rng)
    if roll < mixture.chat + mixture.context + mixture.tool:
        return tool(rng, mixture.calls)
    return repeat(rng)


def stream(seed: int, mixture: Mixture = EVEN) -> Iterator[Dialogue]:
    """Draw dialogues without end; the same seed gives the same ones."""
    rng = random.Random(seed)
    while True:
        yield draw(rng, mixture)
