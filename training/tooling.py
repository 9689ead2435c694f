"""Tool tasks: offered tools, a question, and the call with its arguments copied."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from training.copying import name, pseudo_word

_REAL_CITIES = ("Paris", "Rome", "London", "Berlin", "Tokyo", "Madrid", "Oslo", "Vienna", "Lima",
                "San Francisco", "New York", "Cairo")  # fmt: skip
_QUERY_WORDS = ("cheap flights", "red shoes", "jazz music", "apple trees", "winter coats",
                "old maps", "green tea", "tax forms", "night trains", "bird songs", "city news",
                "chess rules", "bike repair", "soup recipes")  # fmt: skip
_WORDS = (
    "house bread water tree river stone cloud chair table window garden winter summer friend "
    "apple horse street light paper school bridge flower butter candle mirror pencil engine "
    "island forest kitchen market ticket pocket letter number morning evening"
).split()
_LANGUAGES = ("French", "Spanish", "German", "Italian", "Greek", "Polish", "Latin")
_OBJECTS = ("order", "ticket", "invoice", "book", "parcel", "account", "product", "song", "user",
            "flight", "file", "recipe", "room", "stock", "route", "note")  # fmt: skip
_ACTIONS = (
    ("check", "Check"),
    ("find", "Find"),
    ("get", "Get"),
    ("lookup", "Look up"),
    ("show", "Show"),
    ("open", "Open"),
    ("track", "Track"),
    ("delete", "Delete"),
)


@dataclass(frozen=True)
class ToolTask:
    """Offered tools with a question that one of them answers.

    Attributes:
        tools: Tool definitions in the common function format.
        question: What the user asks.
        name: The tool to call.
        arguments: Its arguments.
    """

    tools: tuple[dict[str, Any], ...]
    question: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class _Kind:
    names: tuple[str, ...]
    description: str
    parameters: tuple[tuple[tuple[str, ...], str, str], ...]
    questions: tuple[str, ...]


_KINDS: tuple[_Kind, ...] = (
    _Kind(("get_weather", "weather", "fetch_weather", "weather_lookup", "current_weather"),
          "Get the weather of a city.", ((("city", "location", "place"), "string", "city"),),
          ("What is the weather in {0}?", "How is the weather in {0}?", "Is it raining in {0}?",
           "What is the weather like in {0} today?", "Will it be sunny in {0}?",
           "Tell me the weather for {0}.")),
    _Kind(("set_timer", "start_timer", "timer", "countdown"), "Start a timer.",
          ((("minutes", "duration"), "integer", "int"),),
          ("Set a timer for {0} minutes.", "Start a timer of {0} minutes.",
           "Please wake me in {0} minutes.", "Count down {0} minutes.")),
    _Kind(("magic_function", "mystery", "magic", "secret_function", "apply_magic"),
          "Apply a magic function to an input.", ((("input", "x", "number", "value"), "integer",
                                                   "int"),),
          ("What is the value of {name}({0})? Use the tool.", "What is {name} of {0}?",
           "Apply {name} to {0}.", "Call {name} with {0}.",
           "Please compute {name}({0}).")),
    _Kind(("add", "multiply", "subtract", "my_adder_tool", "plus", "power"),
          "Combine two numbers.", ((("a", "x", "first"), "integer", "int"),
                                   (("b", "y", "second"), "integer", "int")),
          ("What is {name} of {0} and {1}?", "Use {name} on {0} and {1}.",
           "Please {name} {0} and {1}.", "Compute {name} for {0} and {1}.")),
    _Kind(("search", "web_search", "search_web", "google", "search_documents"),
          "Search for a query.", ((("query", "q", "text"), "string", "query"),),
          ("Search for {0}.", "Look up {0} on the web.", "Find pages about {0}.",
           "Please search the web for {0}.", "What can you find about {0}?")),
    _Kind(("translate", "translate_word", "translator"), "Translate a word to a language.",
          ((("word", "text"), "string", "word"), (("language", "target"), "string", "lang")),
          ("Translate {0} to {1}.", "How do you say {0} in {1}?",
           "What is {0} in {1}?", "Give me the word {0} in {1}.")),
    _Kind(("send_message", "send_email", "notify", "message"), "Send a message to a person.",
          ((("recipient", "to", "person"), "string", "person"),),
          ("Send a message to {0}.", "Write to {0} for me.", "Please notify {0}.",
           "Let {0} know about it.")),
    _Kind(("get_time", "current_time", "clock"), "Get the time in a city.",
          ((("city", "timezone", "place"), "string", "city"),),
          ("What time is it in {0}?", "Tell me the time in {0}.", "How late is it in {0}?",
           "Give me the current time of {0}.")),
    _Kind(("play_music", "play", "play_song"), "Play music of an artist.",
          ((("artist", "name"), "string", "person"),),
          ("Play music by {0}.", "I want to hear {0}.", "Put on some songs by {0}.",
           "Start the music of {0}.")),
)  # fmt: skip


def _value(kind: str, rng: random.Random) -> int | str:
    if kind == "int":
        return rng.randint(1, 10 ** rng.choice((1, 2, 2, 3, 4)))
    if kind == "city":
        return rng.choice(_REAL_CITIES) if rng.random() < 0.2 else pseudo_word(rng)
    if kind == "query":
        first, last = rng.choice(_QUERY_WORDS), rng.choice(_QUERY_WORDS)
        return f"{first.split()[0]} {last.split()[-1]}"
    if kind == "lang":
        return rng.choice(_LANGUAGES)
    if kind == "person":
        return name(rng)
    if kind == "code":
        return rng.choice("ABCDEFGHKLMNPRSTVWXZ") + str(rng.randint(10, 99999))
    return rng.choice(_WORDS)


def _generic(rng: random.Random) -> _Kind:
    action, verb = rng.choice(_ACTIONS)
    thing = rng.choice(_OBJECTS)
    if rng.random() < 0.15:
        thing = pseudo_word(rng).lower()
    label = rng.choice(
        (f"{action}_{thing}", f"{action}{thing.capitalize()}", f"{thing}_{action}", f"{thing}_tool")
    )
    kind = rng.choice(("code", "word", "person", "int"))
    kind_type = "integer" if kind == "int" else "string"
    key = rng.choice(("id", f"{thing}_id", "name", thing, "key", "number"))
    return _Kind(
        (label,),
        f"{verb} the {thing}.",
        (((key,), kind_type, kind),),
        (f"{verb} the {thing} {{0}}.", f"{verb} {thing} {{0}} for me.",
         f"Please {verb.lower()} the {thing} with the name {{0}}.",
         f"Can you {verb.lower()} the {thing} {{0}}?"),
    )  # fmt: skip


def _draw(rng: random.Random) -> _Kind:
    return _generic(rng) if rng.random() < 0.4 else rng.choice(_KINDS)


def _definition(kind: _Kind, rng: random.Random) -> tuple[dict[str, Any], list[str]]:
    label = rng.choice(kind.names)
    keys = [rng.choice(options) for options, _, _ in kind.parameters]
    if len(set(keys)) != len(keys):
        keys = [options[0] for options, _, _ in kind.parameters]
    properties = {
        key: {"type": type_name}
        for key, (_, type_name, _) in zip(keys, kind.parameters, strict=True)
    }
    function = {
        "name": label,
        "description": kind.description,
        "parameters": {"type": "object", "properties": properties, "required": keys},
    }
    return {"type": "function", "function": function}, keys


def offer(rng: random.Random, count: int) -> tuple[dict[str, Any], ...]:
    """Make tool definitions of different names."""
    tools: dict[str, dict[str, Any]] = {}
    while len(tools) < count:
        definition, _ = _definition(_draw(rng), rng)
        tools[definition["function"]["name"]] = definition
    return tuple(tools.values())


def tool_task(rng: random.Random, held_out: bool = False) -> ToolTask:
    """Make a task that needs one of one to three offered tools.

    Args:
        rng: Source of randomness.
        held_out: Ask in the held-out wording (the last of each kind).
    """
    kind = _draw(rng)
    definition, keys = _definition(kind, rng)
    label = definition["function"]["name"]
    values = [_value(what, rng) for _, _, what in kind.parameters]
    template = kind.questions[-1] if held_out else rng.choice(kind.questions[:-1])
    # Words of small letters stand in quotation marks, as in the call: the same tokens in both.
    said = [
        f'"{value}"' if what in {"query", "word"} else value
        for value, (_, _, what) in zip(values, kind.parameters, strict=True)
    ]
    question = template.format(*said, name=label)
    others = [
        tool
        for tool in offer(rng, rng.choice((1, 1, 2)))
        if tool["function"]["name"] != label and tool["function"]["description"] != kind.description
    ]
    others = others[: rng.choice((0, 1, 2))]
    tools = [definition, *others]
    rng.shuffle(tools)
    return ToolTask(tuple(tools), question, label, dict(zip(keys, values, strict=True)))


def tool_result(rng: random.Random) -> str:
    """Make up what a tool returns."""
    roll = rng.random()
    if roll < 0.35:
        return str(rng.randint(-20, 99999))
    if roll < 0.6:
        return f"{rng.choice(('sunny', 'cloudy', 'rainy', 'windy'))}, {rng.randint(-9, 40)} degrees"
    if roll < 0.75:
        return pseudo_word(rng).lower()
    if roll < 0.9:
        return (
            f"{name(rng)} is {rng.choice(('ready', 'on the way', 'not found', 'open', 'closed'))}"
        )
    return f'{{"{rng.choice(("result", "value", "status"))}": {rng.randint(0, 999)}}}'
