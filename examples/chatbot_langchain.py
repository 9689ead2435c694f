"""A chatbot that remembers: each thread has its history, each user a taste.

    python examples/chatbot_langchain.py

Two users in two threads ask the same question twice. LangGraph's checkpointer keeps what was said
in each thread, an SQL database what each user likes; one model answers all, offline, in seconds.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph

from langchain_persona_judge import ChatPersonaJudge, PersonaMiddleware
from persona_judge_llm import Preference, Profile
from persona_judge_profiles import SQLProfileStore

TASTES = {"ana": ("Be concise",), "ben": ("Use vivid images", "Be humorous")}
QUESTION = "How do I water my tomatoes?"


@dataclass(frozen=True)
class Context:
    """What LangGraph hands to every step of a run, and traces nowhere: whose run it is."""

    user_id: str


Bot: TypeAlias = "CompiledStateGraph[Any, Context, Any, Any]"


def chatbot(profiles: SQLProfileStore) -> Bot:
    """Make the one agent that serves everybody."""
    # With the seed this example always says the same; without it each answer is drawn anew.
    chat = ChatPersonaJudge.bundled(profiles=profiles, max_tokens=60, temperature=0.7, seed=7)
    return create_agent(
        chat,
        context_schema=Context,
        middleware=[PersonaMiddleware()],  # tells the model whose run it is
        checkpointer=InMemorySaver(),  # or a PostgresSaver, ...: keeps each thread's messages
    )


def answer(bot: Bot, user: str, question: str) -> Iterator[str]:
    """Yield the pieces of one answer as they are generated."""
    parts = bot.stream(
        {"messages": [("user", question)]},  # the new message alone: the thread has the others
        {"configurable": {"thread_id": f"thread of {user}"}},
        context=Context(user),
        stream_mode="messages",
    )
    yield from (piece.text for piece, _ in parts if isinstance(piece, AIMessageChunk))


def main() -> None:
    """Let both users ask twice, in turns, and print whose answer is whose."""
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder) / 'profiles.db'}"
        with SQLProfileStore(database) as profiles:
            for user, tastes in TASTES.items():
                profiles.put(Profile(user, tuple(map(Preference, tastes))))
            bot = chatbot(profiles)
            for turn in (1, 2):
                for user, tastes in TASTES.items():
                    print(f"\n[turn {turn}] {user} ({', '.join(tastes)}): {QUESTION}")
                    print(f"bot to {user}: ", end="")
                    for piece in answer(bot, user, QUESTION):
                        print(piece, end="", flush=True)
                    print()


if __name__ == "__main__":
    main()
