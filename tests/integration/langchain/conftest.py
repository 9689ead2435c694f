"""An engine whose answers tell whose they are, and both LangChain models on it."""

import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest
from langchain_core.globals import set_llm_cache

from langchain_persona_judge import ChatPersonaJudge, PersonaJudgeLLM
from persona_judge_llm.engine import Call, PersonaJudge
from persona_judge_llm.in_memory import InMemoryProfileStore
from persona_judge_llm.planning import PreparedCall
from persona_judge_llm.preferences import Preference, Profile
from persona_judge_llm.requests import Request
from persona_judge_llm.testing import tiny_engine, tiny_model, tiny_tokenizer
from persona_judge_llm.trace import Chunk, Generation, Usage

ALICE = "alice@example.org"
BOB = "bob@example.org"
TASTES = {ALICE: "speaks of the sea", BOB: "speaks of the moon"}
LIKES = {ALICE: "Be concise", BOB: "Use vivid images"}


class TellingEngine(PersonaJudge):
    """Decodes nothing: answers with the preferences that it was given, or with `script`."""

    script: str | None = None

    def __init__(self, profiles: InMemoryProfileStore) -> None:
        super().__init__(tiny_model(), tiny_tokenizer(), profiles=profiles)
        self.decoded: list[PreparedCall] = []
        self.batches: list[int] = []
        self._lock = threading.Lock()

    def generate(self, prompt: Call, **arguments: Any) -> Generation:
        assert isinstance(prompt, PreparedCall)
        with self._lock:
            self.decoded.append(prompt)
        texts = sorted({p.text for p in (*prompt.split.a, *prompt.split.b)})
        text = self.script or " ".join(texts) or "nobody"
        words = len(text.split())
        return Generation(
            text=text,
            token_ids=(1,) * words,
            finish_reason="stop",
            stop_sequence=None,
            usage=Usage(prompt.prompt_tokens, words, len(prompt.prompt_ids_a), 9, 7),
            trace=(),
            split=prompt.split,
            profile_version=prompt.profile_version,
            seed=0,
            fingerprint=prompt.fingerprint,
        )

    def generate_batch(self, requests: Iterable[Request | PreparedCall]) -> list[Generation]:
        calls = list(requests)
        self.batches.append(len(calls))
        return [self.generate(call) for call in calls]

    def stream(self, prompt: Call, **arguments: Any) -> Iterator[Chunk]:  # type: ignore[override]
        generation = self.generate(prompt)
        for letter in generation.text[:-1]:
            yield Chunk(letter, (1,))
        yield Chunk(generation.text[-1], (1,), generation)

    async def agenerate(self, prompt: Call, **arguments: Any) -> Generation:
        return self.generate(prompt)

    async def astream(self, prompt: Call, **arguments: Any) -> AsyncIterator[Chunk]:  # type: ignore[override]
        for chunk in self.stream(prompt):
            yield chunk


@pytest.fixture(scope="session")
def shared() -> Iterator[TellingEngine]:
    engine = TellingEngine(InMemoryProfileStore())
    yield engine
    engine.close()


@pytest.fixture
def telling(shared: TellingEngine, store: InMemoryProfileStore) -> TellingEngine:
    """The telling engine as new."""
    shared.script, shared.decoded, shared.batches = None, [], []
    return shared


@pytest.fixture
def store(shared: TellingEngine) -> InMemoryProfileStore:
    """Its profiles, as in `TASTES`."""
    assert isinstance(shared.profiles, InMemoryProfileStore)
    for user, text in TASTES.items():
        shared.profiles.put(Profile(user, (Preference(text, id="p1"),)))
    return shared.profiles


@pytest.fixture(params=[PersonaJudgeLLM, ChatPersonaJudge], ids=["llm", "chat"])
def model(request: pytest.FixtureRequest, telling: TellingEngine) -> Any:
    """Either model, on the telling engine."""
    return request.param(engine=telling)


@pytest.fixture
def llm(telling: TellingEngine) -> PersonaJudgeLLM:
    return PersonaJudgeLLM(engine=telling)


@pytest.fixture
def chat(telling: TellingEngine) -> ChatPersonaJudge:
    return ChatPersonaJudge(engine=telling)


@pytest.fixture(scope="session")
def real_engine() -> Iterator[PersonaJudge]:
    """A real engine on random weights."""
    profiles = InMemoryProfileStore(
        [
            Profile(ALICE, (Preference("Speak of the sea"), Preference("Use long sentences"))),
            Profile(BOB, (Preference("Speak of the moon"),)),
        ]
    )
    with tiny_engine(profiles=profiles) as engine:
        yield engine


@pytest.fixture(scope="session")
def roomy() -> Iterator[PersonaJudge]:
    """A real engine on random weights with room for tools and schemas, letter by letter."""
    config = tiny_model().config
    config.max_position_embeddings = 8192
    profiles = InMemoryProfileStore(
        [
            Profile(ALICE, (Preference("Speak of the sea"), Preference("Use long sentences"))),
            Profile(BOB, (Preference("Speak of the moon"), Preference("Be brief"))),
        ]
    )
    with PersonaJudge(tiny_model(config), tiny_tokenizer(), profiles=profiles) as engine:
        yield engine


@pytest.fixture
def writing(roomy: PersonaJudge) -> ChatPersonaJudge:
    """Writes gibberish letter by letter: what fits a schema there, the constraint made fit."""
    return ChatPersonaJudge(engine=roomy, max_tokens=90, seed=1)


def watched(engine: PersonaJudge, patch: pytest.MonkeyPatch) -> list[PreparedCall]:
    """Return where the calls that an engine prepares will be noted."""
    calls: list[PreparedCall] = []
    prepare = engine.prepare

    def note(request: Request) -> PreparedCall:
        calls.append(prepare(request))
        return calls[-1]

    patch.setattr(engine, "prepare", note)
    return calls


@pytest.fixture
def asked(roomy: PersonaJudge, monkeypatch: pytest.MonkeyPatch) -> list[PreparedCall]:
    """The calls of the engine of `writing`, in turn."""
    return watched(roomy, monkeypatch)


@pytest.fixture(scope="session")
def bundled() -> Iterator[PersonaJudge]:
    """The engine on the model that ships with the package, with the profiles of `LIKES`."""
    profiles = InMemoryProfileStore(
        [Profile(user, (Preference(text),)) for user, text in LIKES.items()]
    )
    with PersonaJudge.bundled(profiles=profiles) as engine:
        yield engine


@pytest.fixture(params=[PersonaJudgeLLM, ChatPersonaJudge], ids=["llm", "chat"])
def real(request: pytest.FixtureRequest, real_engine: PersonaJudge) -> Any:
    """Either model, on the real engine."""
    return request.param(engine=real_engine, max_tokens=24)


@pytest.fixture(autouse=True)
def no_global_cache() -> Iterator[None]:
    yield
    set_llm_cache(None)


def text_of(answer: Any) -> str:
    """Return the text of whatever a door returned."""
    return answer if isinstance(answer, str) else str(answer.text)
