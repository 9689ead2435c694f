import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_judge_llm.tool_calls import (
    MalformedToolCall,
    ToolCall,
    parse_tool_calls,
    shown_length,
)


def call(name: str = "add", **arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def test_a_text_without_a_call_is_left_as_it_is() -> None:
    text = "  Use < and > \n with care. "
    parsed = parse_tool_calls(text)
    assert (parsed.content, parsed.calls, parsed.malformed) == (text, (), ())


def test_calls_are_taken_out_and_the_words_around_them_stay() -> None:
    parsed = parse_tool_calls(f"Let me see.\n{call(a=1)}\n{call('mul', b=[2])}\nThat is all.\n")
    assert parsed.content == "Let me see.\nThat is all."
    assert parsed.calls == (ToolCall("add", {"a": 1}), ToolCall("mul", {"b": [2]}))
    assert parsed.malformed == ()


def test_an_argument_may_contain_the_closing_tag() -> None:
    parsed = parse_tool_calls(call(text="a </tool_call> b") + " done")
    assert parsed.calls == (ToolCall("add", {"text": "a </tool_call> b"}),)
    assert parsed.content == "done"


@pytest.mark.parametrize("tail", ["", "\n", "\n</tool", "</tool_call"])
def test_a_whole_call_without_its_closing_tag_counts(tail: str) -> None:
    parsed = parse_tool_calls('<tool_call>{"name": "add", "arguments": {}}' + tail)
    assert (parsed.calls, parsed.content) == ((ToolCall("add", {}),), "")


def test_words_after_an_unclosed_call_are_content() -> None:
    parsed = parse_tool_calls('<tool_call>{"name": "add"} and so on')
    assert (parsed.calls, parsed.content) == ((ToolCall("add", {}),), "and so on")


def test_arguments_written_as_a_json_string_are_read() -> None:
    parsed = parse_tool_calls('<tool_call>{"name": "f", "arguments": "{\\"x\\": 2}"}</tool_call>')
    assert parsed.calls == (ToolCall("f", {"x": 2}),)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "add(1, 2)",
        '{"name": "add", "arguments": {"a": 1',
        '{"arguments": {}}',
        '{"name": "", "arguments": {}}',
        '{"name": 3}',
        '{"name": "add", "arguments": [1]}',
        '{"name": "add", "arguments": "one"}',
        '{"name": "add", "arguments": {"a": NaN}}',
        '{"name": "add", "arguments": {"a": 1e999}}',
        '{"name": "add", "arguments": {"a": "\\ud800"}}',
        '{"name": "add"}}',
        '["add"]',
        "[" * 100_000,
    ],
)
def test_what_cannot_be_read_is_malformed_and_kept_as_written(body: str) -> None:
    text = f"<tool_call>{body}</tool_call>"
    parsed = parse_tool_calls(f"Hm. {text} {call(a=1)}")
    assert [m.text for m in parsed.malformed] == [text]
    assert parsed.malformed[0].error
    assert parsed.calls == (ToolCall("add", {"a": 1}),)
    assert parsed.content == "Hm."


def test_a_call_that_was_cut_off_is_malformed() -> None:
    parsed = parse_tool_calls('One. <tool_call>{"name": "add", "argu')
    assert parsed.calls == ()
    assert isinstance(parsed.malformed[0], MalformedToolCall)
    assert parsed.malformed[0].text == '<tool_call>{"name": "add", "argu'


def test_two_opening_tags_in_a_row_do_not_swallow_the_call() -> None:
    parsed = parse_tool_calls(f"<tool_call>{call(a=1)}")
    assert parsed.calls == (ToolCall("add", {"a": 1}),)
    assert len(parsed.malformed) == 1


pieces = st.lists(
    st.sampled_from(
        [
            call(a=1),
            "<tool_call>",
            "</tool_call>",
            "<tool",
            "<",
            "_call>",
            " ",
            "\n",
            "words",
            '{"name": "f"}',
            "{",
        ]
    ),
    max_size=8,
).map("".join)


@given(pieces)
def test_what_was_shown_while_streaming_begins_the_content(text: str) -> None:
    content = parse_tool_calls(text).content
    shown = [text[: shown_length(text[:n])] for n in range(len(text) + 1)]
    assert all(content.startswith(s) for s in shown)
    assert [len(s) for s in shown] == sorted(len(s) for s in shown)


@given(st.text(string.ascii_letters + " <>", max_size=30))
def test_nothing_is_held_back_but_white_space_and_a_tag_that_may_begin(text: str) -> None:
    held = text[shown_length(text) :].lstrip()
    assert "<tool_call>".startswith(held)


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse_tool_calls(f"<tool_call>{text}")


names = st.text(min_size=1, max_size=10).filter(str.strip)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(names, st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_a_call_written_as_json_is_read_back(name: str, arguments: dict[str, object]) -> None:
    text = f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"
    assert parse_tool_calls(text).calls == (ToolCall(name, arguments),)
