"""What choices and tool calls let through, however the tags are cut into tokens."""

import json

import pytest

from persona_judge_llm.constraints import Constraint, tag_rules
from persona_judge_llm.errors import InvalidParameterError, InvalidPromptError
from persona_judge_llm.models.grammars import Grammars
from tests.unit.models.walks import accepts, byte_tokenizer, letters

TOKENIZERS = {tags: byte_tokenizer(tags) for tags in ("letters", "added", "special")}
GRAMMARS = {tags: Grammars(t, len(t), [t.eos_token_id]) for tags, t in TOKENIZERS.items()}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "required": ["a"],
        },
    },
}
STOP = {"name": "stop"}
TOOLS = [ADD, STOP]
ANSWER = {"type": "object", "properties": {"x": {"type": "boolean"}}, "required": ["x"]}


def call(name="add", arguments=None, space="\n"):
    body = json.dumps({"name": name, "arguments": {"a": 1} if arguments is None else arguments})
    return f"<tool_call>{space}{body}{space}</tool_call>"


STOPPED = call("stop", {}, "")
BROKEN = {
    "an unknown tool": call("sub"),
    "arguments that do not fit": call("add", {"a": "1"}),
    "no arguments": call("add", {}),
    "arguments that are not listed": call("add", {"a": 1, "b": 2}),
    "another tool's arguments": call("stop", []),
    "an unclosed call": call()[: -len("</tool_call>")],
    "a call cut off": call()[:25],
    "words in a call": call().replace("\n{", "Hm {"),
    "an opening tag": "<tool_call>",
    "an empty call": "<tool_call></tool_call>",
}
WAYS = [
    pytest.param("letters", True, id="spelled"),
    pytest.param("added", False, id="added"),
    pytest.param("added", True, id="added, spelled"),
    pytest.param("special", False, id="special"),
    pytest.param("special", True, id="special, spelled"),
]


def fits(constraint, text, tags, spelled):
    tokenizer = TOKENIZERS[tags]
    tokens = letters(tokenizer, text) if spelled else tokenizer.encode(text)
    return accepts(GRAMMARS[tags].compile(constraint), tokens, tokenizer.eos_token_id)


@pytest.mark.parametrize(("tags", "spelled"), WAYS)
def test_auto_is_text_with_whole_calls_in_it(tags, spelled):
    constraint = Constraint.tool_calls(TOOLS)
    for text in (
        "",
        "Hello!\nHow are you? <b> < tool_call> {}",
        call(),
        f"Let me see.\n{call()}",
        f"{call()}\n{STOPPED}",
        f"{call()}{call()} And so on.",
        f"One {call()} two {STOPPED} three",
    ):
        assert fits(constraint, text, tags, spelled), text
    for name, text in BROKEN.items():
        assert not fits(constraint, text, tags, spelled), name
        assert not fits(constraint, f"Well, {text}", tags, spelled), name
        assert not fits(constraint, f"{call()}\n{text}", tags, spelled), name


@pytest.mark.parametrize(("tags", "spelled"), WAYS)
def test_a_call_may_be_the_only_one_and_then_it_is_the_end(tags, spelled):
    constraint = Constraint.tool_calls(TOOLS, parallel=False)
    for text in ("", "Hello!", call(), f"Let me see.\n{STOPPED}"):
        assert fits(constraint, text, tags, spelled), text
    for text in (f"{call()}\n{call()}", f"{call()} And so on.", *BROKEN.values()):
        assert not fits(constraint, text, tags, spelled), text


@pytest.mark.parametrize(("tags", "spelled"), WAYS)
def test_any_is_calls_alone(tags, spelled):
    several = Constraint.tool_calls(TOOLS, "any")
    one = Constraint.tool_calls(TOOLS, "any", parallel=False)
    for text in (call(), call(space=""), STOPPED):
        assert fits(several, text, tags, spelled), text
        assert fits(one, text, tags, spelled), text
    for text in (f"{call()}\n{STOPPED}", f"{call()}{call()}{call()}"):
        assert fits(several, text, tags, spelled), text
        assert not fits(one, text, tags, spelled), text
    for text in ("", "Hello!", f"Well, {call()}", f"{call()} Done.", *BROKEN.values()):
        assert not fits(several, text, tags, spelled), text
        assert not fits(one, text, tags, spelled), text


@pytest.mark.parametrize(("tags", "spelled"), WAYS)
def test_a_named_tool_is_the_only_one(tags, spelled):
    constraint = Constraint.tool_calls(TOOLS, "stop")
    assert fits(constraint, STOPPED, tags, spelled)
    assert fits(constraint, f"{STOPPED}\n{STOPPED}", tags, spelled)
    for text in ("", call(), f"{STOPPED}\n{call()}", f"{call()}\n{STOPPED}"):
        assert not fits(constraint, text, tags, spelled), text


@pytest.mark.parametrize(("tags", "spelled"), WAYS)
def test_an_answer_may_stand_in_place_of_calls(tags, spelled):
    constraint = Constraint.tool_calls(TOOLS, answer=ANSWER)
    one = Constraint.tool_calls(TOOLS, answer=ANSWER, parallel=False)
    for text in ('{"x": true}', call()):
        assert fits(constraint, text, tags, spelled), text
        assert fits(one, text, tags, spelled), text
    assert fits(constraint, f"{call()}\n{STOPPED}", tags, spelled)
    assert not fits(one, f"{call()}\n{STOPPED}", tags, spelled)
    for text in (
        "",
        "Hello!",
        "{}",
        '{"x": 1}',
        f'{{"x": true}}{call()}',
        f'{call()}{{"x": true}}',
    ):
        assert not fits(constraint, text, tags, spelled), text
    forced = Constraint.tool_calls(TOOLS, "any", answer=ANSWER)
    assert not fits(forced, '{"x": true}', tags, spelled)


def test_tools_without_parameters_take_any_object():
    for tool in (STOP, {**STOP, "parameters": None}, {**STOP, "parameters": {}}):
        constraint = Constraint.tool_calls([tool], "any")
        assert fits(constraint, STOPPED, "added", False)
        assert fits(constraint, call("stop", {"x": [1]}), "added", False)
        for arguments in ([], 1, "x"):
            assert not fits(constraint, call("stop", arguments), "added", False)


@pytest.mark.parametrize("name", ['say "hi"', "grüße", "a\\b", "\U0001f600", "tag_open", "auto"])
def test_names_are_written_as_json_has_them(name):
    constraint = Constraint.tool_calls([STOP, {"name": name}], "any")
    assert fits(constraint, call(name, {}), "added", False)
    assert not fits(constraint, call(f"{name}x", {}), "added", False)


def test_strings_in_arguments_may_hold_tags():
    tool = {"name": "say", "parameters": {"properties": {"t": {"type": "string"}}}}
    text = call("say", {"t": "<tool_call></tool_call>"})
    for tags in TOKENIZERS:
        assert fits(Constraint.tool_calls([tool], "any"), text, tags, True)
        assert fits(Constraint.tool_calls([tool]), text, tags, True)


def test_only_free_text_is_optional():
    assert Constraint.tool_calls(TOOLS).optional
    assert Constraint.tool_calls(TOOLS, parallel=False).optional
    for constraint in (
        Constraint.tool_calls(TOOLS, "any"),
        Constraint.tool_calls(TOOLS, "add"),
        Constraint.tool_calls(TOOLS, answer=ANSWER),
        Constraint.json_object(),
        Constraint.choice(["a"]),
    ):
        assert not constraint.optional


def test_tags_that_are_tokens_have_rules_of_their_own():
    spelled = tag_rules(())
    assert '"<tool_call>"' in spelled
    assert "| <tool_call>" not in spelled
    assert "| </tool_call>" not in spelled
    opening = tag_rules(["<tool_call>", "<other>"])
    assert "| TEXT <tool_call>" in opening
    assert "| </tool_call>" not in opening
    assert "| </tool_call>" in tag_rules({"<tool_call>", "</tool_call>"})


# --- choices --------------------------------------------------------------------------------------


def test_a_choice_is_one_of_its_texts():
    options = ["yes", "yes please", "né", 'a "b"', "c\\d", "two\nlines", "\U0001f600", "{", "a|b"]
    constraint = Constraint.choice(options)
    for option in options:
        assert fits(constraint, option, "added", False)
    for text in ("", "ye", "yes ", "no", "yesyes please", "a", "nothing"):
        assert not fits(constraint, text, "added", False)


@pytest.mark.parametrize("options", [[], (), "yes", None, ["yes", ""], ["yes", 3], {"yes"}, [b"y"]])
def test_what_is_no_list_of_texts_is_no_choice(options):
    with pytest.raises(InvalidParameterError, match="options must be a list of texts") as caught:
        Constraint.choice(options)
    assert caught.value.name == "options"


# --- tools that are refused ----------------------------------------------------------------------


@pytest.mark.parametrize("tools", [[], ()])
def test_no_tools_cannot_be_called(tools):
    with pytest.raises(InvalidPromptError, match="tools must be at least one tool") as caught:
        Constraint.tool_calls(tools)
    assert caught.value.name == "tools"


@pytest.mark.parametrize(
    "tool",
    ["add", None, 3, {}, {"function": {}}, {"function": "add"}, {"name": ""}, {"name": 3},
     {"type": "function", "function": {"parameters": {}}}],
)  # fmt: skip
def test_what_is_no_tool_is_refused(tool):
    with pytest.raises(InvalidPromptError, match="tools must be function schemas") as caught:
        Constraint.tool_calls([ADD, tool])
    assert caught.value.name == "tools"


@pytest.mark.parametrize("tools", [None, 3])
def test_what_is_no_list_of_tools_is_refused(tools):
    with pytest.raises(InvalidPromptError, match="tools"):
        Constraint.tool_calls(tools)


@pytest.mark.parametrize("choice", ["sub", "", "none", None, 3, ["add"]])
def test_a_tool_that_is_not_there_cannot_be_chosen(choice):
    with pytest.raises(InvalidParameterError, match=r"'auto', 'any' or in \['add', 'stop'\]") as e:
        Constraint.tool_calls(TOOLS, choice)
    assert e.value.name == "tool_choice"


@pytest.mark.parametrize("parameters", ["object", ["a"], 3])
def test_parameters_that_are_no_schema_are_refused(parameters):
    with pytest.raises(InvalidParameterError, match="tools must be a JSON Schema"):
        Constraint.tool_calls([{"name": "f", "parameters": parameters}])


def test_an_answer_that_is_no_schema_is_refused():
    with pytest.raises(InvalidParameterError, match="answer must be a JSON Schema") as caught:
        Constraint.tool_calls(TOOLS, answer="object")
    assert caught.value.name == "answer"
