"""Conversations of LlamaIndex as the engine reads them."""

from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms import ChatMessage, MessageRole

from llama_index_persona_judge import PersonaJudgeLLM
from llama_index_persona_judge.messages import to_messages
from persona_judge_llm.errors import InvalidPromptError

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}


@pytest.mark.parametrize(
    ("role", "read_as"),
    [
        (MessageRole.SYSTEM, "system"),
        (MessageRole.DEVELOPER, "system"),
        (MessageRole.USER, "user"),
        (MessageRole.ASSISTANT, "assistant"),
        (MessageRole.CHATBOT, "assistant"),
        (MessageRole.MODEL, "assistant"),
        (MessageRole.TOOL, "tool"),
        (MessageRole.FUNCTION, "tool"),
    ],
)
def test_every_role_has_its_place(role: MessageRole, read_as: str) -> None:
    assert to_messages([ChatMessage("hi", role=role)]) == [{"role": read_as, "content": "hi"}]


def test_text_blocks_are_joined_by_line_breaks() -> None:
    message = ChatMessage([TextBlock(text="one"), TextBlock(text="two")])
    assert to_messages([message])[0]["content"] == message.content == "one\ntwo"


def test_blocks_that_hold_nothing_to_read_are_left_out() -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    message = ChatMessage([ThinkingBlock(content="hm"), point, TextBlock(text="hi")])
    assert to_messages([message])[0]["content"] == "hi"


@pytest.mark.parametrize(
    "block",
    [
        ImageBlock(image=b"x", image_mimetype="image/png"),
        AudioBlock(audio=b"x", format="wav"),
        DocumentBlock(data=b"x", document_mimetype="text/plain", title="t"),
    ],
    ids=lambda block: type(block).__name__,
)
def test_content_that_cannot_be_read_is_refused_by_name(
    block: ContentBlock, llm: PersonaJudgeLLM
) -> None:
    with pytest.raises(InvalidPromptError, match=type(block).__name__):
        llm.chat([ChatMessage([TextBlock(text="What is this?"), block])])


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage([ToolCallBlock(tool_name="add", tool_kwargs={"a": 1})], role="assistant"),
        ChatMessage(None, role="assistant", additional_kwargs={"tool_calls": [CALL]}),
        ChatMessage(
            [ToolCallBlock(tool_name="add", tool_kwargs={"a": 1})],
            role="assistant",
            additional_kwargs={"tool_calls": [CALL]},
        ),
    ],
    ids=["blocks", "older", "both"],
)
def test_tool_calls_are_read_once_in_either_form(message: ChatMessage) -> None:
    (read,) = to_messages([message])
    assert read["content"] == ""
    assert read["tool_calls"] == [CALL]


def test_tool_calls_may_be_objects_that_dump_to_openais_shape() -> None:
    call = {"id": "c1", **CALL}
    dumped = SimpleNamespace(model_dump=lambda: call)
    message = ChatMessage("", role="assistant", additional_kwargs={})
    message.additional_kwargs = {"tool_calls": [dumped]}
    assert to_messages([message])[0]["tool_calls"] == [call]
    message.additional_kwargs = {"tool_calls": ["add"]}
    with pytest.raises(InvalidPromptError, match="tool_calls"):
        to_messages([message])


def test_an_answer_of_a_tool_names_its_call() -> None:
    message = ChatMessage("3", role="tool", additional_kwargs={"tool_call_id": "c1", "name": "add"})
    assert to_messages([message]) == [
        {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "add"}
    ]


@pytest.mark.parametrize("bad", ["hi", ChatMessage("hi"), [{"role": "user"}], None], ids=str)
def test_what_is_no_conversation_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidPromptError):
        to_messages(bad)


def test_a_conversation_with_tools_renders_in_its_order(llm: PersonaJudgeLLM) -> None:
    llm.with_user("alice").chat(
        [
            ChatMessage("Be exact.", role="system"),
            ChatMessage("1+1?"),
            ChatMessage([ToolCallBlock(tool_name="add", tool_kwargs='{"a": 1}')], role="assistant"),
            ChatMessage("2", role="tool", additional_kwargs={"tool_call_id": "c1"}),
        ]
    )
    prompt = llm.engine.calls[-1].prompt_a  # type: ignore[attr-defined]
    places = [
        prompt.index(t) for t in ("Be exact.", "Write for alice", "1+1?", '{"a": 1}', "tool\n2")
    ]
    assert places == sorted(places)
    assert prompt.count("<|im_start|>system") == 1
