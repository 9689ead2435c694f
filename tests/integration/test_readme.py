"""Every Python example of the README runs, and prints what it says."""

from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

README = Path(__file__).parents[2] / "README.md"
EXAMPLES = list(find_examples(str(README)))


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_of_the_readme_runs(example: CodeExample, eval_example: EvalExample):
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
