"""LangChain models that answer in each user's own taste.

`PersonaJudgeLLM` completes strings, `ChatPersonaJudge` answers messages. Both need the extra
`persona-judge-llm[langchain]`.
"""

from persona_judge_llm.errors import MissingDependencyError

try:
    import langchain_core as _langchain_core
except ModuleNotFoundError as error:
    raise MissingDependencyError("langchain", "langchain-core") from error

from langchain_persona_judge.chat_models import ChatPersonaJudge
from langchain_persona_judge.llms import PersonaJudgeLLM

__all__ = ["ChatPersonaJudge", "PersonaJudgeLLM"]

del _langchain_core
