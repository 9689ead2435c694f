"""Which step of LlamaIndex a call is part of, told from the frames that it is made from.

LlamaIndex tells an LLM nothing of why it is asked, and gives one LLM to all of its steps. Most of
them need the plain model: taste does harm where questions are rewritten, passages ranked, choices
made, answers graded, keywords or queries written. Who reads the answer is the only one whose taste
counts, and that is what response synthesizers, chat engines and agents write for.
"""

import inspect
from collections.abc import Iterator
from functools import lru_cache
from types import FrameType
from typing import Final, Literal, TypeAlias

Step: TypeAlias = Literal["neutral within", "neutral", "personal"]

_CORE: Final = "llama_index.core."
_CONDENSE: Final = ("_condense_question", "_acondense_question")

NEUTRAL_WITHIN: Final = ("evaluation", "node_parser", "extractors", "indices.document_summary.base")
"""Everything below these is theirs: they run whole query engines for what nobody reads."""
NEUTRAL: Final = (
    "base.base_retriever",
    "indices.common.struct_store",
    "indices.common_tree",
    "indices.document_summary.retrievers",
    "indices.keyword_table",
    "indices.knowledge_graph",
    "indices.list.retrievers",
    "indices.property_graph",
    "indices.query.query_transform",
    "indices.struct_store",
    "indices.tree",
    "indices.vector_store.retrievers",
    "memory",
    "postprocessor",
    "question_gen",
    "retrievers",
    "selectors",
)
NEUTRAL_FUNCTIONS: Final = {
    "chat_engine.condense_plus_context": _CONDENSE,
    "chat_engine.condense_question": _CONDENSE,
    "chat_engine.multi_modal_condense_plus_context": _CONDENSE,
    "query_engine.knowledge_graph_query_engine": ("generate_query", "agenerate_query"),
    "query_engine.sql_join_query_engine": ("_run",),
}
PERSONAL: Final = (
    "agent",
    "chat_engine",
    # These run the query engines whose answers are graded, as their users would get them.
    "evaluation.batch_runner",
    "evaluation.benchmarks",
    "evaluation.eval_utils",
    "query_engine",
    "response_synthesizers",
)
LAZY: Final = ("response_synthesizers.refine", ("stream_call", "gen"))
"""Functions whose body runs when a streamed answer is read, not when it is asked for."""
WRITERS: Final = ("chat_engine.types", ("write_response_to_history", "awrite_response_to_history"))
"""Functions that read such an answer in the scope it was asked for in, which they carry along."""


def in_neutral_step() -> bool:
    """Tell whether the call being made is a step of LlamaIndex's that taste does harm to.

    The nearest frame that is known decides, except below `NEUTRAL_WITHIN`; an unknown caller
    gets the user's taste.
    """
    nearest: Step | None = None
    for module, function in _callers():
        step = _step(module, function)
        if step == "neutral within":
            return True
        nearest = nearest or step
    return nearest == "neutral"


def read_lazily() -> bool:
    """Tell whether the call is made by who reads a streamed answer, in whatever scope that is in.

    Call this from a public method of the LLM.
    """
    callers = _callers()
    if not _is_one_of(LAZY, *next(callers, ("", ""))):
        return False
    return not any(_is_one_of(WRITERS, *caller) for caller in callers)


def called_by_core() -> bool:
    """Tell whether LlamaIndex itself made the call of a public method of the LLM."""
    module, _ = next(_callers(), ("", ""))
    return module.startswith(_CORE)


def _callers() -> Iterator[tuple[str, str]]:
    """Yield module and function of the frames outside of this package, nearest first."""
    frame: FrameType | None = inspect.currentframe()
    inside = True
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        inside = inside and module.startswith(f"{__package__}.")
        if not inside:
            yield module, frame.f_code.co_name
        frame = frame.f_back


@lru_cache(maxsize=4096)
def _step(module: str, function: str) -> Step | None:
    if not module.startswith(_CORE):
        return None
    name = module.removeprefix(_CORE)
    if function in NEUTRAL_FUNCTIONS.get(name, ()):
        return "neutral"
    if _is_below(name, PERSONAL):
        return "personal"
    if _is_below(name, NEUTRAL_WITHIN):
        return "neutral within"
    return "neutral" if _is_below(name, NEUTRAL) else None


def _is_below(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _is_one_of(functions: tuple[str, tuple[str, ...]], module: str, function: str) -> bool:
    name, names = functions
    return module == _CORE + name and function in names
