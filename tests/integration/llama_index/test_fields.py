"""Fields and arguments that cannot be used are refused, loudly: LlamaIndex swallows some errors."""

from typing import Any

import pytest
from llama_index.core.prompts import PromptTemplate

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.errors import InvalidParameterError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("messages_to_prompt", lambda messages: "x"),
        ("completion_to_prompt", lambda prompt: "x"),
        ("query_wrapper_prompt", PromptTemplate("{query_str}")),
        ("bogus", 1),
    ],
)
def test_fields_without_effect_are_refused(name: str, value: Any, llm: PersonaJudgeLLM) -> None:
    with pytest.raises(InvalidParameterError, match=name):
        PersonaJudgeLLM(engine=llm.engine, **{name: value})
    assert PersonaJudgeLLM(engine=llm.engine, messages_to_prompt=None).complete("hi").text


def test_so_are_those_that_are_set_later(llm: PersonaJudgeLLM) -> None:
    for name in ("bogus", "messages_to_prompt", "completion_to_prompt", "query_wrapper_prompt"):
        with pytest.raises(InvalidParameterError, match=name):
            setattr(llm, name, lambda prompt: "x")
    llm.temperature = 0.5
    llm.callback_manager = llm.callback_manager
    assert llm.with_user("alice").temperature == 0.5


def test_unknown_arguments_are_refused_whatever_they_are(llm: PersonaJudgeLLM) -> None:
    for value in (1, None):
        with pytest.raises(InvalidParameterError, match="bogus"):
            llm.complete("hi", bogus=value)
    assert llm.complete("hi", user_id=None, max_tokens=None, temperature=None).text
