"""Prompts that hold a passage: the shapes that retrieval frameworks and people use."""

from __future__ import annotations

import random
from typing import Any

from training.copying import Passage


def _documents(task: Passage, rng: random.Random) -> str:
    """Join the sentences to one or more documents, at times with a line of metadata."""
    parts: list[str] = []
    current: list[str] = []
    size = rng.choice((1, 2, 3, 6))
    for sentence in task.sentences:
        current.append(sentence)
        if len(current) >= size:
            parts.append(" ".join(current))
            current = []
    if current:
        parts.append(" ".join(current))
    roll = rng.random()
    if roll < 0.15:
        label = rng.choice(("file_path: notes.txt", "source: guide.md", "page_label: 3"))
        parts = [f"{label}\n\n{part}" for part in parts]
    elif roll < 0.25:
        parts = [f"[{i + 1}] {part}" for i, part in enumerate(parts)]
    elif roll < 0.32:
        parts = [f"- {part}" for part in parts]
    return rng.choice(("\n\n", "\n\n", "\n", " ")).join(parts) if roll >= 0.25 else (
        "\n\n".join(parts)
    )  # fmt: skip


_USER_SHAPES: tuple[str, ...] = (
    "Context information is below.\n---------------------\n{c}\n---------------------\n"
    "Given the context information and not prior knowledge, answer the query.\n"
    "Query: {q}\nAnswer: ",
    "Context information is below.\n---------------------\n{c}\n---------------------\n"
    "Given the context information and not prior knowledge, answer the query.\n"
    "Query: {q}\nAnswer: ",
    "Context:\n{c}\n\nQuestion: {q}",
    "Context: {c}\n\nQuestion: {q}\n\nAnswer:",
    "Answer the question with the context only.\n\n{c}\n\nQuestion: {q}",
    "Answer the question based only on the following context:\n{c}\n\nQuestion: {q}\n",
    "Use the following pieces of context to answer the question.\n\n{c}\n\nQuestion: {q}\n"
    "Helpful Answer:",
    "{c}\n\n{q}",
    "{q}\n\nContext:\n{c}",
    "Here is a text: {c} Now tell me: {q}",
    "<context>\n{c}\n</context>\n\nQuestion: {q}",
)
_SYSTEM_SHAPES: tuple[str, ...] = (
    "Answer from this context:\n{c}",
    "You are an assistant for question answering. Use this context to answer.\n\n{c}",
    "Context:\n{c}",
)


def context_messages(
    task: Passage, rng: random.Random, shape: int | None = None
) -> list[dict[str, Any]]:
    """Write a passage and its question as messages.

    Args:
        task: The passage.
        rng: Source of randomness.
        shape: Index of a user shape; None draws one, or puts the passage in the system message.
    """
    text = _documents(task, rng)
    if shape is None and rng.random() < 0.12:
        return [
            {"role": "system", "content": rng.choice(_SYSTEM_SHAPES).format(c=text)},
            {"role": "user", "content": task.question},
        ]
    chosen = rng.choice(_USER_SHAPES) if shape is None else _USER_SHAPES[shape]
    return [{"role": "user", "content": chosen.format(c=text, q=task.question)}]
