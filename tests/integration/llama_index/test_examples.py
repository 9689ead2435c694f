"""The application of `examples/`: one index for everybody, each answer in its reader's taste."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import Request
from tests.integration.llama_index.conftest import globals_kept, loop_lent

EXAMPLE = Path(__file__).parents[3] / "examples" / "rag_llama_index.py"
SOURCE = re.compile(r"^   \[(\d\.\d\d)\] (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def calls() -> list[PreparedCall]:
    return []


@pytest.fixture(scope="module")
def example(calls: list[PreparedCall]) -> dict[str, Any]:
    """Its globals, among them what it printed as `printed`."""
    prepare = PersonaJudge.prepare

    def watched(engine: PersonaJudge, request: Request) -> PreparedCall:
        calls.append(prepare(engine, request))
        return calls[-1]

    printed: list[str] = []

    def write(*texts: object, end: str = "\n", flush: bool = False) -> None:
        printed.append(" ".join(map(str, texts)) + end)

    found = runpy.run_path(str(EXAMPLE))
    with pytest.MonkeyPatch.context() as patch, globals_kept(), loop_lent():
        patch.setattr(PersonaJudge, "prepare", watched)
        patch.setitem(found["main"].__globals__, "print", write)
        found["main"]()
    return {**found, "printed": "".join(printed)}


def test_everybody_is_answered_from_the_same_sources(example: dict[str, Any]) -> None:
    parts = example["printed"].split("\n\n")
    asked = [part for part in parts if example["QUESTION"] in part]
    assert [part.split()[0] for part in asked] == list(example["TASTES"])
    sources = [SOURCE.findall(part) for part in asked]
    assert sources[0] == sources[1] == sources[2]
    (_, first), _ = sources[0]
    assert first == "opening_hours.txt"
    answers = [part.split("\n")[1].strip() for part in asked]
    assert all(answers)
    assert len(set(answers)) == 3, "all were told in the same way"


def test_each_call_is_its_readers_and_nobody_elses(
    example: dict[str, Any], calls: list[PreparedCall]
) -> None:
    assert [call.user_id for call in calls] == ["ana", "ben", "kim", "kim", "kim"]
    for call in calls:
        sides = (call.prompt_a, call.prompt_b or "")
        for user, tastes in example["TASTES"].items():
            found = [[taste in side for side in sides] for taste in tastes]
            # One taste on each side, the reader's own.
            own = [[True, False], [False, True]]
            assert found == (own if user == call.user_id else [[False, False]] * 2)
    assert len({call.fingerprint for call in calls}) == 3


def test_the_passages_stand_in_the_prompts(
    example: dict[str, Any], calls: list[PreparedCall]
) -> None:
    hours, garden, tomatoes = (
        (example["DOCUMENTS"] / f"{name}.txt").read_text().strip()
        for name in ("opening_hours", "people", "tomatoes")
    )
    assert all(hours in call.prompt_a for call in calls[:3])
    assert garden in calls[-1].prompt_a
    assert not any(tomatoes in call.prompt_a for call in calls)


def test_the_second_turn_of_the_chat_knows_the_first(
    example: dict[str, Any], calls: list[PreparedCall]
) -> None:
    first, second = calls[-2:]
    question, follow_up = example["TURNS"]
    (told,) = re.findall(rf"\(chat\): {re.escape(question)}\n  (.*)\n", example["printed"])
    assert question in first.prompt_a
    assert told not in first.prompt_a
    for prompt in (second.prompt_a, second.prompt_b or ""):
        assert prompt.index(question) < prompt.index(told) < prompt.index(follow_up)


def test_the_facts_are_those_of_the_documents(example: dict[str, Any]) -> None:
    facts = {
        example["QUESTION"]: ("The library in Kelby closes at 7 in the evening.", 3),
        example["TURNS"][0]: ("The gardener of Kelby is Tom Corin.", 1),
        example["TURNS"][1]: ("The gardener of Kelby is Tom Corin.", 1),
    }
    documents = " ".join(path.read_text() for path in example["DOCUMENTS"].glob("*.txt"))
    for question, (fact, times) in facts.items():
        assert fact in documents
        told = re.findall(rf": {re.escape(question)}\n  (.*)\n", example["printed"])
        assert [fact in answer for answer in told] == [True] * times


@pytest.mark.parametrize(
    ("question", "file"),
    [
        ("Until what hour can I visit the reading room?", "opening_hours.txt"),
        ("How long may I keep a novel?", "borrowing.txt"),
        ("Where do I get a spade and a barrow?", "tool_shed.txt"),
        ("My plants have spots after rain, what went wrong?", "tomatoes.txt"),
    ],
)
def test_passages_are_found_by_what_they_mean(
    question: str, file: str, example: dict[str, Any]
) -> None:
    (best, *_) = example["read"]().as_retriever(similarity_top_k=1).retrieve(question)
    assert best.node.metadata["file_name"] == file
