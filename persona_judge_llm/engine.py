"""`PersonaJudge`: the facade. One object, one set of weights, every user's own taste."""

import threading
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from persona_judge_llm import aio, bundled
from persona_judge_llm.arguments import (
    CALL_ARGUMENTS,
    ENGINE_SETTINGS,
    Loop,
    Proposals,
    UnknownUserPolicy,
    check_all,
    check_names,
    check_settings,
    given,
)
from persona_judge_llm.constraints import Constraint
from persona_judge_llm.diagnosing import Diagnosis, alternating, diagnose
from persona_judge_llm.errors import EngineClosedError, InvalidParameterError
from persona_judge_llm.metrics import Metrics
from persona_judge_llm.models.defaults import eos_token_ids, sampling_defaults
from persona_judge_llm.models.grammars import Grammars
from persona_judge_llm.models.huggingface import HuggingFaceModel, adapted
from persona_judge_llm.models.loading import check_options, load
from persona_judge_llm.models.port import LanguageModel
from persona_judge_llm.models.weights import WeightFormat, prepare_weights
from persona_judge_llm.planning import Planner, PreparedCall, Settings
from persona_judge_llm.preferences import AnyProfileStore, Preference
from persona_judge_llm.prompts import PromptBuilder, detokenizer
from persona_judge_llm.requests import (
    Placement,
    Prompt,
    Request,
    Rule,
    StopCheck,
    check_turns,
)
from persona_judge_llm.running import Runner
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.splitting import Splitter, default_splitter
from persona_judge_llm.trace import Chunk, Generation

Call: TypeAlias = "Prompt | Request | PreparedCall"


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
        profiles: where `user_id`s are looked up.
        rule: "alternate" (the paper's Persona-judge: roles swap after each window), "fixed"
            (Persona-judge-Base: A drafts, B judges; the text follows B's preferences alone), or one
            that blends both sides at every token (`rules`).
        num_draft_tokens: window length (the paper's lambda).
        turns: windows judged by A and B in a round; None follows the split's weights.
        strength: how much preferences count under "balance" and "compose"; 0 is the plain model.
        placement: preferences in the "system" message, or "last" in the last user message.
        splitter: divides preferences into sides A and B.
        require_user: refuse calls that name no user and no preferences.
        unknown_user: "error", or "neutral" to answer unknown users by the plain model.
        loop: "dual" (one pass a token for both sides), or "reference" (Algorithm 1 as printed).
        proposals: "auto" guesses tokens that a text repeats where that pays; texts are the same.
        assistant: a small model of the same tokenizer; guesses where the text repeats nothing.
        prefix_cache_bytes: memory for what earlier calls computed, reused by prompts that begin
            with the same tokens; 0 switches it off.
        weights: form of a CPU model's linear layers, changed in place by "packed", "int8" and,
            where that pays, "auto" (see `prepare_weights`); "plain" leaves it as it is.
        cuda_graphs: record steps on a CUDA device and replay them; see `RecordedSteps`.
        max_batch: calls that are decoded together; more wait their turn.
        max_queue: calls that may wait; more are refused with `EngineOverloadedError`.

    Raises:
        InvalidParameterError: a setting that cannot be used, named.
        UnsupportedModelError: not a causal language model.
    """

    def __init__(  # noqa: PLR0913  # each is a setting
        self,
        model: PreTrainedModel | LanguageModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        profiles: AnyProfileStore | None = None,
        rule: Rule = "alternate",
        num_draft_tokens: int = 4,
        turns: tuple[int, int] | None = None,
        strength: float = 1.0,
        placement: Placement = "system",
        splitter: Splitter = default_splitter,
        require_user: bool = False,
        unknown_user: UnknownUserPolicy = "error",
        loop: Loop = "dual",
        proposals: Proposals = "auto",
        assistant: PreTrainedModel | LanguageModel | None = None,
        prefix_cache_bytes: int = 256 * 2**20,
        weights: WeightFormat = "plain",
        cuda_graphs: bool = False,
        max_batch: int = 64,
        max_queue: int = 1024,
    ) -> None:
        check_settings(locals())
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise InvalidParameterError("tokenizer", type(tokenizer).__name__, "the model's own")
        self.language_model = adapted(model, prefix_cache_bytes, cuda_graphs=cuda_graphs)
        if isinstance(model, PreTrainedModel):
            prepare_weights(model, weights)
        elif weights not in ("plain", "auto"):
            raise InvalidParameterError("weights", weights, "'plain' for a LanguageModel")
        if assistant is model:
            raise InvalidParameterError("assistant", "the model itself", "a smaller model")
        self.model = model
        self.tokenizer = tokenizer
        self.profiles = profiles
        self._closed = threading.Event()
        self._detokenize = detokenizer(tokenizer)
        eos, size = eos_token_ids(model, tokenizer), self.language_model.vocab_size
        self.grammars = Grammars(tokenizer, size, eos, in_use=loop == "dual")
        self._planner = Planner(
            PromptBuilder(tokenizer),
            profiles,
            Settings(
                rule=rule,
                num_draft_tokens=num_draft_tokens,
                turns=None if turns is None else check_turns(turns),
                strength=strength,
                placement=placement,
                splitter=splitter,
                require_user=require_user,
                unknown_user=unknown_user,
            ),
            sampling_defaults(model),
            self.language_model.context_window,
            self.grammars,
        )
        self._runner = Runner(
            self.language_model,
            self._detokenize,
            eos,
            loop,
            proposals=proposals == "auto",
            assistant=None if assistant is None else adapted(assistant, 0, "assistant"),
            max_batch=max_batch,
            max_queue=max_queue,
        )
        # A thread for each call that may wait, so that the scheduler sees all deadlines.
        self._crew = aio.Crew(max_batch + max_queue, 0)

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | Path,
        *,
        dtype: str | torch.dtype = "auto",
        device: str | torch.device = "auto",
        weights: WeightFormat = "auto",
        load_options: Mapping[str, Any] | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> "PersonaJudge":
        """Load a model from a folder or the hub (safetensors only, no remote code).

        Args:
            model_id: a folder or hub id, such as "Qwen/Qwen2.5-0.5B-Instruct".
            dtype: "auto" for the checkpoint's own, or "float32", "bfloat16", "float16".
            device: "auto" for CUDA, MPS or CPU, or a torch device.
            weights: as for `PersonaJudge`; the model is the engine's own, so "auto" is the default.
            load_options: for transformers' `from_pretrained` (`revision`, `token`, ...).
            settings: as for `PersonaJudge`.

        Raises:
            ModelLoadError: not found, without safetensors, or in need of remote code.
            InvalidParameterError: an unknown setting, dtype or device.
        """
        check_names("setting", settings, ENGINE_SETTINGS)
        options = check_options(load_options)
        model, tokenizer = load(model_id, dtype=dtype, device=device, **options)
        return cls(model, tokenizer, weights=weights, **settings)

    @classmethod
    def bundled(cls, **settings: Any) -> "PersonaJudge":  # noqa: ANN401
        """Load the small model that ships with the package; offline, for trying things out.

        Args:
            settings: as for `PersonaJudge`, and `device`.
        """
        device = settings.pop("device", "auto")
        check_names("setting", settings, ENGINE_SETTINGS)
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

    @property
    def metrics(self) -> Metrics:
        """What the engine has done so far, as plain numbers."""
        return self._runner.metrics

    def clear_prefix_cache(self) -> None:
        """Forget what earlier calls computed, as after a change of the model's weights."""
        if isinstance(self.language_model, HuggingFaceModel):
            self.language_model.prefix_cache.clear()

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `text` is, without special tokens."""
        return self._planner.prompts.count_tokens(text)

    def generate(  # noqa: PLR0913  # each is part of a Request
        self,
        prompt: Call,
        *,
        user_id: str | None = None,
        preferences: Sequence[str | Preference] | None = None,
        params: SamplingParams | None = None,
        rule: Rule | None = None,
        num_draft_tokens: int | None = None,
        turns: tuple[int, int] | None = None,
        strength: float | None = None,
        persona: bool = True,
        placement: Placement | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        constraint: Constraint | None = None,
        scope: str | None = None,
        timeout: float | None = None,
    ) -> Generation:
        """Answer one prompt.

        Args:
            prompt: text, chat messages, a `Request`, or a `PreparedCall` from `prepare`; with
                the last two every other argument must be left out.
            user_id: whose profile to use; without it the innermost `use_user()` scope counts.
            preferences: used instead of a profile.
            params: how to sample; None fields take the model's generation config.
            rule: overrides the engine's for this call, as do the next three and `placement`.
            num_draft_tokens: see `PersonaJudge`.
            turns: see `PersonaJudge`.
            strength: see `PersonaJudge`.
            persona: False answers with the plain model.
            placement: see `PersonaJudge`.
            tools: OpenAI-style function schemas for the chat template.
            constraint: what the answer is held to; with tools and None, calls to their schemas.
            scope: where the call is made; leaves out preferences of other scopes.
            timeout: seconds after which the call fails with `DeadlineExceededError`.

        Raises:
            PersonaJudgeError: see `errors`; all of them before any forward pass, except
                `NumericalError`, `DecodingError` and `DeadlineExceededError`.
        """
        call = self._prepared(prompt, given(locals()))
        return self._runner.run_one(call, self._cancelled())

    def stream(  # noqa: PLR0913  # each is part of a Request
        self,
        prompt: Call,
        *,
        user_id: str | None = None,
        preferences: Sequence[str | Preference] | None = None,
        params: SamplingParams | None = None,
        rule: Rule | None = None,
        num_draft_tokens: int | None = None,
        turns: tuple[int, int] | None = None,
        strength: float | None = None,
        persona: bool = True,
        placement: Placement | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        constraint: Constraint | None = None,
        scope: str | None = None,
        timeout: float | None = None,
    ) -> Generator[Chunk, None, None]:
        """Answer one prompt in pieces; arguments and errors as for `generate`.

        User, profile and prompts are settled when this is called, not when the iterator is
        read. Nothing is computed for chunks that nobody asks for; closing the iterator frees
        everything.
        """
        call = self._prepared(prompt, given(locals()))
        return (chunk for chunk in self._runner.stream(call, self._cancelled()))

    def generate_batch(self, requests: Iterable[Request | PreparedCall]) -> list[Generation]:
        """Answer requests of different users and parameters together; all are prepared first."""
        chosen = check_all(requests, (Request, PreparedCall))
        calls = [self._prepared(request, {}) for request in chosen]
        return self._runner.run_all(calls, self._cancelled())

    async def agenerate(self, prompt: Call, **arguments: Any) -> Generation:  # noqa: ANN401
        """Answer one prompt off the event loop, arguments as for `generate`; can be cancelled."""
        check_names("argument", arguments, CALL_ARGUMENTS)
        self._check_open()
        started = time.monotonic()

        def work(cancelled: StopCheck) -> Generation:
            call = self._prepared(prompt, arguments)
            return self._runner.run_one(call, self._cancelled(cancelled), started)

        return await aio.run(self._crew, work)

    def astream(self, prompt: Call, **arguments: Any) -> AsyncGenerator[Chunk, None]:  # noqa: ANN401
        """Answer one prompt in pieces, asynchronously; arguments as for `generate`.

        The ambient user is the one at this call. Leaving the loop (`aclose`, cancellation)
        stops the decoder within one step.
        """
        check_names("argument", arguments, CALL_ARGUMENTS)
        self._check_open()
        started = time.monotonic()

        def work(cancelled: StopCheck) -> Iterator[Chunk]:
            call = self._prepared(prompt, arguments)
            return self._runner.stream(call, self._cancelled(cancelled), started)

        return aio.stream(self._crew, work)

    def prepare(self, request: Request) -> PreparedCall:
        """Read the profile, split it and build both prompts now; decode later or several times."""
        self._check_open()
        return self._planner.prepare(request)

    def plan(self, prompt: Call, **arguments: Any) -> PreparedCall:  # noqa: ANN401
        """Show what `generate` would do, without generating: split, prompts, counts, dropped."""
        check_names("argument", arguments, CALL_ARGUMENTS)
        return self._prepared(prompt, arguments)

    def diagnose(self, prompt: Call, **arguments: Any) -> Diagnosis:  # noqa: ANN401
        """Answer by `rule="alternate"`; tell how far the sides agree and which rule fits."""
        call = self._prepared(alternating(self.plan(prompt, **arguments)), {})
        return diagnose(self.language_model, call, self.generate(call), self._detokenize)

    def close(self) -> None:
        """Stop running calls within one step and refuse new ones; the model itself is kept."""
        self._closed.set()
        self._runner.close()
        # Calls that still wait for a thread get one, see that the engine is closed, and end.
        self._crew.close()

    def __enter__(self) -> "PersonaJudge":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "PersonaJudge":
        """Return itself: frameworks copy what they hold, and weights exist once."""
        return self

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise EngineClosedError

    def _cancelled(self, cancelled: StopCheck = bool) -> StopCheck:  # bool() is False
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
