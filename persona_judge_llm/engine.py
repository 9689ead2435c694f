"""`PersonaJudge`: the facade. One object, one set of weights, every user's own taste."""

import threading
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias, get_args

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from persona_judge_llm import aio, bundled
from persona_judge_llm.errors import EngineClosedError, InvalidParameterError
from persona_judge_llm.models.defaults import eos_token_ids, sampling_defaults
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.models.loading import load
from persona_judge_llm.models.port import LanguageModel
from persona_judge_llm.planning import Planner, PreparedCall, Settings, UnknownUserPolicy
from persona_judge_llm.preferences import Preference, ProfileStore
from persona_judge_llm.prompts import PromptBuilder
from persona_judge_llm.requests import (
    Placement,
    Prompt,
    Request,
    Rule,
    StopCheck,
    check_num_draft_tokens,
    check_placement,
    check_rule,
    check_turns,
)
from persona_judge_llm.running import Loop, Runner
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.splitting import Splitter, default_splitter
from persona_judge_llm.trace import Chunk, Generation

Call: TypeAlias = "Prompt | Request | PreparedCall"
ASYNC_CALLS_AT_ONCE = 32


def _never() -> bool:
    return False


class PersonaJudge:
    """Answers prompts in each user's own taste, by Persona-judge decoding (arXiv 2504.12663).

    Safe to use from many threads and event loops at once. `use_user()` scopes are read when a
    method is called, also by streams that are consumed later.

    ```python
    from persona_judge_llm import PersonaJudge, SamplingParams

    engine = PersonaJudge.bundled()
    answer = engine.generate(
        "How can I sleep better?",
        preferences=["Be concise", "Use vivid images"],
        params=SamplingParams(max_new_tokens=48, seed=3),
    )
    print(answer.finish_reason in ("stop", "length"), len(answer.trace) == len(answer.token_ids))
    #> True True
    ```

    Args:
        model: a causal `PreTrainedModel`, or anything with the `LanguageModel` protocol.
        tokenizer: the model's tokenizer.
        profiles: where `user_id`s are looked up; not needed with `preferences=`.
        rule: "alternate" (the paper's Persona-judge: roles swap after each window) or "fixed"
            (Persona-judge-Base: A drafts, B judges; the text follows B's preferences alone).
        num_draft_tokens: window length (the paper's lambda).
        turns: windows judged by A and B in a round; None follows the split's weights.
        placement: preferences in the "system" message, or "last" in the last user message.
        splitter: divides preferences into sides A and B.
        require_user: refuse calls that name no user and no preferences.
        unknown_user: "error", or "neutral" to answer unknown users without personalisation.
        loop: "dual" (one pass a token for both sides), or "reference" (Algorithm 1 as printed).

    Raises:
        InvalidParameterError: a setting that cannot be used, named.
        UnsupportedModelError: not a causal language model.
    """

    def __init__(
        self,
        model: PreTrainedModel | LanguageModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        profiles: ProfileStore | None = None,
        rule: Rule = "alternate",
        num_draft_tokens: int = 4,
        turns: tuple[int, int] | None = None,
        placement: Placement = "system",
        splitter: Splitter = default_splitter,
        require_user: bool = False,
        unknown_user: UnknownUserPolicy = "error",
        loop: Loop = "dual",
    ) -> None:
        if None in (rule, num_draft_tokens, placement):
            raise InvalidParameterError("rule, num_draft_tokens, placement", None, "given")
        check_rule(rule)
        check_num_draft_tokens(num_draft_tokens)
        check_placement(placement)
        if not (isinstance(model, PreTrainedModel) or callable(getattr(model, "open", None))):
            raise InvalidParameterError("model", type(model).__name__, "a causal PreTrainedModel")
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise InvalidParameterError("tokenizer", type(tokenizer).__name__, "the model's own")
        if loop not in get_args(Loop):
            raise InvalidParameterError("loop", loop, f"one of {get_args(Loop)}")
        if unknown_user not in get_args(UnknownUserPolicy):
            raise InvalidParameterError("unknown_user", unknown_user, "'error' or 'neutral'")
        if not callable(splitter):
            raise InvalidParameterError("splitter", splitter, "callable")
        if profiles is not None and not isinstance(profiles, ProfileStore):
            raise InvalidParameterError("profiles", profiles, "a ProfileStore (get and put)")
        self.language_model: LanguageModel = (
            HuggingFaceModel(model) if isinstance(model, PreTrainedModel) else model
        )
        self.model = model
        self.tokenizer = tokenizer
        self.profiles = profiles
        self._closed = threading.Event()
        self._planner = Planner(
            PromptBuilder(tokenizer),
            profiles,
            Settings(
                rule=rule,
                num_draft_tokens=num_draft_tokens,
                turns=None if turns is None else check_turns(turns),
                placement=placement,
                splitter=splitter,
                require_user=require_user,
                unknown_user=unknown_user,
            ),
            sampling_defaults(model),
            self.language_model.context_window,
            self.language_model.vocab_size,
        )
        self._runner = Runner(
            self.language_model, self._detokenize, eos_token_ids(model, tokenizer), loop
        )
        self._pool = ThreadPoolExecutor(ASYNC_CALLS_AT_ONCE, thread_name_prefix="persona-judge")

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | Path,
        *,
        dtype: str | torch.dtype = "auto",
        device: str | torch.device = "auto",
        load_options: Mapping[str, Any] | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> "PersonaJudge":
        """Load a model from a folder or the hub (safetensors only, no remote code).

        Args:
            model_id: a folder or hub id, such as "Qwen/Qwen2.5-0.5B-Instruct".
            dtype: "auto" for the checkpoint's own, or "float32", "bfloat16", "float16".
            device: "auto" for CUDA, MPS or CPU, or a torch device.
            load_options: for transformers' `from_pretrained` (`revision`, `token`, ...).
            settings: as for `PersonaJudge`.

        Raises:
            ModelLoadError: not found, without safetensors, or in need of remote code.
            InvalidParameterError: an unknown setting, dtype or device.
        """
        _check_settings(settings)
        if load_options is not None and not isinstance(load_options, Mapping):
            raise InvalidParameterError("load_options", type(load_options).__name__, "a mapping")
        model, tokenizer = load(model_id, dtype=dtype, device=device, **(load_options or {}))
        return cls(model, tokenizer, **settings)

    @classmethod
    def bundled(cls, **settings: Any) -> "PersonaJudge":  # noqa: ANN401
        """Load the small model that ships with the package; offline, for trying things out.

        Args:
            settings: as for `PersonaJudge`, and `device`.
        """
        device = settings.pop("device", "auto")
        _check_settings(settings)
        return cls.from_pretrained(bundled.path(), dtype=torch.float32, device=device, **settings)

    @property
    def model_name(self) -> str:
        """The model's name or path; its class's name if it has none."""
        config = getattr(self.model, "config", None)
        name = str(getattr(config, "name_or_path", "") or type(self.model).__name__)
        return bundled.NAME if name == str(bundled.path()) else name

    @property
    def context_window(self) -> int | None:
        """Tokens that prompt and answer may have together; None for no limit."""
        return self.language_model.context_window

    @property
    def supports_tools(self) -> bool:
        """Whether the chat template renders tools."""
        return self._planner.prompts.supports_tools

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `text` is, without special tokens."""
        return self._planner.prompts.count_tokens(text)

    def generate(
        self,
        prompt: Call,
        *,
        user_id: str | None = None,
        preferences: Sequence[str | Preference] | None = None,
        params: SamplingParams | None = None,
        rule: Rule | None = None,
        num_draft_tokens: int | None = None,
        turns: tuple[int, int] | None = None,
        persona: bool = True,
        placement: Placement | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Generation:
        """Answer one prompt.

        Args:
            prompt: text, chat messages, a `Request`, or a `PreparedCall` from `prepare`; with
                the last two every other argument must be left out.
            user_id: whose profile to use; without it the innermost `use_user()` scope counts.
            preferences: used instead of a profile.
            params: how to sample; None fields take the model's generation config.
            rule: overrides the engine's for this call, as do the next two and `placement`.
            num_draft_tokens: see `PersonaJudge`.
            turns: see `PersonaJudge`.
            persona: False answers with the plain model.
            placement: see `PersonaJudge`.
            tools: OpenAI-style function schemas for the chat template.

        Raises:
            PersonaJudgeError: see `errors`; all of them before any forward pass, except
                `NumericalError`.
        """
        arguments = _arguments(locals())
        return self._runner.run_one(self._prepared(prompt, arguments), self._cancelled(_never))

    def stream(
        self,
        prompt: Call,
        *,
        user_id: str | None = None,
        preferences: Sequence[str | Preference] | None = None,
        params: SamplingParams | None = None,
        rule: Rule | None = None,
        num_draft_tokens: int | None = None,
        turns: tuple[int, int] | None = None,
        persona: bool = True,
        placement: Placement | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Generator[Chunk, None, None]:
        """Answer one prompt in pieces; arguments and errors as for `generate`.

        User, profile and prompts are settled when this is called, not when the iterator is
        read. Nothing is computed for chunks that nobody asks for; closing the iterator frees
        everything.
        """
        arguments = _arguments(locals())
        call = self._prepared(prompt, arguments)
        return (chunk for _, chunk in self._runner.run([call], self._cancelled(_never)))

    def generate_batch(self, requests: Iterable[Request | PreparedCall]) -> list[Generation]:
        """Answer several requests, of different users, lengths and parameters, in one batch.

        Every request is prepared before any is decoded, so a bad one costs nothing.
        """
        if not isinstance(requests, Iterable) or isinstance(requests, str | Mapping):
            raise InvalidParameterError("requests", type(requests).__name__, "a list of Requests")
        chosen = list(requests)
        for request in chosen:
            if not isinstance(request, Request | PreparedCall):
                raise InvalidParameterError("requests", type(request).__name__, "made of Requests")
        calls = [self._prepared(request, {}) for request in chosen]
        return self._runner.run_all(calls, self._cancelled(_never))

    async def agenerate(self, prompt: Call, **arguments: Any) -> Generation:  # noqa: ANN401
        """Answer one prompt without blocking the event loop; arguments as for `generate`.

        Cancelling the task stops the decoder within one step.
        """
        _check_arguments(arguments)
        self._check_open()

        def work(cancelled: StopCheck) -> Generation:
            return self._runner.run_one(
                self._prepared(prompt, arguments), self._cancelled(cancelled)
            )

        return await aio.run(self._pool, work)

    def astream(self, prompt: Call, **arguments: Any) -> AsyncGenerator[Chunk, None]:  # noqa: ANN401
        """Answer one prompt in pieces, asynchronously; arguments as for `generate`.

        The ambient user is the one at this call. Leaving the loop (`aclose`, cancellation)
        stops the decoder within one step.
        """
        _check_arguments(arguments)
        self._check_open()

        def work(cancelled: StopCheck) -> Iterator[Chunk]:
            call = self._prepared(prompt, arguments)
            return (chunk for _, chunk in self._runner.run([call], self._cancelled(cancelled)))

        return aio.stream(self._pool, work)

    def prepare(self, request: Request) -> PreparedCall:
        """Read the profile, split it and build both prompts now; decode later or several times."""
        self._check_open()
        if not isinstance(request, Request):
            raise InvalidParameterError("request", type(request).__name__, "a Request")
        return self._planner.prepare(request)

    def plan(self, prompt: Call, **arguments: Any) -> PreparedCall:  # noqa: ANN401
        """Show what `generate` would do, without generating: split, prompts, counts, dropped."""
        _check_arguments(arguments)
        return self._prepared(prompt, arguments)

    def close(self) -> None:
        """Stop running calls within one step and refuse new ones; the model itself is kept."""
        self._closed.set()
        # Calls that still wait for a thread get one, see that the engine is closed, and end.
        self._pool.shutdown(wait=False)

    def __enter__(self) -> "PersonaJudge":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "PersonaJudge":
        """Return itself: frameworks copy what they hold, and weights exist once."""
        return self

    def _detokenize(self, token_ids: list[int]) -> str:
        # Cleaning up spaces would change text that a stream has shown already.
        text = self.tokenizer.decode(
            token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise EngineClosedError

    def _cancelled(self, cancelled: StopCheck) -> StopCheck:
        return lambda: cancelled() or self._closed.is_set()

    def _prepared(self, prompt: Call, arguments: Mapping[str, Any]) -> PreparedCall:
        if isinstance(prompt, Request | PreparedCall):
            if arguments:
                raise InvalidParameterError(
                    next(iter(arguments)), "...", "left out beside a Request or PreparedCall"
                )
            self._check_open()
            if isinstance(prompt, Request):
                return self.prepare(prompt)
            if prompt.planner is not self._planner:
                raise InvalidParameterError("prompt", prompt, "prepared by this very engine")
            return prompt
        return self.prepare(Request(prompt, **arguments))


_ARGUMENTS = (
    "user_id",
    "preferences",
    "params",
    "rule",
    "num_draft_tokens",
    "turns",
    "persona",
    "placement",
    "tools",
)
_SETTINGS = (
    "profiles",
    "rule",
    "num_draft_tokens",
    "turns",
    "placement",
    "splitter",
    "require_user",
    "unknown_user",
    "loop",
)
_UNSET: dict[str, Literal[True] | None] = {"persona": True}


def _arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that differ from their defaults."""
    return {n: values[n] for n in _ARGUMENTS if values[n] is not _UNSET.get(n)}


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    for name in arguments:
        if name not in _ARGUMENTS:
            raise InvalidParameterError("argument", name, f"one of {_ARGUMENTS}")


def _check_settings(settings: Mapping[str, Any]) -> None:
    for name in settings:
        if name not in _SETTINGS:
            raise InvalidParameterError("setting", name, f"one of {_SETTINGS}")
