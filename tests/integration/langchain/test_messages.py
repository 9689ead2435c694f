from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_persona_judge import ChatPersonaJudge
from langchain_persona_judge.messages import to_chat
from persona_judge_llm.errors import InvalidPromptError


def test_each_kind_of_message_has_its_role() -> None:
    call: Any = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
    found = to_chat(
        [
            SystemMessage("Be kind."),
            HumanMessage("Add.", name="ann"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("2", tool_call_id="c1"),
            FunctionMessage(name="f", content="3"),
            ChatMessage(role="human", content="So?"),
            ChatMessage(role="developer", content="Be brief."),
        ]
    )
    assert found == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Add.", "name": "ann"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "type": "function",
                    "id": "c1",
                    "function": {"name": "add", "arguments": {"a": 1}},
                }
            ],
        },
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
        {"role": "tool", "content": "3", "name": "f"},
        {"role": "user", "content": "So?"},
        {"role": "developer", "content": "Be brief."},
    ]


def test_text_blocks_become_one_text() -> None:
    blocks: list[Any] = ["One.", {"type": "text", "text": "Two."}]
    assert to_chat([HumanMessage(blocks)])[0]["content"] == "One.\nTwo."
    pieces: list[Any] = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert to_chat([AIMessage(pieces)])[0]["content"] == "Hello"


def test_what_an_assistant_message_repeats_elsewhere_is_left_out() -> None:
    blocks: list[Any] = [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "Yes."},
        {"type": "tool_use", "id": "1", "name": "f", "input": {}},
    ]
    assert to_chat([AIMessage(blocks)])[0]["content"] == "Yes."


@pytest.mark.parametrize("kind", ["image", "image_url", "audio", "file", "tool_use", None])
def test_blocks_that_are_no_text_are_refused_by_their_kind(kind: str | None) -> None:
    block = {"type": kind, "data": "SECRET"} if kind else {"data": "SECRET"}
    with pytest.raises(InvalidPromptError, match=repr(kind)) as caught:
        to_chat([HumanMessage([block])])
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "message", [RemoveMessage(id="1"), ChatMessage(role="narrator", content="x")]
)
def test_messages_that_no_template_knows_are_refused(
    message: BaseMessage, chat: ChatPersonaJudge
) -> None:
    with pytest.raises(InvalidPromptError):
        chat.invoke([HumanMessage("x"), message])


def test_a_conversation_without_a_question_is_refused(chat: ChatPersonaJudge) -> None:
    for messages in ([], [SystemMessage("Be kind.")]):
        with pytest.raises(InvalidPromptError):
            chat.invoke(messages)
