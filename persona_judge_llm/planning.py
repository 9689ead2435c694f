"""From a request to what is decoded: user, profile, split, the two prompts, the task.

Everything that can be refused is refused here, before any forward pass. The profile is read once
and frozen: what comes after sees this version and no other.
"""

import hashlib
import inspect
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, cast

from persona_judge_llm.arguments import UnknownUserPolicy
from persona_judge_llm.awaiting import result_of
from persona_judge_llm.constraints import Constraint
from persona_judge_llm.decoding.constraining import Compiled
from persona_judge_llm.decoding.tasks import DecodeTask
from persona_judge_llm.errors import (
    ContextOverflowError,
    InvalidParameterError,
    InvalidPromptError,
    MissingUserError,
    PersonaJudgeError,
    ProfileStoreUnavailableError,
    UnknownUserError,
    UnsupportedModelError,
)
from persona_judge_llm.messages import check_messages, check_tools
from persona_judge_llm.models.grammars import Grammars
from persona_judge_llm.preferences import AnyProfileStore, Preference, Profile
from persona_judge_llm.prompts import BuiltPrompt, PromptBuilder
from persona_judge_llm.requests import Placement, Request, Rule, check_turns
from persona_judge_llm.rules import COMPOSING, EACH, MAX_ROWS, Blend, BlendRule
from persona_judge_llm.sampling import MAX_SEED, SamplingParams
from persona_judge_llm.scope import ambient_scope, resolve_user
from persona_judge_llm.splitting import Split, SplitCall, Splitter

NEUTRAL_FINGERPRINT = "neutral"
MAX_CHARACTERS_PER_TOKEN = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The engine's answers to what a request leaves open."""

    rule: Rule
    num_draft_tokens: int
    turns: tuple[int, int] | None
    strength: float
    placement: Placement
    splitter: Splitter
    require_user: bool
    unknown_user: UnknownUserPolicy


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class PreparedCall:
    """A request with its user's profile read and split, and both prompts built.

    Pass it to `generate`, `stream` and their siblings in place of a prompt. Its repr shows the
    fingerprint only, so it may stand beside things that are logged.
    """

    request: Request
    user_id: str | None
    """Whose stored profile was read; None where none was."""
    split: Split
    profile_version: int | None
    fingerprint: str
    """Identifies user, preferences and rule without telling them."""
    built_a: BuiltPrompt
    built_b: BuiltPrompt | None
    built_more: tuple[BuiltPrompt, ...]
    """Of preferences beyond two that have rows of their own."""
    built_plain: BuiltPrompt | None
    """Without any preference, where the rule compares with it."""
    blend: Blend | None
    """How the sides' distributions become one, under the rules that blend."""
    prompt_tokens: int
    """Tokens of the conversation without any preference."""
    params: SamplingParams
    num_draft_tokens: int
    rule: Rule
    turns: tuple[int, int]
    placement: Placement
    constraint: Compiled | None
    """What the answer is held to, for this model's vocabulary."""
    planner: "Planner"
    """Whoever prepared it; another engine refuses it."""

    def __repr__(self) -> str:
        """Show the fingerprint and nothing personal."""
        return f"PreparedCall(fingerprint={self.fingerprint!r})"

    @property
    def prompt_a(self) -> str:
        """Side A's whole prompt as text."""
        return self.built_a.text

    @property
    def prompt_b(self) -> str | None:
        """Side B's whole prompt; None in a call with one prompt only."""
        return self.built_b.text if self.built_b else None

    @property
    def prompt_ids_a(self) -> tuple[int, ...]:
        """Side A's prompt as token ids."""
        return self.built_a.ids

    @property
    def prompt_ids_b(self) -> tuple[int, ...] | None:
        """Side B's prompt as token ids."""
        return self.built_b.ids if self.built_b else None

    @property
    def dropped(self) -> tuple[Preference, ...]:
        """Preferences that this call does without."""
        return self.split.dropped

    def task(self) -> DecodeTask:
        """Return what a decoder works on; a fresh seed each time where the request names none."""
        seed = self.params.seed
        return DecodeTask(
            prompt_a=self.built_a.ids,
            prompt_b=self.prompt_ids_b,
            params=self.params,
            seed=secrets.randbelow(MAX_SEED) if seed is None else seed,
            num_draft_tokens=self.num_draft_tokens,
            turns=(0, 1) if self.rule == "fixed" else self.turns,
            prompts_more=tuple(built.ids for built in self.built_more),
            prompt_plain=self.built_plain.ids if self.built_plain else None,
            blend=self.blend,
            constraint=self.constraint,
        )


class Planner:
    """Prepares calls for one model and one profile store; holds no state of any call."""

    def __init__(
        self,
        prompts: PromptBuilder,
        profiles: AnyProfileStore | None,
        settings: Settings,
        defaults: SamplingParams,
        context_window: int | None,
        grammars: Grammars,
    ) -> None:
        self.prompts = prompts
        self._profiles = profiles
        self._settings = settings
        self._defaults = defaults
        self._context_window = context_window
        self._vocab_size = grammars.vocab_size
        self._grammars = grammars

    def prepare(self, request: Request) -> PreparedCall:
        """Read the profile, split it, build the prompts and check that they fit.

        Raises:
            InvalidParameterError: not a request.
            InvalidPromptError: messages or tools that cannot be used.
            UnknownUserError, MissingUserError: see `PersonaJudge`.
            ProfileStoreUnavailableError: the profile could not be read.
            PreferenceBudgetError: `must` preferences beyond the prefix budget.
            ContextOverflowError: no room for `max_new_tokens`.
        """
        if not isinstance(request, Request):
            raise InvalidParameterError("request", type(request).__name__, "a Request")
        settings = self._settings
        messages = check_messages(request.prompt)
        self._check_size(messages)
        user_id, profile, everything = self._whose(request)
        scope = request.scope or ambient_scope()
        preferences = tuple(p for p in everything if p.scope in (None, scope))
        split = self._split(preferences, request.params.seed)
        placement = request.placement or settings.placement

        def build(side: Sequence[Preference]) -> BuiltPrompt:
            return self.prompts.build(messages, side, placement=placement, tools=request.tools)

        neutral = build(())
        built_a = build(split.a) if split.a else neutral
        built_b = build(split.b) if split.b and split.b != split.a else None
        if not split.a and built_b is not None:
            built_a, built_b = built_b, None
        rule = request.rule or settings.rule
        turns = request.turns or settings.turns or split.turns
        strength = settings.strength if request.strength is None else request.strength
        built: list[BuiltPrompt] = [built_a]
        shares: tuple[float, ...] = (1.0,)
        if built_b is not None:
            built, shares = [built_a, built_b], (turns[0] / sum(turns), turns[1] / sum(turns))
        if rule in EACH and built_a is not neutral:
            groups, shares = _rows(split)
            built = [build(group) for group in groups]
        if rule in COMPOSING and strength == 0:
            built = [neutral]
        built_a, built_b = built[0], built[1] if len(built) > 1 else None
        blend = None if built_a is neutral else self._blend(rule, shares, strength)
        num_draft_tokens = request.num_draft_tokens or settings.num_draft_tokens
        longest = max(len(one.ids) for one in built)
        self._check_ids([token for one in built for token in one.ids])
        params = self._params(request.params, longest)
        return PreparedCall(
            request=request,
            user_id=user_id,
            split=split,
            profile_version=profile.version if profile else None,
            fingerprint=_fingerprint(
                user_id, split, turns, rule, num_draft_tokens, placement, strength, shares
            ),
            built_a=built_a,
            built_b=built_b,
            built_more=tuple(built[2:]),
            built_plain=neutral if blend is not None and blend.plain else None,
            blend=blend,
            prompt_tokens=len(neutral.ids),
            params=params,
            num_draft_tokens=num_draft_tokens,
            rule=rule,
            turns=turns,
            placement=placement,
            constraint=self._constraint(request, params),
            planner=self,
        )

    def _blend(self, rule: Rule, shares: tuple[float, ...], strength: float) -> Blend | None:
        """Return how a rule blends the rows; None for rules that do not, or nothing to blend."""
        if rule in ("alternate", "fixed") or not (len(shares) > 1 or rule in COMPOSING):
            return None
        if not self._grammars.in_use:
            raise InvalidParameterError(
                "rule", rule, "'alternate' or 'fixed' with loop='reference'"
            )
        return Blend(cast("BlendRule", rule), shares, strength)

    def _constraint(self, request: Request, params: SamplingParams) -> Compiled | None:
        """Return what holds the answer: what was asked for, or the syntax of the tools offered."""
        constraint = request.constraint
        if constraint is None and (tools := check_tools(request.tools)):
            with suppress(InvalidParameterError):  # schemas may be of a template's own kind
                constraint = Constraint.tool_calls(tools)
        if constraint is None:
            return None
        compiled = self._grammars.compile(constraint)
        room = params.max_new_tokens or 1
        if compiled is not None and compiled.least_tokens > room:
            least = f"at least {compiled.least_tokens} for this constraint"
            raise InvalidParameterError("max_new_tokens", room, least)
        return compiled

    def _check_size(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Refuse what cannot possibly fit before spending time on reading it."""
        characters = sum(len(m.get("content") or "") for m in messages)
        most = MAX_CHARACTERS_PER_TOKEN * (self._context_window or characters)
        if characters > most:
            raise InvalidPromptError(
                "prompt",
                f"{characters} characters",
                f"at most {most} characters for a context of {self._context_window} tokens",
            )

    def _check_ids(self, ids: Sequence[int]) -> None:
        if max(ids) >= self._vocab_size:
            raise UnsupportedModelError(
                f"the tokenizer gives token {max(ids)}, and the model has {self._vocab_size}; "
                "resize its embeddings or use the tokenizer that it was trained with"
            )

    def _whose(self, request: Request) -> tuple[str | None, Profile | None, tuple[Preference, ...]]:
        if not request.persona:
            return None, None, ()
        if request.preferences is not None:
            return None, None, tuple(p for p in request.preferences if isinstance(p, Preference))
        user_id, neutral = resolve_user(request.user_id)
        if user_id is None:
            if self._settings.require_user and not neutral:
                raise MissingUserError
            return None, None, ()
        profile = self._read(user_id)
        return user_id, profile, profile.preferences if profile else ()

    def _read(self, user_id: str) -> Profile | None:
        if self._profiles is None:
            raise InvalidParameterError(
                "user_id", "...", "left out: this engine was made without profiles="
            )
        try:
            profile = self._profiles.get(user_id)
            if inspect.isawaitable(profile):
                profile = result_of(profile)
        except UnknownUserError:
            if self._settings.unknown_user == "neutral":
                return None
            raise
        except PersonaJudgeError:
            raise
        except Exception as error:
            # A ValueError out of somebody's store must not reach a caller that swallows those.
            raise ProfileStoreUnavailableError(
                f"the profile store failed with {type(error).__name__}; nothing was generated"
            ) from error
        # The last guard between users: a store that mixes them up must not get any further.
        if not isinstance(profile, Profile) or profile.user_id != user_id:
            raise ProfileStoreUnavailableError(
                "the profile store did not return this user's profile; nothing was generated"
            )
        return profile

    def _split(self, preferences: tuple[Preference, ...], seed: int | None) -> Split:
        if not preferences:
            return Split(a=(), b=())
        call = SplitCall(
            count_tokens=self.prompts.count_tokens,
            now=datetime.now(timezone.utc),
            seed=secrets.randbelow(MAX_SEED) if seed is None else seed,
        )
        try:
            split = self._settings.splitter(preferences, call)
        except PersonaJudgeError:
            raise
        except Exception as error:
            raise InvalidParameterError(
                "splitter", type(error).__name__, "a callable that returns a Split and never fails"
            ) from error
        if not isinstance(split, Split) or not all(
            isinstance(p, Preference) for p in (*split.a, *split.b, *split.dropped)
        ):
            raise InvalidParameterError(
                "splitter", type(split).__name__, "a callable that returns a Split of preferences"
            )
        check_turns(split.turns)
        return split

    def _params(self, params: SamplingParams, prompt_tokens: int) -> SamplingParams:
        resolved = params.resolved(self._defaults)
        for token in params.logit_bias or ():
            if token >= self._vocab_size:
                raise InvalidParameterError(
                    "logit_bias", token, f"keyed by token ids below {self._vocab_size}"
                )
        asked = resolved.max_new_tokens or 1
        if self._context_window is None:
            return resolved
        room = self._context_window - prompt_tokens
        if params.max_new_tokens is None and 0 < room < asked:
            # Nobody asked for the default's length: use what room there is.
            return replace(resolved, max_new_tokens=room)
        if asked > room:
            raise ContextOverflowError(prompt_tokens, asked, self._context_window)
        return resolved


def _rows(split: Split) -> tuple[list[tuple[Preference, ...]], tuple[float, ...]]:
    """Return the preferences of each row, the heaviest first and `must`s in all, and the shares."""
    chosen = sorted(dict.fromkeys((*split.a, *split.b)), key=lambda p: -p.weight)
    musts = tuple(p for p in chosen if p.kind == "must")
    prefers = [p for p in chosen if p.kind != "must"]
    if not prefers:
        return [musts], (1.0,)
    own = [tuple(prefers[row::MAX_ROWS]) for row in range(min(MAX_ROWS, len(prefers)))]
    weights = [sum(p.weight for p in group) for group in own]
    return [(*musts, *group) for group in own], tuple(w / sum(weights) for w in weights)


def _fingerprint(  # noqa: PLR0917  # facts of equal standing
    user_id: str | None,
    split: Split,
    turns: tuple[int, int],
    rule: Rule,
    num_draft_tokens: int,
    placement: Placement,
    strength: float,
    shares: tuple[float, ...],
) -> str:
    if not split.a and not split.b:
        return NEUTRAL_FINGERPRINT
    # The user is in it, so that two users of one taste do not share a cached answer either.
    texts = [[p.text for p in side] for side in (split.a, split.b)]
    facts = [user_id, texts, turns, rule, num_draft_tokens, placement, strength, shares]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
