"""`with_structured_output`: whatever the weights, what comes back fits the schema.

Nothing here is scripted: a real engine on random weights writes letter by letter, and what makes
the answers fit is the constraint alone.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ConfigDict
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

from langchain_persona_judge import ChatPersonaJudge
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.scope import use_user
from tests.integration.langchain.conftest import ALICE, BOB

METHODS: list[Any] = ["json_schema", "function_calling", "json_mode"]
ROOM = {"json_schema": 55, "function_calling": 90, "json_mode": 55}
"""Tokens for a recipe with a name of some letters."""
Kind = Literal["soup", "cake", "salad"]


class Recipe(BaseModel):
    """A dish."""

    name: str
    size: int
    kind: Kind


class RecipeV1(BaseModelV1):
    """A dish."""

    name: str
    size: int
    kind: Kind


class RecipeDict(TypedDict):
    """A dish."""

    name: Annotated[str, ..., "what it is called"]
    size: Annotated[int, ..., "how large it is"]
    kind: Annotated[Kind, ..., "what it is"]


SCHEMA = {
    "title": "plate",
    "description": "A dish.",
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "size": {"type": "integer"},
        "kind": {"enum": ["soup", "cake", "salad"]},
    },
    "required": ["name", "size", "kind"],
}
FUNCTION = {
    "name": "dish",
    "description": "A dish.",
    "parameters": {k: SCHEMA[k] for k in ("type", "properties", "required")},
}
SMALL = {
    "title": "code",
    "type": "object",
    "properties": {"code": {"type": "string", "maxLength": 8}},
    "required": ["code"],
}
KINDS: dict[str, Any] = {
    "pydantic": Recipe,
    "pydantic v1": RecipeV1,
    "TypedDict": RecipeDict,
    "JSON Schema": SCHEMA,
    "OpenAI function": FUNCTION,
    "OpenAI tool": {"type": "function", "function": FUNCTION},
}
each_kind = pytest.mark.parametrize("schema", KINDS.values(), ids=list(KINDS))
each_method = pytest.mark.parametrize("method", METHODS)


class Strict(Recipe):
    """What any of the schemas asks for, to check by; takes nothing else and converts nothing."""

    model_config = ConfigDict(strict=True, extra="forbid")


def check(found: Any, schema: Any) -> dict[str, Any]:
    """Check that it is a whole recipe, of the class where there is one; return its fields."""
    if isinstance(schema, type) and issubclass(schema, BaseModel | BaseModelV1):
        assert type(found) is schema
        found = found.model_dump() if isinstance(found, BaseModel) else found.dict()
    assert type(found) is dict
    return Strict.model_validate(found).model_dump()


@each_kind
@each_method
def test_answers_fit_the_schema_on_any_weights(
    writing: ChatPersonaJudge, schema: Any, method: Any
) -> None:
    structured = writing.with_structured_output(schema, method=method)
    found = [structured.invoke("x", user_id=ALICE), structured.invoke("x", user_id=BOB, seed=2)]
    assert check(found[0], schema) != check(found[1], schema)
    check(structured.invoke("x"), schema)


@each_kind
@each_method
def test_strict_is_taken_and_the_raw_message_stands_beside_what_was_read(
    writing: ChatPersonaJudge, schema: Any, method: Any
) -> None:
    chat = writing.with_user(ALICE)
    found = chat.with_structured_output(
        schema, method=method, include_raw=True, strict=True
    ).invoke("x")
    assert set(found) == {"raw", "parsed", "parsing_error"}
    assert found["parsing_error"] is None
    raw = found["raw"]
    assert isinstance(raw, AIMessage)
    fields = check(found["parsed"], schema)
    if method == "function_calling":
        assert [c["args"] for c in raw.tool_calls] == [fields]
        assert raw.text == ""
    else:
        assert json.loads(raw.text) == fields
        assert raw.tool_calls == []
    assert raw.usage_metadata is not None
    assert raw.response_metadata["profile_version"] == 1
    assert raw.response_metadata["acceptance_rate"] is not None, "only one side was asked"


async def _last(pieces: Any) -> Any:
    return [piece async for piece in pieces][-1]


async def _joined(pieces: Any) -> Any:
    found: Any = None
    async for piece in pieces:
        found = piece if found is None else found + piece
    return found


def _sum(pieces: Iterator[Any]) -> Any:
    found = next(pieces)
    for piece in pieces:
        found += piece
    return found


DOORS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda s: s.invoke("x"),
    "ainvoke": lambda s: s.ainvoke("x"),
    "stream": lambda s: list(s.stream("x"))[-1],
    "astream": lambda s: _last(s.astream("x")),
    "batch": lambda s: s.batch(["x"])[0],
    "abatch": lambda s: s.abatch(["x"]),
    "in a chain": lambda s: (ChatPromptTemplate.from_template("{x}") | s).invoke({"x": "x"}),
}


async def through(door: str, structured: Any, doors: dict[str, Any] = DOORS) -> Any:
    found = doors[door](structured)
    found = await found if hasattr(found, "__await__") else found
    return found[0] if isinstance(found, list) else found


@pytest.mark.parametrize(
    ("method", "schema"),
    [
        ("json_schema", Recipe),
        ("json_schema", SCHEMA),
        ("function_calling", Recipe),
        ("function_calling", SCHEMA),
        ("json_mode", SCHEMA),
    ],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
async def test_every_door_gives_the_same(
    writing: ChatPersonaJudge, method: Any, schema: Any, asked: list[PreparedCall]
) -> None:
    chat = ChatPersonaJudge(engine=writing.engine, max_tokens=ROOM[method], seed=1)
    structured = chat.with_user(ALICE).with_structured_output(schema, method=method)
    found = [check(await through(door, structured), schema) for door in DOORS]
    assert all(one == found[0] for one in found), found
    assert [call.user_id for call in asked] == [ALICE] * len(DOORS)


@pytest.mark.parametrize("method", METHODS[:2])
async def test_every_door_gives_the_raw_message_too(
    writing: ChatPersonaJudge, method: Any, asked: list[PreparedCall]
) -> None:
    chat = ChatPersonaJudge(engine=writing.engine, max_tokens=ROOM[method], seed=1)
    structured = chat.with_user(ALICE).with_structured_output(
        Recipe, method=method, include_raw=True
    )
    doors = {
        **DOORS,
        "stream": lambda s: _sum(s.stream("x")),
        "astream": lambda s: _joined(s.astream("x")),
    }
    fields = []
    for door in doors:
        found = await through(door, structured, doors)
        fields.append(check(found["parsed"], Recipe))
        assert found["parsing_error"] is None
        assert found["raw"].usage_metadata is not None
    assert all(one == fields[0] for one in fields)
    assert [call.user_id for call in asked] == [ALICE] * len(DOORS)


@each_method
async def test_a_batch_holds_each_user_to_the_schema(
    writing: ChatPersonaJudge, method: Any, asked: list[PreparedCall]
) -> None:
    structured = writing.with_structured_output(SMALL, method=method)
    users = [ALICE, BOB, ALICE, BOB]
    configs: Any = [{"configurable": {"user_id": u}} for u in users]
    expected = [structured.invoke("x", user_id=u) for u in users[:2]] * 2
    assert all(set(one) == {"code"} for one in expected)
    assert structured.batch(["x"] * 4, configs) == expected
    assert await structured.abatch(["x"] * 4, configs) == expected
    with use_user(BOB):
        assert structured.invoke("x") == expected[1]
    assert sorted(call.user_id or "" for call in asked) == [ALICE] * 5 + [BOB] * 6


@each_method
@pytest.mark.parametrize("include_raw", [False, True])
async def test_the_user_may_be_named_in_the_call(
    writing: ChatPersonaJudge, method: Any, include_raw: bool, asked: list[PreparedCall]
) -> None:
    structured = writing.with_structured_output(SMALL, method=method, include_raw=include_raw)
    structured.invoke("x", user_id=ALICE)
    await structured.ainvoke("x", user_id=ALICE)
    list(structured.stream("x", user_id=ALICE))
    structured.batch(["x"], user_id=ALICE)
    assert [call.user_id for call in asked] == [ALICE] * 4


def test_pieces_grow_into_the_whole(writing: ChatPersonaJudge) -> None:
    pieces = list(writing.with_structured_output(SCHEMA).stream("x", user_id=ALICE))
    assert len(pieces) > 3
    for before, after in pairwise(pieces):
        assert list(before) == list(after)[: len(before)]
        assert after.get("name", "").startswith(before.get("name", ""))
    check(pieces[-1], SCHEMA)


def _streams(runnable: Any, door: str, **kwargs: Any) -> list[Any]:
    async def read() -> list[Any]:
        return [piece async for piece in runnable.astream("x", **kwargs)]

    return list(runnable.stream("x", **kwargs)) if door == "stream" else asyncio.run(read())


CUT = {"json_schema": '"size', "function_calling": '"size', "json_mode": '"size'}


@pytest.mark.parametrize("door", ["stream", "astream"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", [Recipe, RecipeDict, SCHEMA], ids=["class", "dict", "schema"])
def test_a_stream_that_was_cut_off_is_no_answer(
    schema: Any, method: Any, door: str, writing: ChatPersonaJudge
) -> None:
    """A stop string ends the text in the middle; LangChain would complete what there is."""
    stop = [CUT[method]]
    runnable = writing.with_structured_output(schema, method=method, stop=stop)
    with pytest.raises(OutputParserException):
        runnable.invoke("x", user_id=ALICE)
    with pytest.raises(OutputParserException):
        _streams(runnable, door, user_id=ALICE)
    raw = writing.with_structured_output(schema, method=method, stop=stop, include_raw=True)
    whole = raw.invoke("x", user_id=ALICE)
    pieces = _streams(raw, door, user_id=ALICE)
    added = sum(pieces[1:], pieces[0])
    for found in (whole, added):
        assert isinstance(found["parsing_error"], OutputParserException)
        assert found["parsed"] is None
        assert found["raw"].response_metadata["stop_sequence"] == CUT[method]
