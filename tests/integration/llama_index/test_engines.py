"""Query engines and chat engines on the LLM: they answer, and what goes wrong is heard."""

from typing import Any

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import LLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.errors import (
    ContextOverflowError,
    InvalidParameterError,
    PersonaJudgeError,
    ProfileStoreUnavailableError,
    UnknownUserError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Profile

QUERY_MODES = ("compact", "refine", "tree_summarize")
CHAT_MODES = ("simple", "context", "condense_plus_context")


def index(count: int = 2, words: int = 1) -> VectorStoreIndex:
    nodes = [TextNode(text=f"Fact {n}: tea is brewed. " * words) for n in range(count)]
    return VectorStoreIndex(nodes=nodes)


def memory() -> ChatMemoryBuffer:
    # The default keeps its messages in a database that it never closes.
    return ChatMemoryBuffer.from_defaults(token_limit=10_000)


@pytest.mark.parametrize("mode", QUERY_MODES)
async def test_query_engines_answer_in_every_way(mode: Any, llm: PersonaJudgeLLM) -> None:
    alice = llm.with_user("alice")
    engine = index().as_query_engine(llm=alice, response_mode=mode)
    assert str(engine.query("Tea?")) == "For alice only."
    assert str(await engine.aquery("Tea?")) == "For alice only."


@pytest.mark.parametrize("mode", CHAT_MODES)
async def test_chat_engines_answer_in_every_way(mode: Any, llm: PersonaJudgeLLM) -> None:
    engine = index().as_chat_engine(chat_mode=mode, llm=llm.with_user("alice"), memory=memory())
    assert engine.chat("Tea?").response == "For alice only."
    assert (await engine.achat("More?")).response == "For alice only."
    stream = await engine.astream_chat("And now?")
    assert "".join([t async for t in stream.async_response_gen()]) == "For alice only."
    assert [m.content for m in engine.chat_history if m.role == "assistant"] == [
        "For alice only."
    ] * 3


def test_a_query_is_counted_once(llm: PersonaJudgeLLM) -> None:
    counter = TokenCountingHandler()
    Settings.callback_manager = CallbackManager([counter])
    index().as_query_engine(llm=llm.with_user("alice")).query("Tea?")
    assert len(counter.llm_token_counts) == 1
    assert counter.completion_llm_token_count == len("For alice only.")


async def test_the_methods_above_chat_and_complete_count_once_too(llm: PersonaJudgeLLM) -> None:
    counter = TokenCountingHandler()
    llm.callback_manager = CallbackManager([counter])
    prompt = PromptTemplate("Say {what}")
    alice: LLM = llm.with_user("alice")
    assert alice.predict(prompt, what="hi") == "For alice only."
    assert await alice.apredict(prompt, what="hi") == "For alice only."
    assert "".join(alice.stream(prompt, what="hi")) == "For alice only."
    assert len(counter.llm_token_counts) == 3


def test_a_system_prompt_and_the_engines_own_become_one_system_message(
    llm: PersonaJudgeLLM,
) -> None:
    bound = llm.with_user("alice")
    bound.system_prompt = "Be formal."
    index().as_query_engine(llm=bound).query("Tea?")
    prompt = llm.engine.calls[-1].prompt_a  # type: ignore[attr-defined]
    assert prompt.count("<|im_start|>system") == 1
    assert prompt.index("Be formal.") < prompt.index("Write for alice") < prompt.index("Tea?")


class Unreachable(InMemoryProfileStore):
    def get(self, user_id: str) -> Profile:
        raise ValueError("no route to host")


def failing(reason: str, scripted: Any, store: Any) -> tuple[PersonaJudgeLLM, type[Exception]]:
    if reason == "unknown user":
        return scripted().with_user("zoe"), UnknownUserError
    if reason == "context overflow":
        return scripted(context_window=600, max_tokens=300).with_user("alice"), ContextOverflowError
    if reason == "unusable field":
        bound = scripted().with_user("alice")
        bound.temperature = -1.0
        return bound, InvalidParameterError
    store.__class__ = Unreachable
    return scripted().with_user("alice"), ProfileStoreUnavailableError


REASONS = ("unknown user", "context overflow", "unusable field", "unreachable store")


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("mode", QUERY_MODES)
async def test_failures_come_out_of_query_engines(
    reason: str, mode: Any, scripted: Any, store: InMemoryProfileStore
) -> None:
    llm, error = failing(reason, scripted, store)
    Settings.context_window = 4000  # that prompts are packed too large is the point of one case
    engine = index(words=4).as_query_engine(llm=llm, response_mode=mode)
    with pytest.raises(error):
        engine.query("Tea?")
    with pytest.raises(error):
        await engine.aquery("Tea?")
    streaming = index(words=4).as_query_engine(llm=llm, response_mode=mode, streaming=True)

    def read() -> str:
        response: Any = streaming.query("Tea?")
        return "".join(response.response_gen)

    with pytest.raises(error):
        read()


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("mode", CHAT_MODES)
async def test_failures_come_out_of_chat_engines(
    reason: str, mode: Any, scripted: Any, store: InMemoryProfileStore
) -> None:
    llm, error = failing(reason, scripted, store)
    Settings.context_window = 4000
    engine = index(words=4).as_chat_engine(chat_mode=mode, llm=llm, memory=memory())
    question = "Tea? " * 60
    with pytest.raises(error):
        engine.chat(question)
    with pytest.raises(error):
        await engine.achat(question)


def test_no_error_of_the_package_is_one_that_llamaindex_swallows() -> None:
    kinds: list[type] = [PersonaJudgeError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert len(kinds) > 10
    assert not [k for k in kinds if issubclass(k, ValueError | TypeError)]
