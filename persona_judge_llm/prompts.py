"""From messages and preferences to token ids, by the chat template of the tokenizer.

Models without a chat template, which merely continue text, get a plain one: "System: ...",
"User: ...", "Assistant: ...", with blank lines between, ending in "Assistant:".
"""

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from persona_judge_llm.errors import InvalidPromptError
from persona_judge_llm.forking import renew_after_fork
from persona_judge_llm.messages import (
    Message,
    arguments_as_json,
    check_messages,
    check_tools,
    compose,
    fold_system,
    merge_neighbours,
    preference_block,
)
from persona_judge_llm.preferences import Preference
from persona_judge_llm.requests import Messages, Placement, check_placement
from persona_judge_llm.seams import Seams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedTokenizerBase

__all__ = ["BuiltPrompt", "PromptBuilder", "check_messages", "preference_block"]

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
_PROBE = "qprobeq"
_SYSTEM = {"role": "system", "content": "You are a helpful assistant."}


@dataclass(frozen=True, slots=True)
class BuiltPrompt:
    """A prompt as the model reads it."""

    ids: tuple[int, ...]
    text: str
    """The same for a human reader, control tokens included."""


class PromptBuilder:
    """Renders conversations for one tokenizer; safe to use from many threads.

    Works on a copy of the tokenizer: whoever else uses the same object cannot disturb it, and
    later changes to that object are not seen.

    Templates that know no system role get its text at the head of the first user message, and
    templates that demand that user and assistant alternate get neighbouring messages of one role
    as one message. Templates that demand a system message get a short one where there is none. All
    this is found out here, by rendering probes.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._lock = threading.Lock()
        renew_after_fork(self)
        self._tokenizer = copy.deepcopy(tokenizer)
        self._template = None if tokenizer.chat_template else self._plain_template()
        user = {"role": "user", "content": "x"}
        probe = {"role": "user", "content": _PROBE}
        self._folds = not self._shows([{"role": "system", "content": _PROBE}, user])
        self._demands = not self._shows([probe]) and self._shows([_SYSTEM, probe])
        start = [_SYSTEM] if self._demands else []
        self._merges = not self._shows([*start, user, probe])
        tool = {
            "name": _PROBE,
            "description": "x",
            "parameters": {"type": "object", "properties": {}, "required": []},
        }
        self._takes_tools = self._shows([*start, user], [{"type": "function", "function": tool}])
        self._seams = Seams(self._tokenizer, self._template or _source(tokenizer.chat_template))

    def after_fork(self) -> None:
        """Free the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()

    def build(
        self,
        messages: str | Messages,
        preferences: Sequence[Preference] = (),
        *,
        placement: Placement = "system",
        tools: "Sequence[Mapping[str, Any]] | None" = None,
    ) -> BuiltPrompt:
        """Return the prompt that ends where the assistant's answer begins.

        Args:
            messages: a string, or chat messages.
            preferences: what the side of this prompt is told of the user.
            placement: "system" puts the preferences behind the system text, "last" behind the
                last user message.
            tools: OpenAI-style function schemas.

        Raises:
            InvalidPromptError: messages or tools that this model's template cannot render.
        """
        check_placement(placement)
        chat = compose(check_messages(messages), preferences, placement or "system")
        schemas = check_tools(tools)
        if schemas and not self._takes_tools:
            raise InvalidPromptError(
                "tools",
                [schema["function"]["name"] for schema in schemas],
                "None: the chat template of this model has no place for them",
            )
        if self._folds:
            chat = fold_system(chat)
        if self._demands and chat[0]["role"] != "system":
            chat = [dict(_SYSTEM), *chat]
        if self._merges:
            chat = merge_neighbours(chat)
        with self._lock:
            (chat, schemas), seams = self._seams.mark((chat, schemas))
            ids = self._seams.encode(self._rendered(chat, schemas), seams)
            return BuiltPrompt(tuple(ids), str(self._tokenizer.decode(ids)))

    @property
    def supports_tools(self) -> bool:
        """Whether the chat template renders tools."""
        return self._takes_tools

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `text` takes, read as text."""
        with self._lock:
            marked, seams = self._seams.mark(text)
            return len(self._seams.encode(marked, seams))

    def _rendered(self, chat: list[Message], tools: list[dict[str, Any]] | None) -> str:
        try:
            try:
                return self._render(chat, tools)
            except Exception:
                if not any("tool_calls" in m for m in chat):
                    raise
                return self._render(arguments_as_json(chat), tools)
        except Exception as error:  # a template is a program of the model's author
            raise InvalidPromptError(
                "messages",
                [m["role"] for m in chat],
                f"what this model's chat template accepts ({str(error)[:200]})",
            ) from error

    def _render(self, chat: list[Message], tools: list[dict[str, Any]] | None) -> str:
        text = self._tokenizer.apply_chat_template(
            chat,
            tools=list(tools) if tools else None,
            chat_template=self._template,
            add_generation_prompt=True,
            tokenize=False,
        )
        return str(text)

    def _shows(self, chat: list[Message], tools: list[dict[str, Any]] | None = None) -> bool:
        """Tell whether the template renders the probe in `chat` or `tools`."""
        try:
            return _PROBE in self._render(chat, tools)
        except Exception:  # noqa: BLE001 (whatever it raises, it does not show the probe)
            return False

    def _plain_template(self) -> str:
        """Return the template for models that have none; begins as the tokenizer begins texts."""
        bos = self._tokenizer.bos_token_id
        begins = bos is not None and self._tokenizer.encode("x")[:1] == [bos]
        return ("{{ bos_token }}" if begins else "") + PLAIN_TEMPLATE


def _source(template: str | dict[str, str]) -> str:
    """Return the text of a tokenizer's template, or of all its templates."""
    return template if isinstance(template, str) else "\0".join(template.values())


def detokenizer(tokenizer: "PreTrainedTokenizerBase") -> Callable[[list[int]], str]:
    """Return what turns token ids into text, without special tokens."""

    def detokenize(token_ids: list[int]) -> str:
        # Cleaning up spaces would change text that a stream has shown already.
        text = tokenizer.decode(
            token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)

    return detokenize
