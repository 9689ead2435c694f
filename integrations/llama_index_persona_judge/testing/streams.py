"""Streams: what they say, to whom, and what happens when nobody listens any more."""

from itertools import zip_longest
from typing import Any

import pytest
from llama_index.core.llms import LLM
from llama_index.core.prompts import PromptTemplate

from llama_index_persona_judge.testing.suite import (
    QUESTION,
    LLMSuite,
    answer_to,
    ask,
    in_thread,
    opened,
    text_of,
)

BOTH = pytest.mark.parametrize("method", ["stream_complete", "stream_chat"])


class Streams(LLMSuite):
    """Answers in pieces."""

    @BOTH
    def test_deltas_join_to_the_answer(self, llm: LLM, method: str) -> None:
        """Each response has what is new, and the text so far."""
        self.need("supports_streaming")
        responses = ask(llm, method)
        so_far = ""
        for response in responses:
            so_far += response.delta or ""
            assert text_of(response) == so_far
        assert so_far

    @BOTH
    def test_a_stream_says_what_the_whole_answer_says(self, llm: LLM, method: str) -> None:
        """How an answer is asked for changes nothing in it."""
        self.need("supports_streaming", "is_deterministic")
        assert answer_to(llm, method) == answer_to(llm, method.removeprefix("stream_"))

    def test_streams_may_be_read_in_turns(self, llm: LLM) -> None:
        """One stream keeps no other one waiting, and takes nothing of it."""
        self.need("supports_streaming", "is_deterministic")
        questions = [QUESTION, "Hello!"]
        alone = [answer_to(llm, "stream_complete", question) for question in questions]
        streams = [opened(llm, "stream_complete", question) for question in questions]
        together = ["", ""]
        for responses in zip_longest(*streams):
            for place, response in enumerate(responses):
                together[place] += (response and response.delta) or ""
        assert together == alone

    @BOTH
    def test_a_stream_may_be_read_in_another_thread(self, llm: LLM, method: str) -> None:
        """Chat engines write answers in one thread and read them in another."""
        self.need("supports_streaming")
        stream = opened(llm, method)
        responses = in_thread(lambda: list(stream))
        assert "".join(r.delta or "" for r in responses) == text_of(responses[-1]) != ""

    def test_an_abandoned_stream_leaves_the_llm_as_it_was(self, llm: LLM) -> None:
        """Users close their windows."""
        self.need("supports_streaming", "is_deterministic")
        whole = llm.complete(QUESTION).text
        stream = opened(llm, "stream_chat")
        next(stream)
        stream.close()
        opened(llm, "stream_complete").close()
        assert llm.complete(QUESTION).text == whole

    def test_a_template_is_answered_in_pieces(self, llm: LLM) -> None:
        """`stream` says what `predict` does."""
        self.need("supports_streaming", "is_deterministic")
        template: Any = PromptTemplate("How can I {what} better?")
        pieces = llm.stream(template, what="sleep")
        assert "".join(pieces) == llm.predict(template, what="sleep")
