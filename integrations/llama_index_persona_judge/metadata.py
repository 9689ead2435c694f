"""What LlamaIndex packs prompts by."""

from typing import Final

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.splitting import DEFAULT_BUDGET

TEMPLATE_TOKENS: Final = 32
"""What a chat template may put around the messages; LlamaIndex counts their text alone."""
UNLIMITED: Final = 1_000_000
"""Stands for the window of a model that has no limit."""


def metadata_of(
    engine: PersonaJudge, max_tokens: int | None, prefix_reserve: int | None
) -> LLMMetadata:
    """Describe the model as it is seen by code that does not know of preferences.

    A side's block of preferences takes up to `DEFAULT_BUDGET` tokens beside the prompt. Where
    that would eat up a small window, a quarter of it is reserved; a larger block then shows as
    `ContextOverflowError`, never as a prompt cut short.
    """
    window = engine.context_window or UNLIMITED
    if prefix_reserve is None:
        prefix_reserve = min(DEFAULT_BUDGET + TEMPLATE_TOKENS, window // 4)
    return LLMMetadata(
        context_window=max(window - prefix_reserve, 1),
        # Left open, the engine takes what the model's configuration says, or the room there is.
        num_output=max_tokens or DEFAULT_NUM_OUTPUTS,
        is_chat_model=True,
        is_function_calling_model=engine.supports_tools,
        model_name=engine.model_name,
    )
