"""The two ways to run the engine's methods: as we would, and as the paper's authors did.

Both sample as the authors' code does, by Algorithm 1 as printed, with equal turns.

- "fixed": preferences stand in the system message.
- "paper": they stand in a user's turn of their own before the question, with an empty answer
  between. The authors glue two whole templates together, so that theirs repeats the
  beginning-of-sequence token and leaves that empty answer open; a chat template renders a
  conversation, so here it is closed, and nothing is repeated.

Not imitated in either: roles that swap once and never again, residuals chosen by rounding, one
seed for all prompts, text beyond the end-of-sequence token, and up to lambda tokens too many.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import cast

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.cases import Case
from persona_judge_llm.evaluation.engine_methods import (
    PROMPTS,
    EngineMethod,
    engine_method,
    joined,
)
from persona_judge_llm.evaluation.protocol import MODES
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.requests import Request
from persona_judge_llm.rules import COMPOSING, EACH


def method_in_mode(
    engine: PersonaJudge,
    name: str,
    mode: str = "fixed",
    *,
    num_draft_tokens: int | None = None,
    batch: int = 1,
) -> EngineMethod:
    """Return a method of the engine as a mode runs it.

    Args:
        engine: what decodes.
        name: as for `engine_method`.
        mode: "fixed" or "paper".
        num_draft_tokens: the paper's lambda; None for the engine's.
        batch: cases decoded together.

    Raises:
        InvalidParameterError: no such method or mode.
    """
    if mode not in MODES:
        raise InvalidParameterError("mode", mode, f"one of {MODES}")
    method = engine_method(engine, name, batch=batch)

    def request(case: Case) -> Request:
        asked = cast("Request", method.request(case))
        turns = None if name in PROMPTS else (1, 1)
        return dataclasses.replace(asked, num_draft_tokens=num_draft_tokens, turns=turns)

    if mode == "paper" and name.partition(":")[0] in EACH:
        raise InvalidParameterError("method", name, "one of two sides in the mode 'paper'")
    if mode == "fixed" or name == "plain":
        return dataclasses.replace(method, request=request)
    return dataclasses.replace(method, request=_with_turns(engine, name, request))


def conversation(sides: Sequence[str], question: str) -> list[dict[str, str]]:
    """Return the preferences as a user's turn before the question."""
    return [
        {"role": "user", "content": joined(sides)},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": question},
    ]


def _with_turns(
    engine: PersonaJudge, name: str, request: Callable[[Case], Request]
) -> Callable[[Case], PreparedCall]:
    def prepared(sides: Sequence[str], case: Case) -> PreparedCall:
        messages = conversation(sides, case.prompt)
        return engine.prepare(Request(messages, persona=False, params=case.params))

    def alone(case: Case) -> PreparedCall:
        sides = {"single_a": case.side_a, "single_b": case.side_b}
        return prepared(sides.get(name, (*case.side_a, *case.side_b)), case)

    def both(case: Case) -> PreparedCall:
        call = engine.prepare(request(case))
        if call.rule in COMPOSING and call.blend is None:  # of strength 0: the plain model
            return call
        a = prepared(case.side_a, case).built_a
        b = prepared(case.side_b, case).built_a if call.built_b else None
        return dataclasses.replace(call, built_a=a, built_b=b)

    return alone if name in PROMPTS else both
