"""Methods that need nothing but the engine: prompts alone, and every rule."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast, get_args

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.cases import Answer, Case
from persona_judge_llm.messages import preference_block
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.preferences import Preference
from persona_judge_llm.requests import Request, Rule
from persona_judge_llm.rules import COMPOSING, EACH

PROMPTS: Final = ("plain", "direct", "single_a", "single_b")
RULES: Final[tuple[str, ...]] = get_args(Rule)


@dataclass(frozen=True, slots=True)
class EngineMethod:
    """Answers through an engine, several cases at a time."""

    name: str
    engine: PersonaJudge
    request: Callable[[Case], Request | PreparedCall]
    batch: int = 1
    """Cases decoded together; with 1, each answer's time is its own."""
    needs: str = ""

    def answer(self, cases: Sequence[Case]) -> Iterator[Answer]:
        """Answer cases in their order."""
        for start in range(0, len(cases), self.batch):
            requests = [self.request(case) for case in cases[start : start + self.batch]]
            began = time.perf_counter()
            found = self.engine.generate_batch(requests)
            seconds = (time.perf_counter() - began) / len(found)
            for one in found:
                tokens = one.usage.completion_tokens
                yield Answer(one.text, tokens, seconds, one.finish_reason, one.acceptance_rate)


def engine_method(engine: PersonaJudge, name: str, *, batch: int = 1) -> EngineMethod:
    """Return one of the methods that the engine has.

    Args:
        engine: what decodes.
        name: "plain" (no preference), "direct" (all of them in one system message), "single_a",
            "single_b", or a rule; "compose:1.5" is the rule with that strength.
        batch: cases decoded together.

    Raises:
        InvalidParameterError: no such method or strength.
    """
    rule, _, strength = name.partition(":")
    if name in PROMPTS:
        return EngineMethod(name, engine, _BY_PROMPT[name], batch)
    if rule not in RULES or (strength and rule not in COMPOSING):
        raise InvalidParameterError("method", name, f"one of {(*PROMPTS, *RULES)}")
    try:
        dial = float(strength) if strength else None
    except ValueError:
        raise InvalidParameterError("strength", strength, 'a number, as in "compose:1.5"') from None

    def request(case: Case) -> Request:
        sides = [side for side in (case.side_a, case.side_b) if side]
        if rule in EACH:
            sides = [(text,) for side in sides for text in side]
        texts = [joined(side) for side in sides]
        chosen = cast("Rule", rule)
        return Request(
            case.prompt, preferences=texts, params=case.params, rule=chosen, strength=dial
        )

    request(Case("x", ("x",)))  # the strength is refused here, not after an hour
    return EngineMethod(name, engine, request, batch)


def joined(side: Sequence[str]) -> str:
    """Return one side's preferences as one, as the paper's prefixes do."""
    return " Meanwhile: ".join(side)


def direct_messages(case: Case) -> list[dict[str, str]]:
    """Return the question behind one system message with everything that is preferred."""
    system = preference_block([Preference(text) for text in (*case.side_a, *case.side_b)])
    question = {"role": "user", "content": case.prompt}
    return [{"role": "system", "content": system}, question] if system else [question]


def _plain(case: Case) -> Request:
    return Request(case.prompt, persona=False, params=case.params)


def _direct(case: Case) -> Request:
    return Request(direct_messages(case), persona=False, params=case.params)


def _single_a(case: Case) -> Request:
    return Request(case.prompt, preferences=[joined(case.side_a)], params=case.params)


def _single_b(case: Case) -> Request:
    return Request(case.prompt, preferences=[joined(case.side_b)], params=case.params)


_BY_PROMPT: Final[dict[str, Callable[[Case], Request]]] = {
    "plain": _plain,
    "direct": _direct,
    "single_a": _single_a,
    "single_b": _single_b,
}
