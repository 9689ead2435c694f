"""What both models have in common: their fields, and how a call becomes a `Request`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from typing_extensions import Self

from langchain_persona_judge.results import Reading
from langchain_persona_judge.users import name_user
from persona_judge_llm.constraints import Constraint
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.preferences import AnyProfileStore, check_user_id
from persona_judge_llm.requests import Placement, Prompt, Request, Rule
from persona_judge_llm.sampling import MAX_SEED, SamplingParams

SAMPLING: Final = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
DECODING: Final = ("rule", "num_draft_tokens", "turns", "strength", "placement", "timeout")
FIELDS: Final = (*SAMPLING, *DECODING, "max_tokens", "stop", "n", "logprobs", "top_logprobs")
WHOSE: Final = ("user_id", "preferences", "persona")
MAX_ANSWERS: Final = 128
MODEL_VARIABLE: Final = "PERSONA_JUDGE_MODEL"
RUN: Final = ("tags", "metadata", "run_name", "run_id")
"""What LangChain's `invoke` takes out of the config and hands to `generate`; only that takes it."""


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """The arguments of one call, sorted; made before anything is read or traced."""

    settings: dict[str, Any]
    """Values for this call of the model's fields."""
    whose: dict[str, Any]
    """User or preferences, which no trace may see."""
    rest: dict[str, Any]
    """What is LangChain's."""
    tools: Sequence[Mapping[str, Any]] | None
    constraint: Constraint | None = None


def engine_of_environment() -> PersonaJudge:
    """Load the model whose folder or hub id the environment names.

    Raises:
        InvalidParameterError: it names none.
    """
    if model_id := os.environ.get(MODEL_VARIABLE):
        return PersonaJudge.from_pretrained(model_id)
    wanted = f"an engine, or a model's folder or hub id in {MODEL_VARIABLE}"
    raise InvalidParameterError("engine", None, wanted)


class PersonaJudgeSettings(BaseModel):
    """Fields of both models. Those left at None take the engine's values.

    Every one but the first and the last can also be given as a keyword argument of a call.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    call_arguments: ClassVar[tuple[str, ...]] = ()
    """Further keyword arguments of a call, which LangChain reads or adds."""

    engine: PersonaJudge = Field(default_factory=engine_of_environment, exclude=True, repr=False)
    """What decodes; the model that the environment variable `PERSONA_JUDGE_MODEL` names if left
    out, without profiles."""
    temperature: float | None = None
    max_tokens: int | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: list[str] | None = None
    rule: Rule | None = None
    num_draft_tokens: int | None = None
    turns: tuple[int, int] | None = None
    strength: float | None = None
    placement: Placement | None = None
    timeout: float | None = None
    """Seconds after which a call fails with `DeadlineExceededError`."""
    logprobs: bool | None = None
    """Whether to report each token's log probability in the judge's distribution."""
    top_logprobs: int | None = None
    """How many of the likeliest tokens to report beside it, at most 20."""
    n: int | None = None
    """Answers to each prompt; more than one cannot be streamed."""
    bound_user: str | None = Field(default=None, exclude=True, repr=False)
    """The user of this copy; `with_user` sets it. Calls that name a user override it."""

    # Set on the copy of the model that serves one call. The profile is read before LangChain
    # computes a cache key or starts a trace, so both know the call by its fingerprint only.
    _calls: tuple[PreparedCall, ...] | None = PrivateAttr(default=None)
    _fingerprint: str | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Pass on: pydantic's own, made for the private attributes, would end the chain here."""
        super().model_post_init(context)

    @model_validator(mode="after")
    def _check_persona_judge_settings(self) -> Self:
        self.to_request("x", Call({}, {}, {}, None))
        if self.bound_user is not None:
            check_user_id(self.bound_user)
        return self

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | Path,
        *,
        profiles: AnyProfileStore | None = None,
        engine_options: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Self:
        """Load a model from a folder or the hub.

        Args:
            model_id: a folder or hub id, such as "Qwen/Qwen2.5-0.5B-Instruct".
            profiles: where users are looked up.
            engine_options: for `PersonaJudge.from_pretrained` (`device`, `unknown_user`, ...).
            fields: of this class.
        """
        engine = PersonaJudge.from_pretrained(model_id, profiles=profiles, **(engine_options or {}))
        return cls(engine=engine, **fields)

    @classmethod
    def bundled(
        cls,
        *,
        profiles: AnyProfileStore | None = None,
        engine_options: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Self:
        """Load the small model that ships with the package; arguments as `from_pretrained`."""
        engine = PersonaJudge.bundled(profiles=profiles, **(engine_options or {}))
        return cls(engine=engine, **fields)

    def with_user(self, user_id: str) -> Self:
        """Return a copy, sharing the weights, whose calls are `user_id`'s unless they name another.

        Raises:
            InvalidPreferenceError: a user id that cannot be one.
        """
        return self.model_copy(update={"bound_user": check_user_id(user_id)})

    @property
    def model_name(self) -> str:
        """The model's name or path."""
        return self.engine.model_name

    @property
    def _identifying_params(self) -> dict[str, Any]:
        # LangChain's cache key: every setting that changes answers, and whose answer it is.
        params = {name: getattr(self, name) for name in FIELDS}
        params["model_name"] = self.model_name
        params["fingerprint"] = self._fingerprint
        return params

    def named(
        self,
        arguments: Mapping[str, Any],
        config: RunnableConfig | None,
        also: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return the arguments of a call with its user made explicit.

        Args:
            arguments: keyword arguments of the call.
            config: the config passed to the call, if any.
            also: arguments that this entry point takes besides.

        Raises:
            InvalidParameterError: an argument that nobody knows.
            InvalidPreferenceError: a user id that cannot be one.
        """
        known = (*FIELDS, *WHOSE, *self.call_arguments)
        for name in arguments:
            if name not in known and name not in also:
                # By name alone: a misspelt `preferences` holds what no log may show.
                raise InvalidParameterError("call argument", name, f"one of {known}")
        return name_user(arguments, config, self.bound_user)

    def read_call(
        self,
        arguments: Mapping[str, Any],
        config: RunnableConfig | None,
        stop: list[str] | None,
        also: Sequence[str] = (),
    ) -> Call:
        """Sort the arguments of a call and settle its user; nothing is read yet.

        Args:
            arguments: keyword arguments of the call.
            config: the config passed to the call, if any.
            stop: the call's stop strings.
            also: arguments that this entry point takes besides.

        Raises:
            InvalidParameterError: an argument that nobody knows.
            InvalidPreferenceError: a user id that cannot be one.
        """
        named = self.named(arguments, config, also)
        if stop is not None:
            named["stop"] = stop
        return Call(
            settings={name: named[name] for name in FIELDS if name in named},
            whose={name: named[name] for name in WHOSE if name in named},
            rest={name: named[name] for name in (*also, *self.call_arguments) if name in named},
            tools=named.get("tools"),
        )

    def to_request(self, prompt: Prompt, call: Call) -> Request:
        """Return the request for one prompt of a call.

        Raises:
            InvalidParameterError: a setting or prompt that cannot be used.
            InvalidPreferenceError: a preference that cannot be used.
        """
        chosen = {name: getattr(self, name) for name in FIELDS}
        chosen.update(call.settings)
        check_n(chosen["n"])
        if chosen["top_logprobs"] and not chosen["logprobs"]:
            raise InvalidParameterError("logprobs", chosen["logprobs"], "True with top_logprobs")
        return Request(
            prompt,
            params=SamplingParams(
                max_new_tokens=chosen["max_tokens"],
                top_logprobs=chosen["top_logprobs"] or 0,
                **{name: chosen[name] for name in SAMPLING},
                stop=chosen["stop"] or (),
            ),
            **{name: chosen[name] for name in DECODING},
            **call.whose,
            tools=call.tools,
            constraint=call.constraint,
        )

    def for_calls(self, settings: Mapping[str, Any], prepared: Sequence[PreparedCall]) -> Self:
        """Return the copy of this model, with `settings` changed, that serves these calls only."""
        copy = self.model_copy(update=settings)
        copy._calls = tuple(prepared)  # noqa: SLF001  # a copy of this very class
        found = {call.fingerprint for call in prepared}
        # Answers for several users under one key could be mistaken for each other: such a key is
        # never used again.
        copy._fingerprint = found.pop() if len(found) == 1 else uuid4().hex  # noqa: SLF001
        return copy

    def reading(self, *, tools: bool = False) -> Reading:
        """Return how answers are read.

        Args:
            tools: whether tools were offered.
        """
        decode = self.engine.tokenizer.decode
        told = (lambda ids: str(decode(ids))) if self.logprobs else None
        return Reading(self.model_name, tools, told)

    def answers_to(self, call: PreparedCall) -> list[PreparedCall]:
        """Return the `n` calls that one prompt stands for; a seed's answers differ, repeatably."""
        seed, count = call.params.seed, self.n or 1
        if count == 1:
            return [call]
        seeds = [None if seed is None else (seed + i) % MAX_SEED for i in range(count)]
        return [replace(call, params=replace(call.params, seed=s)) for s in seeds]

    def single(self, call: PreparedCall) -> PreparedCall:
        """Return the call, if it asks for one answer only.

        Raises:
            InvalidParameterError: it asks for more, which a stream has no place for.
        """
        if (self.n or 1) > 1:
            raise InvalidParameterError("n", self.n, "1 where the answer is streamed")
        return call


def check_n(n: object) -> None:
    """Refuse anything but 1 to `MAX_ANSWERS`, or None."""
    if n is not None and (
        isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MAX_ANSWERS
    ):
        raise InvalidParameterError("n", n, f"a whole number from 1 to {MAX_ANSWERS}")
