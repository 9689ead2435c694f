"""Objects of a class from any weights and any template: whose they are, what observers learn."""

import asyncio
import datetime
import enum
from collections.abc import Callable
from typing import Any, Literal

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from llama_index_persona_judge import PersonaJudgeLLM, StructuredAnswerError
from llama_index_persona_judge.objects import Objects
from persona_judge_llm.errors import (
    InvalidParameterError,
    PersonaJudgeError,
    UnknownUserError,
)
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.scope import no_persona, use_user
from persona_judge_llm.testing import tiny_tokenizer
from tests.integration.llama_index.conftest import RecordingEngine, wide_model
from tests.integration.llama_index.observers import watched

ALICE, BRIEF, VIVID = "alice-sentinel-03be", "be brief, sentinel-71c2", "be vivid, sentinel-90ad"
WITHOUT_TOOLS = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
PROMPT = PromptTemplate("How much is {sum}?")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str
    share: float


class Sum(BaseModel):
    """A sum."""

    total: int


class Report(BaseModel):
    """A report with everything in it."""

    pages: int = Field(ge=1, le=9)
    colour: Colour
    day: datetime.date
    mood: Literal["good", "bad"]
    parts: list[Part]
    note: str | None = None


def calls(llm: PersonaJudgeLLM) -> list[Any]:
    found: list[Any] = llm.engine.calls  # type: ignore[attr-defined]
    return found


@pytest.fixture(scope="module")
def engines() -> dict[bool, RecordingEngine]:
    """Random weights, with a chat template that knows tools and with one that does not."""
    with_tools, without = tiny_tokenizer(), tiny_tokenizer()
    without.chat_template = WITHOUT_TOOLS
    store = InMemoryProfileStore([Profile(ALICE, (Preference(BRIEF), Preference(VIVID)))])
    return {
        knows: RecordingEngine(wide_model(), tokenizer, profiles=store)
        for knows, tokenizer in ((True, with_tools), (False, without))
    }


@pytest.fixture(params=["tools", "in words", "no tools"])
def llm(engines: dict[bool, RecordingEngine], request: pytest.FixtureRequest) -> PersonaJudgeLLM:
    """Asked by a tool, in words, and in words for want of tools."""
    engine = engines[request.param != "no tools"]
    engine.__dict__["calls"] = []
    mode = "llm" if request.param == "in words" else "default"
    return PersonaJudgeLLM(engine=engine, max_tokens=120, pydantic_program_mode=mode)


def predicted(llm: PersonaJudgeLLM, how: str, cls: type[BaseModel] = Sum, **kwargs: Any) -> Any:
    """Ask in one of the four ways; return the object, or those of the stream."""
    method = getattr(llm, how)
    asked = method(cls, PROMPT, llm_kwargs=kwargs or None, sum="20 + 22")
    if not how.startswith("a"):
        return list(asked) if "stream" in how else asked
    return asyncio.run(_awaited(asked))


async def _awaited(asked: Any) -> Any:
    answer = await asked
    return [item async for item in answer] if hasattr(answer, "__aiter__") else answer


HOWS = (
    "structured_predict",
    "astructured_predict",
    "stream_structured_predict",
    "astream_structured_predict",
)


@pytest.mark.parametrize("how", HOWS)
def test_an_object_of_the_class_comes_out_of_any_weights(how: str, llm: PersonaJudgeLLM) -> None:
    for seed in range(2):
        found = predicted(llm, how, seed=seed)
        assert isinstance(found[-1] if "stream" in how else found, Sum)
    assert len(calls(llm)) == 2


def test_so_does_one_of_a_class_with_everything_in_it(llm: PersonaJudgeLLM) -> None:
    for how in HOWS:
        found = predicted(llm, how, Report, seed=1, max_tokens=150)
        assert isinstance(found[-1] if "stream" in how else found, Report)


@pytest.mark.parametrize("how", ["stream_structured_predict", "astream_structured_predict"])
def test_streams_show_an_object_grow(how: str, llm: PersonaJudgeLLM) -> None:
    grown = predicted(llm, how, Part, seed=1, max_tokens=70)
    assert len(grown) > 3
    names = [getattr(item, "name", None) or "" for item in grown]
    assert len(set(names)) > 2
    assert isinstance(grown[-1], Part)
    assert "JSON Schema" in calls(llm)[-1].prompt_a


def test_an_llm_of_objects_answers_in_all_eight_ways(llm: PersonaJudgeLLM) -> None:
    structured = llm.with_user(ALICE).as_structured_llm(Sum)
    messages = [ChatMessage("20 + 22?")]

    async def awaited() -> list[Any]:
        found: list[Any] = [
            await structured.achat(messages),
            await structured.acomplete("20 + 22?"),
        ]
        for stream in (
            await structured.astream_chat(messages),
            await structured.astream_complete("20 + 22?"),
        ):
            found.append([item async for item in stream][-1])  # noqa: PERF401
        return found

    answers: list[Any] = [structured.chat(messages)]
    answers += [structured.complete("20 + 22?")]
    answers += [list(structured.stream_chat(messages))[-1]]
    answers += [list(structured.stream_complete("20 + 22?"))[-1]]
    answers += asyncio.run(awaited())
    for answer in answers:
        text = answer.text if hasattr(answer, "text") else answer.message.content
        assert isinstance(answer.raw, Sum)
        assert Sum.model_validate_json(text) == answer.raw
    assert [call.user_id for call in calls(llm)] == [ALICE] * 8


def test_a_query_engine_answers_with_objects(llm: PersonaJudgeLLM) -> None:
    index = VectorStoreIndex(nodes=[TextNode(text="42.")])
    structured = llm.with_user(ALICE).as_structured_llm(Sum)
    response: Any = index.as_query_engine(llm=structured).query("20 + 22?")
    assert isinstance(response.response, Sum)
    assert BRIEF in calls(llm)[-1].prompt_a


@pytest.mark.parametrize("awaited", [False, True])
def test_a_tool_is_called_whatever_the_template_knows(
    *, awaited: bool, llm: PersonaJudgeLLM
) -> None:
    made: list[int] = []

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        made.append(a + b)
        return made[-1]

    tool = FunctionTool.from_defaults(add)
    for seed in range(2):
        if awaited:
            asked = llm.apredict_and_call([tool], user_msg="20 + 22?", seed=seed, user_id=ALICE)
            answer = asyncio.run(_awaited(asked))
        else:
            answer = llm.predict_and_call([tool], user_msg="20 + 22?", seed=seed, user_id=ALICE)
        assert answer.response == str(made[seed])
        assert answer.sources[0].tool_name == "add"
    assert "Add two numbers." in calls(llm)[-1].prompt_a
    assert BRIEF in calls(llm)[-1].prompt_a


def test_programs_of_llamaindex_are_held_too(engines: dict[bool, RecordingEngine]) -> None:
    llm = PersonaJudgeLLM(engine=engines[True], max_tokens=120)
    by_tool = FunctionCallingProgram.from_defaults(Sum, "{sum}?", llm=llm, tool_choice="Sum")
    for seed in range(3):
        found = by_tool(llm_kwargs={"seed": seed}, sum="1 + 1")
        assert isinstance(found, Sum)
        assert asyncio.run(by_tool.acall(llm_kwargs={"seed": seed}, sum="1 + 1")) == found
        assert list(by_tool.stream_call(llm_kwargs={"seed": seed}, sum="1 + 1"))[-1] == found
    in_words = LLMTextCompletionProgram.from_defaults(
        output_cls=Sum, prompt_template_str="{sum}?", llm=llm
    )
    schema = {"type": "json_schema", "json_schema": {"schema": Sum.model_json_schema()}}
    assert isinstance(in_words(llm_kwargs={"response_format": schema}, sum="1 + 1"), Sum)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("way", ["argument", "bound", "scope", "preferences"])
def test_both_sides_of_the_user_are_seen(how: str, way: str, llm: PersonaJudgeLLM) -> None:
    if way == "argument":
        predicted(llm, how, user_id=ALICE)
    elif way == "bound":
        predicted(llm.with_user(ALICE), how)
    elif way == "scope":
        with use_user(ALICE):
            predicted(llm, how)
    else:
        predicted(llm, how, preferences=[BRIEF, VIVID])
    (call,) = calls(llm)
    assert (BRIEF in call.prompt_a, VIVID in call.prompt_a) == (True, False)
    assert (BRIEF in call.prompt_b, VIVID in call.prompt_b) == (False, True)
    assert call.user_id == (None if way == "preferences" else ALICE)


@pytest.mark.parametrize("how", HOWS[1:])
def test_the_user_is_the_one_of_the_moment_of_the_call(how: str, llm: PersonaJudgeLLM) -> None:
    async def late() -> None:
        with use_user(ALICE):
            asked = getattr(llm, how)(Sum, PROMPT, sum="1 + 1")
        with no_persona():
            answer = await asked if how.startswith("a") else asked
            if how.startswith("astream"):
                assert [item async for item in answer]
            elif "stream" in how:
                assert list(answer)

    asyncio.run(late())
    assert [call.user_id for call in calls(llm)] == [ALICE]


def test_an_argument_counts_more_than_a_copy_or_a_scope(llm: PersonaJudgeLLM) -> None:
    with no_persona():
        predicted(llm, "structured_predict", user_id=ALICE)
        predicted(llm.with_user(ALICE), "structured_predict")
    assert [call.user_id for call in calls(llm)] == [ALICE, None]


def everything(llm: PersonaJudgeLLM, **kwargs: Any) -> list[Callable[[], Any]]:
    """Return every call that holds its answer to a form."""
    tool = FunctionTool.from_defaults(lambda a: a, name="add", fn_schema=Sum)
    structured, messages = llm.as_structured_llm(Sum), [ChatMessage("1 + 1?")]
    return [
        *[lambda how=how: predicted(llm, how, **kwargs) for how in HOWS],
        lambda: structured.chat(messages, **kwargs),
        lambda: structured.complete("1 + 1?", **kwargs),
        lambda: list(structured.stream_chat(messages, **kwargs)),
        lambda: list(structured.stream_complete("1 + 1?", **kwargs)),
        lambda: asyncio.run(_awaited(structured.achat(messages, **kwargs))),
        lambda: asyncio.run(_awaited(structured.astream_complete("1 + 1?", **kwargs))),
        lambda: llm.predict_and_call([tool], user_msg="1 + 1?", **kwargs),
        lambda: asyncio.run(_awaited(llm.apredict_and_call([tool], user_msg="1 + 1?", **kwargs))),
    ]


@pytest.mark.parametrize("way", ["argument", "bound", "preferences"])
@pytest.mark.parametrize("llm", ["tools", "no tools"], indirect=True)
def test_each_is_announced_once_and_tells_nothing_personal(way: str, llm: PersonaJudgeLLM) -> None:
    bound = llm
    kwargs: dict[str, Any] = {}
    if way == "argument":
        kwargs = {"user_id": ALICE}
    elif way == "bound":
        bound = llm.with_user(ALICE)
    else:
        kwargs = {"preferences": [BRIEF, VIVID]}
    for number in range(len(everything(bound))):
        with watched(llm) as seen:
            watching = bound if way != "bound" else llm.with_user(ALICE)
            everything(watching, **kwargs)[number]()
        assert (seen.count("StartEvent"), seen.count("EndEvent")) == (1, 1), number
        assert len(seen.payloads) == 2, number
        assert "PersonaJudgeLLM." in "".join(seen.spans.told), number
        for secret in (ALICE, BRIEF, VIVID):
            assert secret not in seen.everything, number
    assert all(BRIEF in call.prompt_a for call in calls(llm))


class Undecodable(BaseModel):
    model_config = {"json_schema_extra": {"not": {"required": ["x"]}}}

    total: int = 0


@pytest.mark.parametrize("how", HOWS)
def test_a_class_that_cannot_be_decoded_is_refused(how: str, llm: PersonaJudgeLLM) -> None:
    in_words = llm.model_copy(update={"pydantic_program_mode": "llm"})
    with pytest.raises(InvalidParameterError, match="not"):
        predicted(in_words, how, Undecodable)


def test_what_cannot_be_had_is_refused_by_an_error_that_nobody_swallows(
    llm: PersonaJudgeLLM,
) -> None:
    for reason, error in (({"max_tokens": 5}, InvalidParameterError), ({"user_id": "?"}, None)):
        for call in everything(llm, **reason):
            with pytest.raises(error or UnknownUserError) as caught:
                call()
            assert not isinstance(caught.value, ValueError | TypeError)
    index = VectorStoreIndex(nodes=[TextNode(text="42.")])
    structured = llm.as_structured_llm(Sum)
    structured.llm.max_tokens = 5  # type: ignore[attr-defined]
    with pytest.raises(InvalidParameterError, match="max_new_tokens"):
        index.as_query_engine(llm=structured).query("20 + 22?")


def test_the_prompt_is_left_as_it_was(llm: PersonaJudgeLLM) -> None:
    for how in HOWS:
        predicted(llm, how)
    assert PROMPT.output_parser is None


class Age(BaseModel):
    """An age that no answer has."""

    years: int

    @field_validator("years")
    @classmethod
    def never(cls, years: int) -> int:
        raise ValueError("not an age that I believe")


class Tree(BaseModel):
    name: str = Field(max_length=5)
    branches: list["Tree"] = Field(max_length=1)


class Names(RootModel[list[int]]):
    """Whole numbers."""


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    day: datetime.date
    colour: Colour


@pytest.mark.parametrize("how", HOWS)
def test_what_a_class_refuses_is_an_error_and_never_an_object(
    how: str, llm: PersonaJudgeLLM
) -> None:
    with pytest.raises(StructuredAnswerError, match=r"Age.*years.*believe") as caught:
        predicted(llm, how, Age, seed=1)
    assert isinstance(caught.value, PersonaJudgeError)
    answer = calls(llm)[-1]
    assert answer is not None
    assert caught.value.__cause__ is None
    assert "input_value" not in str(caught.value)


def test_an_error_names_fields_and_no_key_that_the_answer_made_up() -> None:
    class Ages(BaseModel):
        of: dict[str, Age]

    with pytest.raises(StructuredAnswerError) as caught:
        Objects(Ages).of_text('{"of": {"secret friend": {"years": 3}}}')
    assert "of.....years" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_it_comes_out_of_query_engines_too(llm: PersonaJudgeLLM) -> None:
    index = VectorStoreIndex(nodes=[TextNode(text="42.")])
    for mode in ("compact", "refine", "tree_summarize"):
        for settings in ({"llm": llm, "output_cls": Age}, {"llm": llm.as_structured_llm(Age)}):
            engine = index.as_query_engine(response_mode=mode, **settings)
            with pytest.raises(StructuredAnswerError):
                engine.query("How old?")
            with pytest.raises(StructuredAnswerError):
                asyncio.run(engine.aquery("How old?"))
    answered = index.as_query_engine(llm=llm, output_cls=Sum).query("How many?")
    assert isinstance(answered.response, Sum)  # type: ignore[union-attr]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("cls", [Tree, Names, Strict, RootModel[Part], RootModel[dict[str, int]]])
def test_so_do_classes_without_fields_of_their_own(
    cls: type[BaseModel], how: str, llm: PersonaJudgeLLM
) -> None:
    found = predicted(llm, how, cls, seed=1, max_tokens=200)
    assert type(found[-1] if "stream" in how else found) is cls
    if how == "stream_structured_predict":
        # What grows is not yet of the class, and is never shown as if it were.
        assert not [item for item in found[:-1] if isinstance(item, cls)]


def test_a_recursive_class_is_asked_for_with_its_schema(llm: PersonaJudgeLLM) -> None:
    predicted(llm, "structured_predict", Tree, seed=1, max_tokens=200)
    assert '"branches"' in calls(llm)[-1].prompt_a


def test_a_class_with_fields_is_asked_for_by_a_tool(engines: dict[bool, RecordingEngine]) -> None:
    llm = PersonaJudgeLLM(engine=engines[True], max_tokens=120, system_prompt="Be exact.")
    for how in HOWS[:2]:
        predicted(llm, how)
        call = calls(llm)[-1]
        assert [tool["function"]["name"] for tool in call.request.tools] == ["Sum"]
        assert "Be exact." in call.prompt_a
