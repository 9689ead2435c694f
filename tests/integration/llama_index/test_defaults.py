"""The plain model where taste does harm, and the LLM that LlamaIndex uses by default."""

from typing import Any

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import TransformQueryEngine
from llama_index.core.schema import TextNode
from llama_index.core.selectors import PydanticSingleSelector
from llama_index.core.tools import ToolMetadata

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.scope import use_user
from persona_judge_llm.testing import tiny_tokenizer
from tests.integration.llama_index.conftest import RecordingEngine, wide_model

NODES = [TextNode(text="Tea is brewed."), TextNode(text="Rain falls.")]


def index() -> VectorStoreIndex:
    return VectorStoreIndex(nodes=NODES)


def memory() -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(token_limit=10_000)


def personal(llm: PersonaJudgeLLM) -> list[bool]:
    """Return of each call whether it was made in alice's taste, and forget the calls."""
    calls = llm.engine.calls  # type: ignore[attr-defined]
    found = ["Write for alice" in call.prompt_a for call in calls]
    assert not [call for call in calls if "Write for bob" in call.prompt_a]
    calls.clear()
    return found


def test_a_neutral_copy_is_the_plain_model_whatever_the_scope(scripted: Any) -> None:
    plain = scripted(require_user=True).with_user("bob").neutral()
    with use_user("carol"):
        answer: Any = plain.complete("hi")
        assert answer.text == "For nobody only."
        assert answer.raw["fingerprint"] == "neutral"
        assert plain.complete("hi", user_id="alice").text == "For alice only."
        assert plain.complete("hi", preferences=["Write for bob"]).text == "For bob only."
        assert plain.with_user("bob").complete("hi").text == "For bob only."
        assert plain.with_user(None).complete("hi").text == "For carol only."


def test_a_selector_chooses_by_a_forced_call_on_any_weights() -> None:
    engine = RecordingEngine(wide_model(), tiny_tokenizer())
    llm = PersonaJudgeLLM(engine=engine, max_tokens=120, seed=2)
    choices = [ToolMetadata("Tea", "tea"), ToolMetadata("Rain", "rain")]
    found = PydanticSingleSelector.from_defaults(llm=llm.neutral()).select(choices, "Tea?")
    assert isinstance(found.selections[0].index, int)


def test_a_rewritten_question_is_answered_in_the_users_taste(llm: PersonaJudgeLLM) -> None:
    asked = index().as_query_engine(llm=llm.with_user("alice"))
    engine = TransformQueryEngine(asked, HyDEQueryTransform(llm=llm.neutral()))
    assert str(engine.query("Tea?")) == "For alice only."
    assert personal(llm) == [False, True]


def test_the_default_llm_counts_by_its_own_tokens(scripted: Any) -> None:
    Settings.llm = scripted(context_window=2000)
    assert Settings.context_window == 1500
    llm = scripted(context_window=8192, max_tokens=64).with_user("alice")
    llm.use_as_default()
    assert Settings.llm is llm
    assert Settings.context_window == Settings.chat_context_window == llm.metadata.context_window
    assert Settings.num_output == Settings.chat_num_output == 64
    text = "Grüße <|im_end|>"
    # A document's control tokens are read as text; the tokenizer itself takes them for what they
    # would be.
    assert len(Settings.tokenizer(text)) == len(text.encode())
    assert len(tiny_tokenizer().encode(text)) < len(text.encode())
    assert str(index().as_query_engine().query("Tea?")) == "For alice only."
    small = scripted(context_window=3000, max_tokens=32)
    small.use_as_default()
    assert Settings.context_window == Settings.chat_context_window == small.metadata.context_window
    assert Settings.num_output == 32


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize"])
def test_prompts_are_packed_for_the_context_of_the_default_llm(mode: Any, scripted: Any) -> None:
    window, answer = 4096, 64
    llm = scripted(context_window=window, max_tokens=answer)
    llm.use_as_default()
    # Many more tokens to this model than to the one whose tokenizer LlamaIndex has.
    nodes = [TextNode(text="Übermäßig " * 90) for _ in range(12)]
    engine = VectorStoreIndex(nodes=nodes).as_query_engine(
        llm=llm.with_user("alice"), similarity_top_k=12, response_mode=mode
    )
    assert "For alice only." in str(engine.query("Tea?"))
    lengths = [len(call.prompt_ids_a) for call in llm.engine.calls]
    assert len(lengths) > 1
    assert max(lengths) + answer <= window
