"""A model that answers by a script, users whose answers tell whose they are, tidy globals."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import llama_index.core
import pytest
import torch
from llama_index.core import Settings
from llama_index.core.embeddings import MockEmbedding
from torch import Tensor
from transformers import LlamaConfig, PreTrainedModel

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm.arguments import Loop
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.requests import Request
from persona_judge_llm.testing import FakeJoining, tiny_engine, tiny_model, tiny_tokenizer

IM_START, IM_END = 257, 258
USERS = ("alice", "bob", "carol")


class ScriptedModel:
    """Decides for the text that `script` makes of the prompt; counts its forward passes."""

    vocab_size = 261
    context_window: int | None = None
    can_rewind = True
    device = torch.device("cpu")

    def __init__(self, script: Callable[[str], str]) -> None:
        self.script = script
        self.forwards = 0
        self.tokenizer = tiny_tokenizer()
        self.role = self.tokenizer.encode("assistant\n")
        self.answers: dict[tuple[int, ...], list[int]] = {}

    def open(self, num_rows: int = 0) -> "ScriptedContext":
        return ScriptedContext(self, num_rows)

    def next_token(self, tokens: Sequence[int]) -> int:
        turn = len(tokens) - 1 - list(reversed(tokens)).index(IM_START)
        prompt, said = tuple(tokens[:turn]), len(tokens) - turn - 1 - len(self.role)
        if prompt not in self.answers:
            answer = self.script(str(self.tokenizer.decode(list(prompt))))
            self.answers[prompt] = [*self.tokenizer.encode(answer), IM_END]
        return self.answers[prompt][said] if 0 <= said < len(self.answers[prompt]) else IM_END


class ScriptedContext:
    def __init__(self, model: ScriptedModel, num_rows: int) -> None:
        self.model = model
        self.rows: list[list[int]] = [[] for _ in range(num_rows)]

    def extend(self, tokens: Tensor, counts: Sequence[int] | None = None, last: int = 1) -> Tensor:
        self.model.forwards += 1
        logits = torch.zeros(len(self.rows), last, self.model.vocab_size)
        for r, row in enumerate(self.rows):
            row.extend(tokens[r].tolist()[: counts[r] if counts else None])
            for place in range(last):
                seen = row[: len(row) - last + 1 + place]
                if IM_START in seen:
                    logits[r, place, self.model.next_token(seen)] = 100.0
        return logits

    def join(self, groups: Sequence[Sequence[Sequence[int]]]) -> FakeJoining:
        return FakeJoining(groups, self.take_over)

    def take_over(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        added = [self.model.open(1) for _ in prompts]
        logits = [
            one.extend(torch.tensor([prompt]))[0, -1]
            for one, prompt in zip(added, prompts, strict=True)
        ]
        self.rows += [row for one in added for row in one.rows]
        return torch.stack(logits)

    def remember(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        pass

    def rewind(self, counts: Sequence[int]) -> None:
        for row, count in zip(self.rows, counts, strict=True):
            del row[len(row) - count :]

    def keep(self, rows: Sequence[int]) -> None:
        self.rows = [self.rows[r] for r in rows]


def whose(prompt: str) -> str:
    """Answer with the users whose preferences stand in the prompt."""
    named = [user for user in USERS if f"Write for {user}" in prompt]
    return f"For {' and '.join(named) or 'nobody'} only."


class RecordingEngine(PersonaJudge):
    """Keeps what it prepared."""

    def prepare(self, request: Request) -> PreparedCall:
        prepared = super().prepare(request)
        self.__dict__.setdefault("calls", []).append(prepared)
        return prepared

    @property
    def calls(self) -> list[PreparedCall]:
        calls: list[PreparedCall] = self.__dict__["calls"]
        return calls


def wide_model(window: int = 8192) -> PreTrainedModel:
    """Return random weights for single bytes, with room for the prompts of query engines."""
    config = LlamaConfig(
        vocab_size=261,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        bos_token_id=None,
        eos_token_id=IM_END,
        pad_token_id=256,
    )
    return tiny_model(config)


ScriptedLLM = Callable[..., PersonaJudgeLLM]


@pytest.fixture
def store() -> InMemoryProfileStore:
    """Each user has one preference, which names the user."""
    return InMemoryProfileStore(
        [Profile(user, (Preference(f"Write for {user}"),)) for user in USERS]
    )


@pytest.fixture
def scripted(store: InMemoryProfileStore) -> ScriptedLLM:
    """Make an LLM that answers by a script; default: with the names of whom it writes for."""

    def make(
        script: Callable[[str], str] = whose,
        *,
        require_user: bool = False,
        context_window: int | None = None,
        loop: Loop = "dual",
        **fields: object,
    ) -> PersonaJudgeLLM:
        model = ScriptedModel(script)
        model.context_window = context_window
        engine = RecordingEngine(
            model, tiny_tokenizer(), profiles=store, require_user=require_user, loop=loop
        )
        return PersonaJudgeLLM(engine=engine, **fields)

    return make


@pytest.fixture
def llm(scripted: ScriptedLLM) -> PersonaJudgeLLM:
    """Answers with the names of the users it writes for."""
    return scripted()


@pytest.fixture(scope="session")
def real_engine() -> PersonaJudge:
    """A real transformers model with random weights, and one user with two sides."""
    likes = (Preference("Be brief", id="p1"), Preference("Use vivid images", id="p2"))
    return tiny_engine(profiles=InMemoryProfileStore([Profile("alice", likes)]))


@pytest.fixture
def real(real_engine: PersonaJudge) -> PersonaJudgeLLM:
    """An LLM on the real engine."""
    return PersonaJudgeLLM(engine=real_engine, max_tokens=8)


@contextmanager
def globals_kept() -> Iterator[None]:
    """Undo what is done to LlamaIndex's global settings."""
    settings = dict(Settings.__dict__)
    tokenizer = llama_index.core.global_tokenizer
    handler = llama_index.core.global_handler
    try:
        yield
    finally:
        Settings.__dict__.clear()
        Settings.__dict__.update(settings)
        llama_index.core.global_tokenizer = tokenizer
        llama_index.core.global_handler = handler


@pytest.fixture(autouse=True)
def globals_as_found() -> Iterator[None]:
    """Undo what a test does to LlamaIndex's global settings."""
    with globals_kept():
        Settings.embed_model = MockEmbedding(embed_dim=4)
        yield


@contextmanager
def loop_lent() -> Iterator[None]:
    """Lend LlamaIndex an event loop; it would leave one of its own open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@pytest.fixture
def own_loop() -> Iterator[None]:
    """Lend an event loop to a test."""
    with loop_lent():
        yield
