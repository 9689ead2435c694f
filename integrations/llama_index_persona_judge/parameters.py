"""From keyword arguments of a call to the engine's `Request`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from llama_index.core.instrumentation.dispatcher import (  # type: ignore[attr-defined]
    active_instrument_tags,
)

from llama_index_persona_judge.messages import with_instructions, written_tools
from persona_judge_llm.answer_forms import constraint_of, instruction, tool_choice_of
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.requests import (
    Prompt,
    Request,
    check_num_draft_tokens,
    check_placement,
    check_rule,
    check_strength,
    check_timeout,
    check_turns,
)
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.scope import resolve_user

SAMPLING: Final = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "stop", "seed")
DECODING: Final = ("rule", "num_draft_tokens", "turns", "strength", "placement")
SETTINGS: Final = ("max_tokens", "timeout", *SAMPLING, *DECODING)
"""Fields of the LLM that a call may override."""
PERSONAL: Final = frozenset({"user_id", "preferences", "scope"})
"""What no event, span or callback may see."""
TAG: Final = "user_id"
"""The tag of LlamaIndex's `instrument_tags` that names the user; all its events show it."""
_FORM: Final = (
    *("tools", "tool_choice", "tool_required", "allow_parallel_tool_calls", "response_format"),
)
# For providers behind HTTP; LlamaIndex's DocumentContextExtractor passes them to every LLM.
_IGNORED: Final = ("extra_headers",)
CALL_ARGUMENTS: Final = (
    *sorted(PERSONAL),
    "persona",
    "max_new_tokens",
    "logit_bias",
    *SETTINGS,
    *_FORM,
    "constraint",
)
"""What a call may be told."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose calls a copy's are, where they name nobody themselves."""

    user_id: str | None = None
    neutral: bool = False
    """Nobody's, whatever the scope around them says."""

    def of_call(self, given: Mapping[str, Any]) -> tuple[str | None, bool]:
        """Return the user of a call made now, and whether it is the plain model's."""
        user_id = given.get("user_id")
        if "preferences" in given or (self.neutral and user_id is not None):
            return user_id, False
        if self.neutral:
            return None, True
        tagged = active_instrument_tags.get().get(TAG)
        return resolve_user(user_id, tagged if self.user_id is None else self.user_id)


def to_request(
    prompt: Prompt,
    arguments: Mapping[str, Any],
    settings: Mapping[str, Any],
    caller: Caller,
    *,
    tells_tools: bool = False,
) -> Request:
    """Settle whose call this is and how it is decoded, at the moment of the call.

    Args:
        prompt: a text or the engine's messages.
        arguments: of the call; what is None counts as left out.
        settings: the LLM's own, for what the call leaves out.
        caller: of the copy that was called.
        tells_tools: tools that must be called are told in the prompt, for want of a place for
            them in the model's chat template.

    Raises:
        PersonaJudgeError: an argument that is unknown or cannot be used, named.
    """
    for name in arguments:
        if name not in CALL_ARGUMENTS and name not in _IGNORED:
            raise InvalidParameterError("argument", name, f"one of {CALL_ARGUMENTS}")
    given = {name: value for name, value in arguments.items() if value is not None}
    user_id, neutral = caller.of_call(given)
    form = _form(given)
    tools, told = form["tools"], [instruction(form)]
    if tools and tells_tools and form["tool_choice"] != "auto":
        told.append(written_tools(tools))
        tools = None
    return Request(
        with_instructions(prompt, told),
        user_id=user_id,
        preferences=given.get("preferences"),
        params=sampling_params({**settings, **given}, _max_tokens(given)),
        persona=False if neutral else given.get("persona", True),
        tools=tools,
        constraint=constraint_of(form, form["tools"]) or given.get("constraint"),
        scope=given.get("scope"),
        timeout=given.get("timeout", settings.get("timeout")),
        **{name: given.get(name, settings.get(name)) for name in DECODING},
    )


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that no call could use, by name."""
    sampling_params(settings)
    check_rule(settings["rule"])
    check_num_draft_tokens(settings["num_draft_tokens"])
    check_strength(settings["strength"])
    check_timeout(settings["timeout"])
    check_placement(settings["placement"])
    if settings["turns"] is not None:
        check_turns(settings["turns"])


def sampling_params(values: Mapping[str, Any], max_tokens: int | None = None) -> SamplingParams:
    """Return the sampling parameters among `values`; `max_tokens` overrides the one in there."""
    chosen = {name: values[name] for name in SAMPLING if values.get(name) is not None}
    return SamplingParams(
        **chosen,
        logit_bias=values.get("logit_bias"),
        max_new_tokens=values.get("max_tokens") if max_tokens is None else max_tokens,
    )


def _max_tokens(given: Mapping[str, Any]) -> int | None:
    if "max_tokens" in given and "max_new_tokens" in given:
        raise InvalidParameterError(
            "max_new_tokens", given["max_new_tokens"], "left out beside max_tokens"
        )
    limit: int | None = given.get("max_new_tokens", given.get("max_tokens"))
    return limit


def _form(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what form the answer has, in the words of `answer_forms`."""
    choice = tool_choice_of(given.get("tool_choice"))
    tools = None if choice == "none" else given.get("tools") or None
    if given.get("tool_required") and choice == "auto":
        choice = "any"
    if "constraint" in given and (tools or "response_format" in given):
        raise InvalidParameterError("constraint", "...", "left out beside tools or response_format")
    return {
        "tools": tools,
        "tool_choice": choice,
        "parallel_tool_calls": given.get("allow_parallel_tool_calls"),
        "response_format": given.get("response_format"),
    }
