"""Every Python example of the README and of the engine runs, and prints what it says."""

from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

ROOT = Path(__file__).parents[2]
EXAMPLES = list(
    find_examples(str(ROOT / "README.md"), str(ROOT / "persona_judge_llm" / "engine.py"))
)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_runs_and_prints_what_it_says(example: CodeExample, eval_example: EvalExample):
    eval_example.run_print_check(example)


def test_every_door_has_an_example():
    source = "".join(example.source for example in EXAMPLES)
    for door in (
        "persona_judge_llm import",
        "langchain_persona_judge import",
        "llama_index_persona_judge import",
        "persona_judge_profiles import",
    ):
        assert door in source
