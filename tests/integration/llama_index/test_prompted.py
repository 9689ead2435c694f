"""`predict` and `stream`: variables of the prompt and arguments of the call, each to its own."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.llms import LLM
from llama_index.core.prompts import PromptTemplate, RichPromptTemplate, SelectorPromptTemplate
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.errors import InvalidParameterError, UnknownUserError
from persona_judge_llm.scope import use_user
from tests.integration.llama_index.observers import watched

PROMPT = PromptTemplate("Say {what}")
HOWS = ("predict", "apredict", "stream", "astream")


class Sum(BaseModel):
    """A sum."""

    total: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(add)


def said(llm: LLM, how: str, prompt: Any = PROMPT, **kwargs: Any) -> str:
    asked = getattr(llm, how)(prompt, **kwargs)

    async def awaited() -> str:
        answer = await asked
        return answer if isinstance(answer, str) else "".join([piece async for piece in answer])

    if how.startswith("a"):
        return asyncio.run(awaited())
    return asked if isinstance(asked, str) else "".join(asked)


@pytest.mark.parametrize("how", HOWS)
def test_what_is_personal_reaches_the_model_and_no_observer(how: str, llm: PersonaJudgeLLM) -> None:
    with watched(llm) as seen:
        assert said(llm, how, what="hi", user_id="alice") == "For alice only."
        assert said(llm, how, what="hi", preferences=["Write for bob"]) == "For bob only."
    assert "'what': 'hi'" in seen.everything
    assert "user_id" not in seen.everything
    assert "preferences" not in seen.everything
    assert "For alice" in "".join(seen.events.told)
    with pytest.raises(UnknownUserError):
        said(llm, how, what="hi", user_id="zoe")


@pytest.mark.parametrize("how", HOWS)
def test_other_arguments_of_a_call_count_too(how: str, llm: PersonaJudgeLLM) -> None:
    assert said(llm, how, what="hi", max_tokens=3) == "For"
    with pytest.raises(InvalidParameterError, match="temperature"):
        said(llm, how, what="hi", temperature=-1)


@pytest.mark.parametrize("how", HOWS)
def test_variables_of_the_prompt_are_its_own(how: str, llm: PersonaJudgeLLM) -> None:
    with use_user("bob"):
        assert said(llm, how, PromptTemplate("I am {user_id}"), user_id="alice") == "For bob only."
    (call,) = llm.engine.calls  # type: ignore[attr-defined]
    assert "I am alice" in call.prompt_a
    with pytest.raises(InvalidParameterError, match="bogus"):
        said(llm, how, what="hi", bogus=1)


def test_every_kind_of_prompt_knows_its_variables(llm: PersonaJudgeLLM) -> None:
    nested = SelectorPromptTemplate(
        default_template=PromptTemplate("Say {what}"),
        conditionals=[(lambda _: True, PromptTemplate("Tell {user_id}"))],
    )
    mapped = PromptTemplate("Say {what}", template_var_mappings={"that": "what"})
    computed = PromptTemplate("Say {what}", function_mappings={"what": lambda **given: given["x"]})
    llm.predict(nested, user_id="carol")
    llm.predict(mapped, that="tea")
    llm.predict(computed, x="rain")
    llm.predict(RichPromptTemplate("Say {{ what }}"), what="sun")
    llm.predict(PROMPT.partial_format(what="snow"), what="hail")
    prompts = [call.prompt_a for call in llm.engine.calls]  # type: ignore[attr-defined]
    for text, prompt in zip(("Tell carol", "tea", "rain", "sun", "hail"), prompts, strict=True):
        assert text in prompt


def test_llamaindex_may_give_a_prompt_of_ones_own_what_it_does_not_ask_for(
    llm: PersonaJudgeLLM,
) -> None:
    index = VectorStoreIndex(nodes=[TextNode(text="Tea is brewed.")])
    modes: Any = ("tree_summarize", "compact", "accumulate")
    for mode in modes:
        own = PromptTemplate("Just say hi.")
        engine = index.as_query_engine(
            llm=llm.with_user("alice"),
            response_mode=mode,
            text_qa_template=own,
            summary_template=own,
            use_async=mode == "accumulate",
        )
        assert "For alice only." in str(asyncio.run(engine.aquery("Tea?")))


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "simple_summarize"])
def test_a_user_given_to_a_synthesizer_is_carried(mode: Any, llm: PersonaJudgeLLM) -> None:
    nodes = [NodeWithScore(node=TextNode(text="Tea is brewed."), score=1.0)]
    for streaming in (False, True):
        synthesizer = get_response_synthesizer(llm=llm, response_mode=mode, streaming=streaming)
        response: Any = synthesizer.synthesize("Tea?", nodes=nodes, user_id="alice")
        text = "".join(response.response_gen) if streaming else str(response)
        assert text == "For alice only."


def test_a_structured_llm_tells_them_apart_too(scripted: Any) -> None:
    llm = scripted(lambda _: '{"total": 42}', pydantic_program_mode="llm")
    structured = llm.as_structured_llm(Sum)
    with watched(llm) as seen:
        for how in HOWS:
            said(structured, how, what="hi", user_id="alice")
        llm.structured_predict(Sum, PROMPT, what="hi", user_id="alice")
    assert [call.user_id for call in llm.engine.calls] == ["alice"] * 5
    assert "user_id" not in seen.everything
    with pytest.raises(InvalidParameterError, match="bogus"):
        structured.predict(PROMPT, what="hi", bogus=1)
    with pytest.raises(InvalidParameterError, match="bogus"):
        llm.structured_predict(Sum, PROMPT, what="hi", bogus=1)


def coroutines(llm: PersonaJudgeLLM) -> dict[str, Callable[[], Any]]:
    structured = llm.as_structured_llm(Sum)
    messages: Any = PROMPT.format_messages(what="hi")
    return {
        "apredict": lambda: llm.apredict(PROMPT, what="hi"),
        "astream": lambda: llm.astream(PROMPT, what="hi"),
        "achat_with_tools": lambda: llm.achat_with_tools([ADD], user_msg="hi"),
        "astream_chat_with_tools": lambda: llm.astream_chat_with_tools([ADD], user_msg="hi"),
        "achat": lambda: structured.achat(messages),
        "acomplete": lambda: structured.acomplete("hi"),
        "astream_chat": lambda: structured.astream_chat(messages),
        "astream_complete": lambda: structured.astream_complete("hi"),
        "structured apredict": lambda: structured.apredict(PROMPT, what="hi"),
        "structured astream": lambda: structured.astream(PROMPT, what="hi"),
    }


@pytest.mark.parametrize("name", coroutines(PersonaJudgeLLM.model_construct()))
async def test_a_coroutine_is_of_who_made_it_not_of_who_awaits_it(name: str, scripted: Any) -> None:
    llm = scripted(lambda _: '{"total": 42}', pydantic_program_mode="llm")
    with use_user("alice"):
        asked = coroutines(llm)[name]()
    with use_user("bob"):
        answer = await asked
        if hasattr(answer, "__aiter__"):
            assert [item async for item in answer]
    assert [call.user_id for call in llm.engine.calls] == ["alice"]


@pytest.mark.parametrize("way", ["user_id", "preferences"])
def test_calls_with_tools_tell_observers_nothing_personal(way: str, llm: PersonaJudgeLLM) -> None:
    secret = "alice" if way == "user_id" else ["Write for alice, sentinel-77"]

    async def others() -> None:
        await llm.achat_with_tools([ADD], user_msg="hi", **{way: secret})
        stream = await llm.astream_chat_with_tools([ADD], user_msg="hi", **{way: secret})
        assert [item async for item in stream]

    with watched(llm) as seen:
        llm.chat_with_tools([ADD], user_msg="hi", **{way: secret})
        assert list(llm.stream_chat_with_tools([ADD], user_msg="hi", **{way: secret}))
        asyncio.run(others())
    assert all("Write for alice" in call.prompt_a for call in llm.engine.calls)  # type: ignore[attr-defined]
    assert (seen.count("StartEvent"), seen.count("EndEvent")) == (4, 4)
    assert way not in seen.everything
    assert "sentinel-77" not in seen.everything
