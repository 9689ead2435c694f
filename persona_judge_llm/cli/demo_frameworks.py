"""How the demonstration asks through a framework, with the lines that a user would write."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persona_judge_llm.engine import PersonaJudge

Ask = Callable[[str, str], str]
"""Takes a user id and a question, returns the answer."""


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework and what it takes to use the engine in it."""

    name: str
    key: str
    """Its name in JSON."""
    code: str
    connect: "Callable[[PersonaJudge, dict[str, Any]], Ask]"
    """Makes an LLM of an engine; raises `MissingDependencyError` without the extra."""


def _langchain(engine: "PersonaJudge", fields: dict[str, Any]) -> Ask:
    from langchain_persona_judge import PersonaJudgeLLM

    llm = PersonaJudgeLLM(engine=engine, **fields)
    return lambda user, question: llm.with_user(user).invoke(question)


def _llama_index(engine: "PersonaJudge", fields: dict[str, Any]) -> Ask:
    from llama_index_persona_judge import PersonaJudgeLLM

    llm = PersonaJudgeLLM(engine=engine, **fields)
    return lambda user, question: str(llm.with_user(user).complete(question).text)


FRAMEWORKS = (
    Framework(
        "LangChain",
        "langchain",
        "from langchain_persona_judge import PersonaJudgeLLM\n"
        "llm = PersonaJudgeLLM(engine=engine, temperature=0.5)\n"
        'llm.with_user("ana").invoke(question)',
        _langchain,
    ),
    Framework(
        "LlamaIndex",
        "llama_index",
        "from llama_index_persona_judge import PersonaJudgeLLM\n"
        "llm = PersonaJudgeLLM(engine=engine, temperature=0.5)\n"
        'llm.with_user("ana").complete(question)',
        _llama_index,
    ),
)
