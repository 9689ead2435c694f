"""Messages and tools: what is taken, in which form, and what is refused by name."""

import copy
from types import MappingProxyType
from typing import Any

import pytest

from persona_judge_llm.errors import InvalidPromptError
from persona_judge_llm.messages import check_messages, check_tools, merge_neighbours

HELLO = {"role": "user", "content": "hello"}


def test_a_string_is_one_user_message() -> None:
    assert check_messages("hello") == [HELLO]


def test_text_parts_are_joined_by_line_breaks() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert check_messages([{"role": "user", "content": parts}])[0]["content"] == "one\ntwo"


def test_a_developer_is_a_system() -> None:
    checked = check_messages([{"role": "developer", "content": "x"}, HELLO])
    assert [m["role"] for m in checked] == ["system", "user"]


def test_mappings_and_sequences_of_any_kind_become_plain_copies() -> None:
    call = MappingProxyType({"id": "1", "function": MappingProxyType({"name": "f"})})
    messages = (
        MappingProxyType(HELLO),
        {"role": "assistant", "tool_calls": (call,), "name": "bot", "refusal": None},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
    )
    assert check_messages(messages) == [
        HELLO,
        {
            "role": "assistant",
            "content": "",
            "name": "bot",
            "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}],
        },
        {"role": "tool", "content": "x", "tool_call_id": "1"},
    ]


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ('{"a": [1, null, true, "x"]}', {"a": [1, None, True, "x"]}),
        ({"a": 1}, {"a": 1}),
        ("[1]", "[1]"),
        ("not json", "not json"),
        ("", ""),
    ],
)
def test_arguments_become_a_mapping_where_they_are_one(given: Any, seen: Any) -> None:
    call = {"function": {"name": "f", "arguments": given}}
    checked = check_messages([HELLO, {"role": "assistant", "tool_calls": [call]}])
    assert checked[1]["tool_calls"][0]["function"]["arguments"] == seen


def test_the_objects_of_the_caller_stay_as_they_were() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
    ]
    before = copy.deepcopy(messages)
    checked = check_messages(messages)
    checked[1]["tool_calls"][0]["function"]["name"] = "g"
    assert messages == before


@pytest.mark.parametrize("prompt", ["", " \n", [], b"hello", {"role": "user"}, 3, None])
def test_what_is_no_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(InvalidPromptError, match=r"^prompt"):
        check_messages(prompt)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "x"}],
        [{"role": "assistant", "content": "x"}],
        [{"role": "user", "content": " "}],
        [{"role": "user", "content": []}],
    ],
)
def test_a_prompt_without_anything_to_answer_is_refused(messages: Any) -> None:
    with pytest.raises(InvalidPromptError, match=r"^prompt"):
        check_messages(messages)


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("hello", r"messages\[1\] must be a mapping"),
        ({"content": "x"}, r"messages\[1\] role"),
        ({"role": "pirate", "content": "x"}, r"messages\[1\] role.*pirate"),
        ({"role": ["user"], "content": "x"}, r"messages\[1\] role"),
        ({"role": "user"}, r"messages\[1\] content.*NoneType"),
        ({"role": "user", "content": None}, r"messages\[1\] content"),
        ({"role": "user", "content": 3}, r"messages\[1\] content.*int"),
        ({"role": "user", "content": b"x"}, r"messages\[1\] content.*bytes"),
        ({"role": "user", "content": {"text": "x"}}, r"messages\[1\] content.*dict"),
        ({"role": "user", "content": ["x"]}, r"messages\[1\] content\[0\].*str"),
        ({"role": "user", "content": [{"type": "image_url"}]}, r"content\[0\].*image_url"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, r"content\[0\].*input_audio"),
        ({"role": "user", "content": [{"type": "text"}]}, r"content\[0\] text.*NoneType"),
        ({"role": "user", "content": [{"type": "text", "text": "\0"}]}, r"content\[0\].*NUL"),
        ({"role": "user", "content": "a\0b"}, r"messages\[1\] content.*NUL"),
        ({"role": "user", "content": "\udfff"}, r"messages\[1\] content.*surrogates"),
        ({"role": "user", "content": "x", "name": "\0"}, r"messages\[1\] name.*NUL"),
        ({"role": "user", "content": "x", "extra": object()}, r"messages\[1\] extra"),
        ({"role": "user", "content": "x", "tool_calls": [{}]}, r"messages\[1\] tool_calls"),
        ({"role": "assistant", "tool_calls": {"a": 1}}, r"messages\[1\] tool_calls"),
        ({"role": "assistant", "tool_calls": ["f"]}, r"tool_calls\[0\] function name"),
        ({"role": "assistant", "tool_calls": [{}]}, r"tool_calls\[0\] function name"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": ""}}]},
            r"tool_calls\[0\] function name",
        ),
        (
            {
                "role": "assistant",
                "tool_calls": [{"function": {"name": "f", "arguments": '{"\\u0000": 1}'}}],
            },
            r"tool_calls\[0\] arguments.*NUL",
        ),
        ({"role": "assistant", "content": None}, r"messages\[1\] content"),
    ],
)
def test_a_message_that_cannot_be_used_is_refused_by_name(message: Any, named: str) -> None:
    with pytest.raises(InvalidPromptError, match=named):
        check_messages([HELLO, message])


def test_errors_do_not_repeat_what_was_said() -> None:
    for content in ("secret\0", [{"type": "text", "text": "secret\ud800"}], {"secret": 1}):
        with pytest.raises(InvalidPromptError) as error:
            check_messages([{"role": "user", "content": content}])
        assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("tools", "named"),
    [
        ("get_weather", "tools must"),
        ({"name": "f"}, "tools must"),
        ([print], r"tools\[0\]"),
        (["f"], r"tools\[0\]"),
        ([{"type": "function"}], r"tools\[0\] function name"),
        ([{"type": "function", "function": {"name": 3}}], r"tools\[0\] function name.*3"),
        ([{"name": "f"}, {"name": " "}], r"tools\[1\] function name"),
        ([{"name": "f", "parameters": {1: 2}}], r"tools\[0\]"),
        ([{"name": "f", "description": "\0"}], r"tools\[0\].*NUL"),
    ],
)
def test_a_tool_that_cannot_be_used_is_refused_by_name(tools: Any, named: str) -> None:
    with pytest.raises(InvalidPromptError, match=named):
        check_tools(tools)


def test_tool_messages_and_calls_are_not_merged() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]}
    tool = {"role": "tool", "content": "1"}
    assert merge_neighbours([HELLO, call, call, tool, tool]) == [HELLO, call, call, tool, tool]
