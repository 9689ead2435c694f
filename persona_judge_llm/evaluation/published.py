"""The paper's numbers (arXiv 2504.12663), to stand beside ours."""

from collections.abc import Mapping
from typing import Final

from persona_judge_llm.evaluation.dimensions import NAMES

Row = tuple[float | None, ...]

TABLE_1_COLUMNS: Final = (
    "Helpful ArmoRM",
    "Helpful RM",
    "Helpful GPT-4 %",
    "Harmless ArmoRM",
    "Harmless RM",
    "Harmless GPT-4 %",
    "Avg",
)
TABLE_1: Final[Mapping[str, Row]] = {
    "Base": (0.61, 1.06, None, 0.97, 0.83, None, 0.87),
    "MORLHF": (0.31, 0.91, 14, 0.88, 0.84, 4, 0.73),
    "MODPO": (0.56, 0.89, 52, 0.96, 0.77, 80, 0.8),
    "Personalized soups": (0.38, -0.72, 72, 0.92, 0.73, 92, 0.33),
    "Rewarded soups": (0.5, 0.87, 34, 0.95, 0.87, 64, 0.8),
    "RiC": (0.54, 0.9, 40, 0.97, 0.9, 70, 0.83),
    "MetaAligner": (0.55, 1.39, 66, 0.89, 0.54, 74, 0.84),
    "MOD": (0.55, 0.93, 60, 0.96, 0.92, 84, 0.84),
    "Aligner": (0.67, 1.32, 72, 0.97, 0.63, 70, 0.9),
    "Steering": (0.63, 1.17, 38, 0.96, 0.81, 66, 0.89),
    "ARGS": (None, 1.09, 74, None, 0.98, 94, None),
    "Persona-judge-Base": (0.59, 1.21, 80, 1.01, 0.79, 88, 0.9),
    "Persona-judge": (0.63, 1.29, 84, 0.98, 0.82, 98, 0.93),
}
"""P-Soups, Llama-3-Base-8B: rewards, and win rates over an opponent that is not named."""

FLAG_COLUMNS: Final = (
    "Multi-objective",
    "Policy-agnostic",
    "Generalizable",
    "Training-free",
    "RM-free",
)
FLAGS: Final[Mapping[str, str]] = {
    "MORLHF": "10000",
    "MODPO": "10001",
    "Personalized soups": "10001",
    "Rewarded soups": "10001",
    "RiC": "11001",
    "MetaAligner": "11101",
    "MOD": "10001",
    "Aligner": "01001",
    "Steering": "00001",
    "ARGS": "11001",
    "Persona-judge-Base": "11111",
    "Persona-judge": "11111",
}
"""What Table 1 ticks, a digit a column; it calls ARGS RM-free, which needs a reward model."""

TABLE_3_COLUMNS: Final = ("Helpful ArmoRM", "Helpful RM", "Harmless ArmoRM", "Harmless RM", "Avg")
TABLE_3: Final[Mapping[str, Row]] = {
    "1": (0.591, 1.126, 1.002, 0.811, 0.883),
    "2": (0.581, 0.904, 0.974, 0.832, 0.823),
    "3": (0.564, 1.126, 1.018, 0.773, 0.87),
    "4": (0.631, 1.294, 0.984, 0.822, 0.933),
    "5": (0.597, 0.939, 1.001, 0.804, 0.835),
    "6": (0.587, 1.094, 0.992, 0.865, 0.885),
}
"""P-Soups, Persona-judge, by lambda."""

TABLE_4_COLUMNS: Final = (*NAMES, "Overall")
TABLE_4_PSOUPS: Final[Mapping[str, Row]] = {
    "Qwen2.5-0.5B-Instruct": (78, 88, 90, 44, 76, 86, 88, 86, 70, 78),
    "TinyLlama-1.1B-Chat-v1.0": (54, 62, 62, 82, 72, 70, 80, 72, 60, 68),
    "Gemma-2-2b-it": (80, 96, 80, 60, 58, 50, 80, 84, 80, 74),
    "Llama-3.2-3B-Instruct": (42, 98, 82, 40, 84, 96, 74, 78, 74, 74),
    "Qwen2.5-3B-Instruct": (82, 92, 82, 68, 72, 52, 86, 84, 86, 78),
    "Tulu-2-dpo-7b": (88, 98, 96, 98, 66, 94, 92, 86, 80, 89),
    "Llama-3-Base-8B-SFT": (86, 96, 94, 40, 66, 78, 62, 68, 54, 72),
    "Llama-3.1-Tulu-3-8B": (92, 76, 82, 54, 60, 58, 84, 68, 86, 73),
    "Gemma-2-9b-it": (90, 88, 82, 64, 92, 92, 82, 88, 90, 85),
}
"""Win rates in percent over direct prompting, judged by GPT-4."""

TABLE_4_HELPSTEER2: Final[Mapping[str, Row]] = {
    "Qwen2.5-0.5B-Instruct": (45, 86, 83, 63, 68, 66, 77, 84, 84, 73),
    "TinyLlama-1.1B-Chat-v1.0": (49, 55, 76, 82, 60, 74, 47, 79, 64, 65),
    "Gemma-2-2b-it": (60, 83, 77, 93, 89, 92, 75, 73, 76, 80),
    "Llama-3.2-3B-Instruct": (86, 99, 64, 45, 82, 62, 75, 73, 72, 73),
    "Qwen2.5-3B-Instruct": (68, 98, 82, 47, 90, 92, 75, 79, 84, 79),
    "Tulu-2-dpo-7b": (59, 96, 66, 85, 68, 62, 88, 80, 75, 75),
    "Llama-3-Base-8B-SFT": (72, 75, 78, 59, 73, 84, 86, 86, 73, 76),
    "Llama-3.1-Tulu-3-8B": (77, 72, 63, 56, 90, 90, 58, 64, 76, 72),
    "Gemma-2-9b-it": (63, 99, 68, 58, 95, 93, 77, 74, 84, 79),
}
"""As above, on HelpSteer2."""

TABLE_5_COLUMNS: Final = ("1 objective", "+-", "2 objectives", "+-", "3 objectives", "+-")
TABLE_5: Final[Mapping[str, Row]] = {
    "Persona-judge": (8.82, 0.45, 8.91, 0.37, 9.13, 0.39),
}
"""Seconds an answer, without a cache of keys and values."""

TABLE_2_COLUMNS: Final = ("Creative", "Touching", "Vivid")
"""Table 2 is these columns of Table 4 for P-Soups."""
