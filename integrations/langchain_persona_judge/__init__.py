"""LangChain models that answer in each user's own taste, and profiles in LangChain's stores.

`PersonaJudgeLLM` completes strings, `ChatPersonaJudge` answers messages. `ProfileBaseStore` shows a
profile store as a LangChain `BaseStore`; `LangGraphProfileStore` keeps profiles in the store of a
LangGraph graph. All need the extra `persona-judge-llm[langchain]`.
"""

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

__all__ = ["ChatPersonaJudge", "LangGraphProfileStore", "PersonaJudgeLLM", "ProfileBaseStore"]

del _langchain_core, _langgraph_store
