"""Proposing preferences from a conversation, with the engine's own model; nothing is stored here.

What comes back is `source="inferred"` and inactive: a store keeps it so until the user confirms it.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from persona_judge_llm.constraints import Constraint
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError, InvalidPreferenceError
from persona_judge_llm.preferences import Preference
from persona_judge_llm.prompts import check_messages
from persona_judge_llm.sampling import SamplingParams

MAX_SUGGESTION_LENGTH = 200
_MOST = 16
_TASK = """Below is a conversation between a user and an assistant. Which lasting wishes does the
user state about how answers should be written, such as their tone, length, format or language?
Write them as one JSON object and no more: {{"preferences": ["a short instruction", ...]}}, at most
{limit}. The list is empty if there is no such wish.

Conversation:
{conversation}"""


def suggest_preferences(
    engine: PersonaJudge,
    messages: Sequence[Mapping[str, Any]],
    *,
    limit: int = 5,
    params: SamplingParams | None = None,
) -> tuple[Preference, ...]:
    """Propose preferences that the user of a conversation seems to have.

    The model's answer is data, not commands. It is held to a JSON Schema while it is written, where
    the extra "structured" is installed and the model's tokenizer can; what has another form all
    the same is dropped, and nothing but the texts is taken over. How good the proposals are is up
    to the model; the bundled one is far too small for it.

    Args:
        engine: its plain model is asked, without any user's preferences.
        messages: the conversation; what others than the user said is left out.
        limit: most proposals.
        params: how to sample; greedy and at most 256 tokens by default.

    Returns:
        Preferences with `source="inferred"` and `active=False`, without ids; maybe none. Keep one
        with `store.add(user_id, preference)` and let the user `confirm` or `reject` it.

    Raises:
        InvalidPromptError: messages that cannot be used.
        InvalidParameterError: a limit out of range.
        PersonaJudgeError: see `PersonaJudge.generate`.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= _MOST:
        raise InvalidParameterError("limit", limit, f"a whole number from 1 to {_MOST}")
    said = [m["content"] for m in check_messages(messages) if m["role"] == "user" and m["content"]]
    if not said:
        return ()
    conversation = "\n".join(f"User: {text}" for text in said)
    answer = engine.generate(
        _TASK.format(limit=limit, conversation=conversation),
        params=params or SamplingParams(temperature=0.0, max_new_tokens=256),
        constraint=_form(limit) if engine.grammars.available else None,
        persona=False,
    )
    found: dict[str, Preference] = {}
    for preference in _proposals(answer.text):
        found.setdefault(preference.text.casefold(), preference)
    return tuple(found.values())[:limit]


def _form(limit: int) -> Constraint:
    wish = {"type": "string", "minLength": 1, "maxLength": MAX_SUGGESTION_LENGTH}
    wishes = {"type": "array", "items": wish, "maxItems": limit}
    schema = {"type": "object", "properties": {"preferences": wishes}, "required": ["preferences"]}
    return Constraint.json_schema(schema)


def _proposals(text: str) -> Iterator[Preference]:
    try:
        values = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except (ValueError, RecursionError):
        return
    wishes = values["preferences"] if values.keys() == {"preferences"} else []
    for wish in wishes if isinstance(wishes, list) else []:
        if isinstance(wish, str) and len(wish) <= MAX_SUGGESTION_LENGTH:
            with suppress(InvalidPreferenceError):
                yield dataclasses.replace(
                    Preference(" ".join(wish.split())), source="inferred", active=False
                )
