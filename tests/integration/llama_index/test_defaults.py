"""The plain model where taste does harm, and the LLM that LlamaIndex uses by default."""

from typing import Any

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.chat_engine import CondensePlusContextChatEngine, CondenseQuestionChatEngine
from llama_index.core.evaluation import FaithfulnessEvaluator
from llama_index.core.extractors import SummaryExtractor
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.postprocessor import LLMRerank
from llama_index.core.query_engine import TransformQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
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


def test_rerankers_selectors_rewriting_and_grading_can_be_neutral(scripted: Any) -> None:
    llm = scripted(lambda _: "Doc: 1, Relevance: 9\n")
    plain = llm.neutral()
    passages = [NodeWithScore(node=node, score=1.0) for node in NODES]
    choices = [ToolMetadata("Tea", "tea"), ToolMetadata("Rain", "rain")]

    def work(helper: PersonaJudgeLLM) -> list[bool]:
        with use_user("alice"):
            LLMRerank(llm=helper).postprocess_nodes(passages, query_bundle=QueryBundle("Tea?"))
            HyDEQueryTransform(llm=helper).run("Tea?")
            FaithfulnessEvaluator(llm=helper).evaluate(response="Tea.", contexts=["Tea."])
            SummaryExtractor(llm=helper, num_workers=1).extract(NODES[:1])
        return personal(llm)

    assert work(plain) == [False] * 4
    assert work(llm) == [True] * 4
    chooser = scripted(lambda _: '[{"choice": 1, "reason": "tea"}]')
    with use_user("alice"):
        chosen = LLMSingleSelector.from_defaults(llm=chooser.neutral()).select(choices, "Tea?")
    assert chosen.ind == 0
    assert personal(chooser) == [False]


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


@pytest.mark.parametrize("awaited", [False, True])
async def test_questions_are_condensed_neutrally_and_answered_personally(
    *, awaited: bool, llm: PersonaJudgeLLM
) -> None:
    engine = CondenseQuestionChatEngine.from_defaults(
        query_engine=index().as_query_engine(llm=llm.with_user("alice")),
        llm=llm.neutral(),
        memory=memory(),
    )
    for question in ("Tea?", "And rain?"):
        answer = (await engine.achat(question)) if awaited else engine.chat(question)
        assert answer.response == "For alice only."
    # The first question has nothing to be condensed with.
    assert personal(llm)[-3:] == [True, False, True]


@pytest.mark.parametrize("neutral", [False, True])
@pytest.mark.parametrize("how", ["chat", "stream_chat", "achat", "astream_chat"])
async def test_so_are_they_by_the_engine_with_one_llm_for_both_steps(
    how: str, *, neutral: bool, scripted: Any
) -> None:
    llm = scripted(neutral_completions=neutral).with_user("alice")
    engine = CondensePlusContextChatEngine.from_defaults(
        retriever=index().as_retriever(), llm=llm, memory=memory()
    )
    for question in ("Tea?", "And rain?"):
        answer = getattr(engine, how)(question)
        if how.startswith("a"):
            answer = await answer
        if how == "stream_chat":
            said = "".join(answer.response_gen)
        elif how == "astream_chat":
            said = "".join([piece async for piece in answer.async_response_gen()])
        else:
            said = answer.response
        assert said == "For alice only."
    assert personal(llm) == [True, not neutral, True]


def test_completions_that_are_neutral_still_take_a_user_of_their_own(scripted: Any) -> None:
    llm = scripted(neutral_completions=True).with_user("bob")
    assert llm.complete("hi").text == "For nobody only."
    assert llm.complete("hi", user_id="alice").text == "For alice only."
    assert PersonaJudgeLLM.from_dict(llm.to_dict(), engine=llm.engine).neutral_completions


def test_the_default_llm_counts_by_its_own_tokens(scripted: Any) -> None:
    Settings.llm = scripted(context_window=2000)
    assert Settings.context_window == 1500
    llm = scripted(context_window=8192, max_tokens=64).with_user("alice")
    llm.use_as_default()
    assert Settings.llm is llm
    assert Settings.context_window == Settings.chat_context_window == llm.metadata.context_window
    assert Settings.num_output == Settings.chat_num_output == 64
    assert len(Settings.tokenizer("Grüße <|im_end|>")) == len(
        tiny_tokenizer().encode("Grüße <|im_end|>")
    )
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
