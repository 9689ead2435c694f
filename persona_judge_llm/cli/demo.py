"""`persona-judge demo`: three users ask the same questions, through three doors."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_judge_llm.cli import demo_screen, options
from persona_judge_llm.cli.answers import answer_values
from persona_judge_llm.cli.demo_frameworks import FRAMEWORKS, Framework
from persona_judge_llm.cli.opening import opened_engine
from persona_judge_llm.cli.screen import stderr, stdout, write_json
from persona_judge_llm.cli.splits import preference_values
from persona_judge_llm.errors import MissingDependencyError
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, ProfileStore

if TYPE_CHECKING:
    from rich.console import Console

    from persona_judge_llm.engine import PersonaJudge

USERS: dict[str, tuple[Preference, ...]] = {
    "ana": (Preference("Be concise"),),
    "ben": (Preference("Use bullet points"), Preference("Use emoji")),
    "kim": (),  # has no profile at all
}
QUESTIONS = ("How do I cook pancakes?", "Give me tips for a trip to Lisbon")
TEMPERATURE = 0.5
MAX_NEW_TOKENS = 96


def demo(
    *,
    json: options.Json = False,
    seed: options.Seed = 2,
    model: options.Model = None,
) -> None:
    """Show three users, two questions, the engine, LangChain and LlamaIndex; offline."""
    # What frameworks warn their developers of is not what this is to show.
    warnings.simplefilter("ignore")
    console = None if json else stdout()
    with (
        profile_store() as (store, missing),
        opened_engine(model, profiles=store, unknown_user="neutral") as engine,
    ):
        if console:
            demo_screen.show_opening(console, engine.model_name, USERS, missing)
        report: dict[str, Any] = {
            "model": engine.model_name,
            "seed": seed,
            "profiles": {"skipped": missing} if missing else _profiles(store),
            "engine": ask_engine(engine, seed, console),
        }
        for number, framework in enumerate(FRAMEWORKS, start=2):
            outcome = ask_framework(framework, engine, seed)
            report[framework.key] = outcome
            if console:
                demo_screen.show_framework(console, number, framework, outcome)
    if console:
        demo_screen.show_closing(console)
    else:
        write_json(report)


@contextlib.contextmanager
def profile_store() -> Iterator[tuple[ProfileStore, str | None]]:
    """Open a store of the users in a temporary folder; in memory, and why, without the extra."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="persona-judge-"))
        store: Any
        missing = None
        try:
            from persona_judge_profiles import SQLProfileStore

            store = stack.enter_context(SQLProfileStore(f"sqlite:///{Path(folder)}/profiles.db"))
        except MissingDependencyError as error:
            store, missing = InMemoryProfileStore(), str(error)
        for user, preferences in USERS.items():
            for preference in preferences:
                store.add(user, preference)
        yield store, missing


def ask_engine(
    engine: "PersonaJudge", seed: int | None, console: "Console | None"
) -> list[dict[str, Any]]:
    """Ask the engine itself, and show each answer as it comes."""
    params = options.sampling(TEMPERATURE, None, None, MAX_NEW_TOKENS, seed, None)
    answers = []
    for question in QUESTIONS:
        if console:
            demo_screen.show_question(console, question)
        for user in USERS:
            answer = engine.generate(question, user_id=user, params=params)
            answers.append({"user": user, "question": question, **answer_values(answer)})
            if console:
                demo_screen.show_answer(console, user, answer)
    if console:
        demo_screen.show_legend(console)
    return answers


def ask_framework(framework: Framework, engine: "PersonaJudge", seed: int | None) -> Any:  # noqa: ANN401
    """Return the answers through a framework, or why there are none."""
    fields = {"temperature": TEMPERATURE, "max_tokens": MAX_NEW_TOKENS, "seed": seed}
    try:
        with stderr().status(f"Loading {framework.name} ..."):
            ask = framework.connect(engine, fields)
    except MissingDependencyError as error:
        return {"skipped": str(error)}
    return [
        {"user": user, "question": question, "text": ask(user, question)}
        for question in QUESTIONS
        for user in USERS
    ]


def _profiles(store: ProfileStore) -> dict[str, Any]:
    return {
        user: [preference_values(p) for p in store.get(user).preferences]
        for user, preferences in USERS.items()
        if preferences
    }
