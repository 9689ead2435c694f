"""Tokenizer, chat template and batches."""

import itertools
import random

import pytest

from training.batches import GUEST_TOKENS, IGNORED, encode
from training.corpus import call_text, stream
from training.tokenizer import END, START, train_tokenizer

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'The "weather" of a city.',
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer((d.answer for d in itertools.islice(stream(1), 400)), vocabulary=800)


@pytest.mark.parametrize(
    "text",
    [
        "Hello, how are you?",
        "  two  spaces\n\n\nlines \t tab ",
        "naïve café, 東京, Привет, שלום 👩‍🍳🎉",
        "\u200d\ufe0f\x01 odd",
        "12345 3.14 -7",
        call_text("get_weather", {"city": "Zorblück", "days": 12}),
    ],
)
def test_any_text_comes_back(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_digits_stand_alone(tokenizer):
    assert len(tokenizer.encode("48539", add_special_tokens=False)) == 5


def test_tool_marks_are_one_token_and_no_special_ones(tokenizer):
    ids = tokenizer.encode("<tool_call>", add_special_tokens=False)
    assert len(ids) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<tool_call>"


def render(tokenizer, messages, **settings):
    return tokenizer.apply_chat_template(messages, tokenize=False, **settings)


def test_the_template_renders_one_system_turn_with_tools_in_it(tokenizer):
    messages = [{"role": "system", "content": "Sell tea."}, {"role": "user", "content": "Hi"}]
    text = render(tokenizer, messages, tools=[TOOL], add_generation_prompt=True)
    assert text.count(f"{START}system") == 1
    head, rest = text.split(END, 1)
    assert "Sell tea." in head
    assert '"arguments": {"city": "string", "days": "integer"}' in head
    assert rest == f"\n{START}user\nHi{END}\n{START}assistant\n"


def test_no_system_turn_without_a_system_text_and_tools(tokenizer):
    text = render(tokenizer, [{"role": "user", "content": "Hi"}])
    assert text == f"{START}user\nHi{END}\n"


def test_tool_calls_and_results_are_rendered_as_they_are_trained(tokenizer):
    arguments = {"city": "Oslo"}
    call = {"type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    text = render(
        tokenizer,
        [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "sunny"},
        ],
    )
    assert f"{START}assistant\n{call_text('get_weather', arguments)}{END}" in text
    assert "<tool_response>\nsunny\n</tool_response>" in text


def test_prompts_and_the_starts_of_guests_bear_no_loss(tokenizer):
    rng = random.Random(0)
    with_guest = 0
    for dialogue in itertools.islice(stream(4), 200):
        sample = encode(dialogue, tokenizer, rng)
        trained = [label for label in sample.labels if label != IGNORED]
        assert sample.ids[-1] == sample.labels[-1] == tokenizer.convert_tokens_to_ids(END)
        assert len(sample.ids) == len(sample.labels) == len(sample.positions)
        answer = tokenizer.decode(trained[:-1])
        guests = [piece for piece in dialogue.pieces if piece.guest]
        with_guest += bool(guests)
        if guests:
            masked = sum(
                min(GUEST_TOKENS, len(tokenizer.encode(p.text, add_special_tokens=False)))
                for p in guests
            )
            whole = sum(
                len(tokenizer.encode(p.text, add_special_tokens=False)) for p in dialogue.pieces
            )
            assert len(trained) - 1 == whole - masked
        else:
            assert answer == dialogue.answer
    assert with_guest > 10
