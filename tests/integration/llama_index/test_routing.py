"""Taste is left out of the steps that it does harm to, and is in what users read."""

import asyncio
import importlib
import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import KeywordTableIndex, SummaryIndex, VectorStoreIndex
from llama_index.core.chat_engine import CondenseQuestionChatEngine
from llama_index.core.evaluation import (
    BatchEvalRunner,
    CorrectnessEvaluator,
    FaithfulnessEvaluator,
    GuidelineEvaluator,
    PairwiseComparisonEvaluator,
    RelevancyEvaluator,
)
from llama_index.core.extractors import KeywordExtractor, SummaryExtractor, TitleExtractor
from llama_index.core.indices.query.query_transform import (
    DecomposeQueryTransform,
    HyDEQueryTransform,
    StepDecomposeQueryTransform,
)
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer
from llama_index.core.node_parser import MarkdownElementNodeParser
from llama_index.core.postprocessor import LLMRerank, StructuredLLMRerank
from llama_index.core.postprocessor.rankGPT_rerank import RankGPTRerank
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import SubQuestionQueryEngine, TransformQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import Document, NodeWithScore, QueryBundle, TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool, ToolMetadata

from llama_index_persona_judge import PersonaJudgeLLM, routing
from persona_judge_llm.scope import use_user

NODES = [TextNode(text="Tea is brewed."), TextNode(text="Rain falls.")]
QUESTION = QueryBundle("Tea?")
CHOICES = [ToolMetadata("Tea", "tea"), ToolMetadata("Rain", "rain")]
TABLE = "| tea | rain |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n"


def passages() -> list[NodeWithScore]:
    return [NodeWithScore(node=node, score=1.0) for node in NODES]


def index() -> VectorStoreIndex:
    return VectorStoreIndex(nodes=NODES)


def memory() -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(token_limit=10_000)


def summary_memory(llm: PersonaJudgeLLM) -> None:
    buffer = ChatSummaryMemoryBuffer.from_defaults(llm=llm, token_limit=100)
    said = [("user", "x " * 200), ("assistant", "y " * 200), ("user", "z")]
    buffer.put_messages([ChatMessage(role=role, content=text) for role, text in said])
    buffer.get()


def fusion(llm: PersonaJudgeLLM) -> Any:
    return QueryFusionRetriever(
        [index().as_retriever()], llm=llm, num_queries=2, use_async=False
    ).retrieve("Tea?")


QUESTIONS = '```json\n{"items": [{"sub_question": "q", "tool_name": "t"}]}\n```'
STEPS: dict[str, tuple[str, Callable[[PersonaJudgeLLM], Any]]] = {
    "LLMRerank": (
        "Doc: 1, Relevance: 9\n",
        lambda llm: LLMRerank(llm=llm).postprocess_nodes(passages(), query_bundle=QUESTION),
    ),
    "RankGPTRerank": (
        "[1] > [2]",
        lambda llm: RankGPTRerank(llm=llm).postprocess_nodes(passages(), query_bundle=QUESTION),
    ),
    "LLMSingleSelector": (
        '[{"choice": 1, "reason": "tea"}]',
        lambda llm: LLMSingleSelector.from_defaults(llm=llm).select(CHOICES, "Tea?"),
    ),
    "FaithfulnessEvaluator": (
        "YES",
        lambda llm: FaithfulnessEvaluator(llm=llm).evaluate(response="a", contexts=["a"]),
    ),
    "RelevancyEvaluator": (
        "YES",
        lambda llm: RelevancyEvaluator(llm=llm).evaluate("q", response="a", contexts=["a"]),
    ),
    "CorrectnessEvaluator": (
        "4.0\nok",
        lambda llm: CorrectnessEvaluator(llm=llm).evaluate("q", response="a", reference="a"),
    ),
    "GuidelineEvaluator": (
        '{"passing": true, "feedback": "x"}',
        lambda llm: GuidelineEvaluator(llm=llm).evaluate("q", response="a", contexts=["a"]),
    ),
    "PairwiseComparisonEvaluator": (
        "[[A]]",
        lambda llm: PairwiseComparisonEvaluator(llm=llm).evaluate(
            "q", response="a", second_response="b"
        ),
    ),
    "HyDEQueryTransform": ("a", lambda llm: HyDEQueryTransform(llm=llm).run("q")),
    "DecomposeQueryTransform": (
        "a",
        lambda llm: DecomposeQueryTransform(llm=llm).run("q", metadata={"index_summary": "x"}),
    ),
    "StepDecomposeQueryTransform": (
        "a",
        lambda llm: StepDecomposeQueryTransform(llm=llm).run("q", metadata={"index_summary": "x"}),
    ),
    "QueryFusionRetriever": ("a", fusion),
    "LLMQuestionGenerator": (
        QUESTIONS,
        lambda llm: LLMQuestionGenerator.from_defaults(llm=llm).generate(CHOICES, QUESTION),
    ),
    "KeywordExtractor": (
        "a, b",
        lambda llm: KeywordExtractor(llm=llm, num_workers=1).extract(NODES),
    ),
    "TitleExtractor": ("a", lambda llm: TitleExtractor(llm=llm, num_workers=1).extract(NODES)),
    "SummaryExtractor": ("a", lambda llm: SummaryExtractor(llm=llm, num_workers=1).extract(NODES)),
    "ChatSummaryMemoryBuffer": ("a", summary_memory),
    "SummaryIndexLLMRetriever": (
        "Doc: 1, Relevance: 9\n",
        lambda llm: SummaryIndex(NODES).as_retriever(retriever_mode="llm", llm=llm).retrieve("q"),
    ),
    "KeywordTableIndex": ("KEYWORDS: tea, rain", lambda llm: KeywordTableIndex(NODES, llm=llm)),
}


def personal(llm: PersonaJudgeLLM) -> list[bool]:
    """Return of each call whether it was made in alice's taste, and forget the calls."""
    calls = llm.engine.calls  # type: ignore[attr-defined]
    found = ["Write for alice" in call.prompt_a for call in calls]
    calls.clear()
    return found


@pytest.mark.usefixtures("own_loop")
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("way", ["bound", "scope", "asked for"])
def test_steps_are_neutral_unless_asked_for(name: str, way: str, scripted: Any) -> None:
    answer, work = STEPS[name]
    llm = scripted(lambda _: answer, personal_steps=way == "asked for")
    if way == "scope":
        with use_user("alice"):
            work(llm)
    else:
        work(llm.with_user("alice"))
    found = personal(llm)
    assert found
    assert set(found) == {way == "asked for"}


def test_structured_steps_are_neutral_too(scripted: Any) -> None:
    call = {"name": "DocumentRelevanceList", "arguments": {"documents": []}}
    llm = scripted(lambda _: f"<tool_call>\n{json.dumps(call)}\n</tool_call>")
    StructuredLLMRerank(llm=llm.with_user("alice")).postprocess_nodes(
        passages(), query_bundle=QUESTION
    )
    assert personal(llm) == [False]


@pytest.mark.usefixtures("own_loop")
def test_so_are_query_engines_that_a_step_runs_for_itself(scripted: Any) -> None:
    llm = scripted(lambda _: '{"summary": "x", "table_title": "t", "table_id": "i", "columns": []}')
    parser = MarkdownElementNodeParser(llm=llm.with_user("alice"), num_workers=1)
    parser.get_nodes_from_documents([Document(text=TABLE)])
    assert personal(llm) == [False]


async def test_coroutines_know_the_step_that_made_them(llm: PersonaJudgeLLM) -> None:
    found = await FaithfulnessEvaluator(llm=llm.with_user("alice")).aevaluate(
        response="a", contexts=["a"]
    )
    assert found.response == "a"
    reranker = LLMRerank(llm=llm.with_user("alice"))
    await reranker.apostprocess_nodes(passages(), query_bundle=QUESTION)
    assert personal(llm) == [False, False]


CHATS = ("condense_question", "condense_plus_context", "best")


@pytest.mark.parametrize("mode", CHATS)
@pytest.mark.parametrize("how", ["chat", "stream_chat", "achat", "astream_chat"])
@pytest.mark.parametrize("asked_for", [False, True])
async def test_questions_are_condensed_neutrally_and_answered_personally(
    mode: Any, how: str, *, asked_for: bool, scripted: Any
) -> None:
    llm = scripted(personal_steps=asked_for).with_user("alice")
    engine = index().as_chat_engine(chat_mode=mode, llm=llm, memory=memory())
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
    # The first question has nothing to be condensed with.
    assert personal(llm) == [True, asked_for, True]


def test_a_user_of_the_copy_that_condenses_is_left_out_too(llm: PersonaJudgeLLM) -> None:
    engine = CondenseQuestionChatEngine.from_defaults(
        query_engine=index().as_query_engine(llm=llm.with_user("alice")),
        llm=llm.with_user("bob"),
        memory=memory(),
    )
    assert [engine.chat(q).response for q in ("Tea?", "Rain?")] == ["For alice only."] * 2
    calls = llm.engine.calls  # type: ignore[attr-defined]
    assert not [call for call in calls if "Write for bob" in call.prompt_a]


MODES = ("compact", "refine", "tree_summarize", "accumulate", "simple_summarize", "generation")


@pytest.mark.parametrize("mode", MODES)
def test_synthesis_is_personal_also_by_a_template_of_ones_own(
    mode: Any, llm: PersonaJudgeLLM
) -> None:
    template = PromptTemplate("Say of {query_str}: {context_str}")
    own = {"text_qa_template": template, "summary_template": template}
    alice = llm.with_user("alice")
    for templates in ({}, own):
        engine = index().as_query_engine(llm=alice, response_mode=mode, **templates)
        assert "For alice only." in str(engine.query("Tea?"))
    assert set(personal(llm)) == {True}


def test_engines_that_rewrite_questions_answer_them_personally(scripted: Any) -> None:
    llm = scripted(lambda prompt: QUESTIONS if "sub_question" in prompt else "a")
    alice = llm.with_user("alice")
    asked = index().as_query_engine(llm=alice)
    TransformQueryEngine(asked, HyDEQueryTransform(llm=alice)).query("Tea?")
    assert personal(llm) == [False, True]
    SubQuestionQueryEngine.from_defaults(
        [QueryEngineTool.from_defaults(asked, name="t", description="d")],
        question_gen=LLMQuestionGenerator.from_defaults(llm=alice),
        llm=alice,
        use_async=False,
        verbose=False,
    ).query("Tea?")
    assert personal(llm) == [False, True, True]


@pytest.mark.filterwarnings("ignore:asyncio_module:DeprecationWarning")  # LlamaIndex's own use
async def test_answers_that_are_graded_are_the_users_own(llm: PersonaJudgeLLM) -> None:
    alice = llm.with_user("alice")
    runner = BatchEvalRunner({"relevancy": RelevancyEvaluator(llm=alice)}, workers=1)
    await runner.aevaluate_queries(index().as_query_engine(llm=alice), queries=["Tea?"])
    assert personal(llm) == [True, False]


def test_a_call_in_a_step_that_names_its_user_is_personal(llm: PersonaJudgeLLM) -> None:
    bob = llm.with_user("bob")

    class Chooser(BaseNodePostprocessor):
        def _postprocess_nodes(self, nodes: Any, query_bundle: Any = None) -> Any:
            bob.complete("hi")
            bob.complete("hi", user_id="alice")
            bob.predict(PromptTemplate("hi"), preferences=["Write for alice"])
            return nodes

    Chooser().postprocess_nodes(passages(), query_bundle=QUESTION)
    assert personal(llm) == [False, True, True]


def test_a_neutral_step_needs_no_user(scripted: Any) -> None:
    llm = scripted(require_user=True)
    HyDEQueryTransform(llm=llm).run("Tea?")
    assert personal(llm) == [False]


def functions_of(module: Any) -> set[str]:
    """Return the names of what a module and its classes define."""
    owners = [module, *(c for _, c in inspect.getmembers(module, inspect.isclass))]
    return {name for owner in owners for name in vars(owner)}


def test_what_the_tables_name_is_there() -> None:
    core = "llama_index.core."
    for name in (*routing.NEUTRAL_WITHIN, *routing.NEUTRAL, *routing.PERSONAL):
        importlib.import_module(core + name)
    for name, functions in (*routing.NEUTRAL_FUNCTIONS.items(), routing.WRITERS):
        assert functions_of(importlib.import_module(core + name)).issuperset(functions)
    name, functions = routing.LAZY
    refine = importlib.import_module(core + name).DefaultRefineProgram
    assert [refine.stream_call.__name__, "gen"] == list(functions)
    assert "async def gen(" in inspect.getsource(refine.astream_call)


def test_settings_of_steps_travel(llm: PersonaJudgeLLM) -> None:
    llm.personal_steps = True
    assert PersonaJudgeLLM.from_dict(llm.to_dict(), engine=llm.engine).personal_steps
    assert asyncio.run(llm.with_user("alice").acomplete("hi")).text == "For alice only."
