"""The public names: sorted, importable, loaded late, and without a PersonaJudgeLLM of its own."""

import importlib
import subprocess
import sys

import pytest

import persona_judge_llm


def test_all_is_sorted_and_importable():
    assert persona_judge_llm.__all__ == sorted(persona_judge_llm.__all__)
    for name in persona_judge_llm.__all__:
        assert getattr(persona_judge_llm, name) is not None
    assert set(persona_judge_llm.__all__) <= set(dir(persona_judge_llm))


def test_every_error_of_the_tree_is_public():
    def tree(error):
        for child in error.__subclasses__():
            yield child
            yield from tree(child)

    for error in tree(persona_judge_llm.PersonaJudgeError):
        package = error.__module__.partition(".")[0]
        if not package.startswith("test"):  # whatever else this process has imported by now
            assert error.__name__ in importlib.import_module(package).__all__


@pytest.mark.parametrize("statement", ["from persona_judge_llm import PersonaJudgeLLM"])
def test_asking_for_a_persona_judge_llm_names_both_homes(statement):
    with pytest.raises(ImportError, match=r"langchain_persona_judge.*llama_index_persona_judge"):
        exec(statement)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="PersonaJugde"):
        _ = persona_judge_llm.PersonaJugde


def test_importing_the_package_loads_neither_torch_nor_transformers():
    code = (
        "import sys, persona_judge_llm, persona_judge_llm.preferences\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
