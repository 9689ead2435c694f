"""The suite of contracts finds what is broken: each defect fails the test that is meant for it."""

import threading
from typing import Any

import pytest
import torch
from _pytest.outcomes import Failed
from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback

from llama_index_persona_judge import PersonaJudgeLLM
from llama_index_persona_judge.testing import LLMConformanceTests
from llama_index_persona_judge.testing.suite import within
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.testing import tiny_tokenizer
from tests.integration.llama_index.conftest import wide_model


class Stuttering(PersonaJudgeLLM):
    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        for item in super().stream_chat(messages, **kwargs):
            item.delta = (item.delta or "") * 2
            yield item


class OfTwoMinds(PersonaJudgeLLM):
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return super().stream_complete(f"{prompt}!", **kwargs)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return await super().acomplete(f"{prompt}!", **kwargs)


class Announced(PersonaJudgeLLM):
    @llm_chat_callback()
    def chat(self, messages: Any, **kwargs: Any) -> Any:
        return super().chat(messages, **kwargs)


class Silent(PersonaJudgeLLM):
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        bound = self.model_copy()
        bound.callback_manager = type(bound.callback_manager)([])
        return super(Silent, bound).stream_complete(prompt, **kwargs)


class Heavy(PersonaJudgeLLM):
    def chat(self, messages: Any, **kwargs: Any) -> Any:
        response = super().chat(messages, **kwargs)
        response.raw = {"logits": torch.zeros(2)}
        return response


class Uncounted(PersonaJudgeLLM):
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        response = super().complete(prompt, **kwargs)
        response.raw = {}
        return response


class Blocking(PersonaJudgeLLM):
    acomplete = CustomLLM.acomplete
    astream_chat = CustomLLM.astream_chat


class Deaf(PersonaJudgeLLM):
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return super().complete(prompt[-500:])

    def chat(self, messages: Any, **kwargs: Any) -> Any:
        return super().chat(messages or [ChatMessage("hi")])


class Swallowed(PersonaJudgeLLM):
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        if kwargs:
            raise ValueError(kwargs)
        return super().complete(prompt)


class Moody(PersonaJudgeLLM):
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        self.__dict__["calls"] = calls = self.__dict__.get("calls", 0) + 1
        return super().complete(f"{prompt}{calls}", **kwargs)


class Mislabelled(PersonaJudgeLLM):
    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=False, model_name="")


class Forgetful(PersonaJudgeLLM):
    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().to_dict(**kwargs), "temperature": None, "seed": 1}

    def __deepcopy__(self, memo: Any = None) -> Any:
        raise TypeError("a lock")


class Free(PersonaJudgeLLM):
    """Holds no answer to anything."""

    def chat(self, messages: Any, **kwargs: Any) -> Any:
        return super().chat(messages)

    async def achat(self, messages: Any, **kwargs: Any) -> Any:
        return await super().achat(messages)

    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        return super().stream_chat(messages)


DEFECTS: list[tuple[type[PersonaJudgeLLM], str, dict[str, Any]]] = [
    (Stuttering, "deltas_join_to_the_answer", {"method": "stream_chat"}),
    (Stuttering, "a_stream_may_be_read_in_another_thread", {"method": "stream_chat"}),
    (OfTwoMinds, "a_stream_says_what_the_whole_answer_says", {"method": "stream_complete"}),
    (OfTwoMinds, "an_awaited_answer_is_the_same", {"method": "acomplete"}),
    (Announced, "a_call_is_announced_once", {"methods": ("complete", "chat")}),
    (Silent, "a_stream_is_announced_once", {"methods": ("stream_complete",)}),
    (Silent, "the_end_of_an_abandoned_stream_is_told", {}),
    (Heavy, "raw_facts_are_plain_data", {}),
    (Uncounted, "usage_is_reported_and_counted", {"streamed": False}),
    (Blocking, "other_tasks_go_on_during_a_call", {"method": "acomplete"}),
    (Blocking, "other_tasks_go_on_during_a_stream", {"method": "astream_chat"}),
    (Deaf, "an_unknown_argument_is_refused", {"method": "complete"}),
    (Deaf, "an_empty_conversation_is_refused", {}),
    (Deaf, "a_stop_ends_an_answer", {}),
    (Deaf, "the_length_of_an_answer_can_be_limited", {}),
    (Deaf, "a_prompt_beyond_the_window_is_refused", {}),
    (Deaf, "an_answer_that_cannot_fit_is_refused", {}),
    (Swallowed, "an_unknown_argument_is_refused", {"method": "complete"}),
    (Moody, "the_same_question_gets_the_same_answer", {}),
    (Moody, "threads_do_not_disturb_each_other", {}),
    (Mislabelled, "metadata_describes_the_model", {}),
    (Forgetful, "settings_travel", {}),
    (Forgetful, "a_deep_copy_answers_alike", {}),
    (Free, "an_object_is_predicted", {}),
    (Free, "an_object_is_streamed", {}),
    (Free, "an_llm_of_objects_answers", {}),
    (Free, "a_call_can_be_forced", {"how": {"tool_required": True}}),
    (Free, "a_tool_is_called_in_one_step", {}),
    (Free, "an_agent_calls_a_tool", {"streaming": False}),
]


@pytest.fixture(scope="module")
def engine() -> PersonaJudge:
    return PersonaJudge(wide_model(), tiny_tokenizer())


class Suite(LLMConformanceTests):
    def restored(self, llm: Any) -> Any:
        return type(llm).from_dict(llm.to_dict(), engine=llm.engine)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("kind", "test", "arguments"), DEFECTS, ids=[f"{k.__name__}-{t}" for k, t, _ in DEFECTS]
)
def test_a_defect_fails_its_test(
    kind: type[PersonaJudgeLLM], test: str, arguments: dict[str, Any], engine: PersonaJudge
) -> None:
    run = getattr(Suite(), f"test_{test}")
    # The shortest object or call of a tool takes 75 of the tokens, each a letter.
    fields: dict[str, Any] = {
        "engine": engine,
        "temperature": 0,
        "max_tokens": 80 if kind is Free else 30,
    }
    run(PersonaJudgeLLM(**fields), **arguments)
    with pytest.raises((Exception, Failed)) as caught:
        run(kind(**fields), **arguments)
    assert not isinstance(caught.value, AttributeError | NameError), "the defect is not that meant"


def test_what_is_not_claimed_is_skipped(engine: PersonaJudge) -> None:
    class Modest(Suite):
        supports_stop = False

    with pytest.raises(pytest.skip.Exception, match="supports_stop"):
        Modest().test_a_stop_ends_an_answer(PersonaJudgeLLM(engine=engine))


def test_a_test_that_hangs_is_ended() -> None:
    with pytest.raises(Failed, match=r"not done after 0\.2 seconds"), within(0.2):
        threading.Event().wait()
