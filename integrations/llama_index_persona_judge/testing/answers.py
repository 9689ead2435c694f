"""Questions and answers: both forms, every role and language, and the arguments of a call."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms import LLM
from llama_index.core.prompts import PromptTemplate

from llama_index_persona_judge.testing.suite import (
    QUESTION,
    LLMSuite,
    answer_to,
    ask,
    refusal,
    text_of,
)

FOREIGN = "Grüße, 你好, שלום, नमस्ते 👩‍👩‍👧 — was hilft gegen Müdigkeit?"
MANY_TOKENS = 10_000_000


class Answers(LLMSuite):
    """Whole answers."""

    def test_a_prompt_is_answered(self, llm: LLM) -> None:
        """`complete` returns a text."""
        answer = llm.complete(QUESTION)
        assert isinstance(answer, CompletionResponse)
        assert answer.text

    def test_a_conversation_is_answered(self, llm: LLM) -> None:
        """`chat` returns a message of the assistant."""
        answer = llm.chat([ChatMessage(QUESTION)])
        assert isinstance(answer, ChatResponse)
        assert answer.message.role == MessageRole.ASSISTANT
        assert answer.message.content

    def test_a_prompt_may_be_named(self, llm: LLM) -> None:
        """`complete(prompt=...)` is `complete(...)`."""
        self.need("is_deterministic")
        assert llm.complete(prompt=QUESTION).text == llm.complete(QUESTION).text

    @pytest.mark.parametrize("method", ["complete", "stream_complete"])
    def test_a_formatted_prompt_is_answered(self, llm: LLM, method: str) -> None:
        """`formatted=True` says that a template is applied already."""
        if "stream" in method:
            self.need("supports_streaming")
        (*_, answer) = ask(llm, method, formatted=True)
        assert isinstance(answer, CompletionResponse)

    def test_a_template_is_answered(self, llm: LLM) -> None:
        """`predict` fills a template and returns the answer's text."""
        template = PromptTemplate("How can I {what} better?")
        answer = llm.predict(template, what="sleep")
        assert answer
        if self.is_chat_model and self.is_deterministic:
            assert answer == text_of(llm.chat([ChatMessage(QUESTION)]))

    def test_every_role_has_its_place(self, llm: LLM) -> None:
        """Instructions and earlier turns are part of a conversation."""
        turns = [
            ChatMessage("Answer like a friend.", role=MessageRole.SYSTEM),
            ChatMessage("Hello!", role=MessageRole.USER),
            ChatMessage("Hi, what can I do for you?", role=MessageRole.ASSISTANT),
            ChatMessage(QUESTION, role=MessageRole.USER),
        ]
        assert text_of(llm.chat(turns))

    def test_a_tools_result_has_its_place(self, llm: LLM) -> None:
        """Calls of tools and what came of them are part of a conversation."""
        self.need("supports_function_calling")
        block = ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1, "b": 2})
        turns = [
            ChatMessage("1 + 2?"),
            ChatMessage(role=MessageRole.ASSISTANT, blocks=[block]),
            ChatMessage("3", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "c1"}),
        ]
        assert text_of(llm.chat(turns))

    def test_any_language_can_be_asked_in(self, llm: LLM) -> None:
        """Scripts, emoji and joiners go in, in both forms."""
        assert text_of(llm.complete(FOREIGN))
        assert text_of(llm.chat([ChatMessage(FOREIGN)]))

    def test_the_same_question_gets_the_same_answer(self, llm: LLM) -> None:
        """No state of one call is left for the next."""
        self.need("is_deterministic")
        answers = []
        for question in (QUESTION, FOREIGN, QUESTION):
            answers.append(llm.complete(question).text)
            answers.append(text_of(llm.chat([ChatMessage(question)])))
        assert answers[:2] == answers[4:]

    def test_threads_do_not_disturb_each_other(self, llm: LLM) -> None:
        """Web servers call one LLM from many threads."""
        self.need("is_deterministic")
        questions = [QUESTION, FOREIGN, "Hello!", "What is tea?"]
        alone = [llm.complete(question).text for question in questions]
        with ThreadPoolExecutor(len(questions)) as pool:
            together = list(pool.map(lambda q: llm.complete(q).text, questions))
        assert together == alone

    def test_the_length_of_an_answer_can_be_limited(self, llm: LLM) -> None:
        """`max_tokens` counts in one call and not in the next."""
        self.need("supports_max_tokens", "is_deterministic")
        whole = llm.complete(QUESTION).text
        short: Any = llm.complete(QUESTION, max_tokens=2)
        assert len(short.text) < len(whole)
        assert llm.complete(QUESTION).text == whole

    def test_a_stop_ends_an_answer(self, llm: LLM) -> None:
        """The answer ends before a stop sequence, which is not part of it."""
        self.need("supports_stop", "is_deterministic")
        whole = llm.complete(QUESTION).text
        stop = _found_within(whole)
        assert answer_to(llm, "complete", stop=[stop]) == whole[: whole.index(stop)]
        assert answer_to(llm, "chat", stop=[stop]) == whole[: whole.index(stop)]
        assert llm.complete(QUESTION).text == whole

    def test_a_prompt_beyond_the_window_is_refused(self, llm: LLM) -> None:
        """Nothing is cut off in silence."""
        self.need("supports_context_window")
        long = "word " * (llm.metadata.context_window + 1000)
        refusal(lambda: llm.complete(long))
        refusal(lambda: llm.chat([ChatMessage(long)]))

    def test_an_answer_that_cannot_fit_is_refused(self, llm: LLM) -> None:
        """So that nobody waits for tokens for which there is no room."""
        self.need("supports_context_window", "supports_max_tokens")
        refusal(lambda: llm.complete(QUESTION, max_tokens=MANY_TOKENS))

    @pytest.mark.parametrize("method", ["complete", "stream_chat", "achat", "astream_complete"])
    def test_an_unknown_argument_is_refused(self, llm: LLM, method: str) -> None:
        """A misspelt argument that is ignored is found by nobody."""
        self.need("refuses_unknown_arguments")
        refusal(lambda: ask(llm, method, no_such_argument=1))

    def test_an_empty_conversation_is_refused(self, llm: LLM) -> None:
        """There is nothing to answer."""
        self.need("refuses_empty_chats")
        refusal(lambda: llm.chat([]))


def _found_within(text: str) -> str:
    """Return a piece of the text that begins neither it nor before its own place."""
    for place in range(1, len(text) - 1):
        piece = text[place : place + 2]
        if "\ufffd" not in piece and text.index(piece) == place:
            return piece
    return pytest.fail(f"no stop sequence can be found within {text!r}")
