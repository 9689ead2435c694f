"""Persona-judge decoding as a LlamaIndex LLM, `PersonaJudgeLLM`, and its own errors."""

from persona_judge_llm.errors import MissingDependencyError

try:
    import llama_index.core  # noqa: F401
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("llama_index"):
        raise
    raise MissingDependencyError("llama-index", "llama-index-core") from error

from llama_index_persona_judge.errors import LazyStreamError, StructuredAnswerError
from llama_index_persona_judge.llms import PersonaJudgeLLM

__all__ = ["LazyStreamError", "PersonaJudgeLLM", "StructuredAnswerError"]
