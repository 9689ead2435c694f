"""For everybody's tests of code that uses this package; offline, in milliseconds.

- Here: fake models, and tiny real ones (from `models`).
- `persona_judge_llm.testing.stores`: the laws of profile stores, to run on a store of your own.
  It needs the extra `testing`.
"""

from persona_judge_llm.testing.models import (
    CHAT_TEMPLATE,
    FakeJoining,
    HistoryContext,
    HistoryModel,
    tiny_engine,
    tiny_model,
    tiny_tokenizer,
)

__all__ = [
    "CHAT_TEMPLATE",
    "FakeJoining",
    "HistoryContext",
    "HistoryModel",
    "tiny_engine",
    "tiny_model",
    "tiny_tokenizer",
]
