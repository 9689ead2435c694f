"""LangChain models that answer in each user's own taste, and profiles in LangChain's stores.

`PersonaJudgeLLM` completes strings, `ChatPersonaJudge` answers messages, `PersonaMiddleware` tells
an agent's model whose run it is. `ProfileBaseStore` shows a
profile store as a LangChain `BaseStore`; `LangGraphProfileStore` keeps profiles in the store of a
LangGraph graph. All need the extra `persona-judge-llm[langchain]`.
"""

from typing import TYPE_CHECKING

from persona_judge_llm.errors import MissingDependencyError

try:
    import langchain_core as _langchain_core
except ModuleNotFoundError as error:
    raise MissingDependencyError("langchain", "langchain-core") from error
try:
    import langgraph.store.base as _langgraph_store
except ModuleNotFoundError as error:
    raise MissingDependencyError("langchain", "langgraph") from error

from langchain_persona_judge.chat_models import ChatPersonaJudge
from langchain_persona_judge.langgraph_profiles import LangGraphProfileStore
from langchain_persona_judge.llms import PersonaJudgeLLM
from langchain_persona_judge.profile_base_store import ProfileBaseStore

if TYPE_CHECKING:
    from langchain_persona_judge.middleware import PersonaMiddleware

__all__ = [
    "ChatPersonaJudge",
    "LangGraphProfileStore",
    "PersonaJudgeLLM",
    "PersonaMiddleware",
    "ProfileBaseStore",
]

del _langchain_core, _langgraph_store


def __getattr__(name: str) -> object:
    if name != "PersonaMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # When first asked for: agents take a second to import, and most programs have none.
    try:
        from langchain_persona_judge.middleware import PersonaMiddleware
    except ModuleNotFoundError as error:
        raise MissingDependencyError("langchain", error.name) from error
    return PersonaMiddleware
