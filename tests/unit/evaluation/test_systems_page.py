"""The page on systems: its example runs, its specs open, its table names every key."""

import json
import re
from pathlib import Path

from pytest_examples import CodeExample, EvalExample, find_examples

from persona_judge_llm.evaluation import systems
from persona_judge_llm.evaluation.systems import SYSTEMS, check_system
from persona_judge_llm.evaluation.systems.opening import _KINDS

PAGE = Path(__file__).parents[3] / "docs" / "systems.md"
TEXT = PAGE.read_text(encoding="utf-8")
(EXAMPLE,) = (example for example in find_examples(str(PAGE)) if example.prefix == "python")


def test_the_example_runs_and_prints_what_it_says(eval_example: EvalExample):
    example: CodeExample = EXAMPLE
    eval_example.run_print_check(example)


def test_the_specs_have_only_keys_that_there_are():
    (block,) = re.findall("```json\n(.*?)```", TEXT, re.DOTALL)
    names = [check_system(spec) for spec in json.loads(block)]
    assert len(set(names)) == len(names)
    assert {spec["system"] for spec in json.loads(block)} == set(SYSTEMS)


def test_the_tables_name_every_system_and_every_key():
    for name, kind in _KINDS.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", TEXT, re.MULTILINE)
        listed = systems.__doc__.partition(f"    {name} ")[2].partition("\n    ")[0]
        assert listed
        for key in kind.keys:
            assert re.search(rf"\b{key}\b", row), (name, key)
            assert re.search(rf"\b{key}\b", systems.__doc__), (name, key)
