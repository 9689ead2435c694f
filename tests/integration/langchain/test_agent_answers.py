"""What agents answer: responses of a schema, and what they found out with a tool."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_persona_judge import ChatPersonaJudge, PersonaMiddleware
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.planning import PreparedCall
from tests.integration.langchain.conftest import ALICE, BOB, watched
from tests.integration.langchain.test_agents import Context, Settings, agent_on, question


class Dish(BaseModel):
    """A dish."""

    name: str
    kind: Literal["soup", "cake"]


@dataclass
class DishData:
    """A dish."""

    name: str
    kind: Literal["soup", "cake"]


class DishDict(TypedDict):
    """A dish."""

    name: str
    kind: Literal["soup", "cake"]


@pytest.mark.parametrize("schema", [Dish, DishData, DishDict])
@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy, None])
async def test_a_structured_response_fits_on_any_weights(
    writing: ChatPersonaJudge, strategy: Any, schema: Any, asked: list[PreparedCall]
) -> None:
    agent = agent_on(
        writing,
        response_format=strategy(schema) if strategy else schema,
        middleware=[Settings(parallel_tool_calls=False), PersonaMiddleware()],
    )
    for state in (
        agent.invoke(question(), context=Context(ALICE)),
        await agent.ainvoke(question(), context=Context(BOB)),
    ):
        found = state["structured_response"]
        fields = found if isinstance(found, dict) else vars(found)
        assert schema is DishDict or type(found) is schema
        assert set(fields) == {"name", "kind"}
        assert isinstance(fields["name"], str)
        assert fields["kind"] in ("soup", "cake")
        (answer,) = [m for m in state["messages"] if isinstance(m, AIMessage)]
        assert len(answer.tool_calls) == (strategy is ToolStrategy)
    assert [call.user_id for call in asked] == [ALICE, BOB]


@pytest.mark.parametrize("user", [ALICE, BOB])
def test_the_bundled_model_calls_a_tool_and_answers(
    bundled: PersonaJudge, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[str] = []

    @tool
    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        places.append(city)
        return "sunny, 21 degrees"

    chat = ChatPersonaJudge(engine=bundled, temperature=0, max_tokens=80)
    calls = watched(bundled, monkeypatch)
    state = agent_on(chat, [get_weather]).invoke(
        question("What is the weather in Paris?"), context=Context(user)
    )
    _, called, result, answer = state["messages"]
    assert places == ["Paris"]
    assert [(c["name"], c["args"]) for c in called.tool_calls] == [
        ("get_weather", {"city": "Paris"})
    ]
    assert isinstance(result, ToolMessage)
    assert result.text == "sunny, 21 degrees"
    assert answer.text
    assert answer.tool_calls == []
    assert [call.user_id for call in calls] == [user, user]
    assert "sunny, 21 degrees" in calls[1].prompt_a
