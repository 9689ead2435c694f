"""What the authors' code settles, and the paper does not: see `modes`."""

from typing import Final

from persona_judge_llm.sampling import SamplingParams

MODES: Final = ("fixed", "paper")
SAMPLING: Final = SamplingParams(temperature=0.9, top_k=20, top_p=0.9, max_new_tokens=128)
NUM_DRAFT_TOKENS: Final = 4
"""The paper's best lambda."""
