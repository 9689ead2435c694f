"""What LlamaIndex packs prompts by."""

from typing import Final

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.splitting import reserved_tokens

UNLIMITED: Final = 1_000_000
"""Stands for the window of a model that has no limit."""


def metadata_of(
    engine: PersonaJudge,
    max_tokens: int | None,
    prefix_reserve: int | None,
    *,
    calls_tools: bool = False,
) -> LLMMetadata:
    """Describe the model as it is seen by code that does not know of preferences.

    Args:
        engine: the engine.
        max_tokens: of an answer, where that is settled.
        prefix_reserve: tokens kept free for preferences; None for what is best.
        calls_tools: whether it calls tools even if its chat template has no place for them.
    """
    window = engine.context_window or UNLIMITED
    reserve = reserved_tokens(window) if prefix_reserve is None else prefix_reserve
    return LLMMetadata(
        context_window=max(window - reserve, 1),
        # Left open, the engine takes what the model's configuration says, or the room there is.
        num_output=max_tokens or DEFAULT_NUM_OUTPUTS,
        is_chat_model=True,
        is_function_calling_model=calls_tools or engine.supports_tools,
        model_name=engine.model_name,
    )
