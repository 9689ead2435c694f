"""What a system's model is asked: a case as the token ids of a prompt."""

import re
from collections.abc import Sequence
from typing import Final

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.cases import Case
from persona_judge_llm.evaluation.engine_methods import direct_messages, joined
from persona_judge_llm.evaluation.systems.writing import Writer
from persona_judge_llm.preferences import Preference

PROMPTS: Final = ("plain", "direct", "single_a", "single_b")
"""As the engine's methods of these names: by the model's chat template, preferences as there."""


def prompt_ids(writer: Writer, case: Case, prompt: str = "plain") -> tuple[int, ...]:
    """Return the prompt under no, all, or one side's preferences.

    Args:
        writer: whose chat template counts.
        case: the question.
        prompt: one of `PROMPTS`.

    Raises:
        InvalidParameterError: the side that is asked for has no preference.
    """
    if prompt == "plain":
        return writer.prompts.build(case.prompt).ids
    if prompt == "direct":
        return writer.prompts.build(direct_messages(case)).ids
    side = case.side_a if prompt == "single_a" else case.side_b
    if not side:
        raise InvalidParameterError("prompt", prompt, "of a side that the case has")
    return side_ids(writer, case, side)


def side_ids(writer: Writer, case: Case, side: Sequence[str]) -> tuple[int, ...]:
    """Return the prompt under these preferences, as one."""
    return writer.prompts.build(case.prompt, [Preference(joined(side))]).ids


def raw_ids(writer: Writer, text: str) -> tuple[int, ...]:
    """Return the ids of text without a chat template; control tokens in it are read as text."""
    return tuple(writer.tokenizer(text, split_special_tokens=True)["input_ids"])


def filled(template: str, **places: str) -> str:
    """Return a template with its "{places}" filled; what fills them is not looked into."""
    return re.sub(r"\{(\w+)\}", lambda found: places.get(found[1], found[0]), template)


def check_template(template: str, *places: str) -> str:
    """Return a template that has these places.

    Raises:
        InvalidParameterError: one of them is missing.
    """
    for place in places:
        if f"{{{place}}}" not in template:
            raise InvalidParameterError("template", template, f"a text with {{{place}}} in it")
    return template
