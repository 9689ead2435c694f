"""`predict`, `stream` and their asynchronous forms: prompts with variables, and whose they are.

LlamaIndex takes every argument of these for a variable of the prompt, and drops those that the
prompt does not have: a `user_id=` would be answered in nobody's taste.
"""

import functools
from collections.abc import Callable, Collection, Mapping
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from llama_index.core.llms.llm import LLM
from llama_index.core.prompts.base import BasePromptTemplate, SelectorPromptTemplate
from llama_index.core.types import TokenAsyncGen, TokenGen
from typing_extensions import Self

from llama_index_persona_judge.calls import unobserved
from llama_index_persona_judge.parameters import CALL_ARGUMENTS, PERSONAL
from llama_index_persona_judge.routing import called_by_core, read_lazily
from persona_judge_llm.errors import InvalidParameterError

if TYPE_CHECKING:
    # What an `async def` returns; it cannot be subscripted when the program runs.
    _Text: TypeAlias = CoroutineType[Any, Any, str]
    _Pieces: TypeAlias = CoroutineType[Any, Any, TokenAsyncGen]

Method = TypeVar("Method", bound=Callable[..., Any])


def settled(method: Method) -> Method:
    """Make the user of an asynchronous method the one of its call, wherever it is awaited.

    No observer is told of the method itself: what it calls is observed.
    """

    @functools.wraps(method)
    def call(llm: "PromptedLLM", *args: Any, **kwargs: Any) -> Any:
        bound, _ = llm._for_one_call({})  # noqa: SLF001
        return method(bound, *args, **kwargs)

    return cast("Method", unobserved(call))


class PromptedLLM(LLM):
    """An LLM that tells the arguments of a call from the variables of its prompt.

    The user is the one of the moment of the call, also of a coroutine that is awaited later.
    """

    @unobserved
    def predict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        """Answer a prompt; arguments are its variables, or those of a call."""
        llm, variables = self._for_one_prompt(prompt, prompt_args)
        text: str = super(PromptedLLM, llm).predict(prompt, **variables)
        return text

    @unobserved
    def stream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> TokenGen:
        """Answer a prompt in pieces; arguments are its variables, or those of a call."""
        llm, variables = self._for_one_prompt(prompt, prompt_args, lazily=read_lazily())
        pieces: TokenGen = super(PromptedLLM, llm).stream(prompt, **variables)
        return pieces

    @unobserved
    def apredict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> "_Text":
        """Answer a prompt; arguments are its variables, or those of a call."""
        llm, variables = self._for_one_prompt(prompt, prompt_args)
        answer = super(PromptedLLM, llm).apredict(prompt, **variables)
        return cast("_Text", answer)

    @unobserved
    def astream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> "_Pieces":
        """Answer a prompt in pieces; arguments are its variables, or those of a call."""
        llm, variables = self._for_one_prompt(prompt, prompt_args, lazily=read_lazily())
        answer = super(PromptedLLM, llm).astream(prompt, **variables)
        return cast("_Pieces", answer)

    def _for_one_prompt(
        self, prompt: BasePromptTemplate, prompt_args: Mapping[str, Any], *, lazily: bool = False
    ) -> tuple[Self, dict[str, Any]]:
        """Return a copy that keeps the call's own arguments, and the variables of the prompt.

        Args:
            prompt: what is asked.
            prompt_args: both kinds of arguments.
            lazily: whether it is the reader of a streamed answer who asks.

        Raises:
            InvalidParameterError: an argument of neither kind. LlamaIndex's own calls may have
                more: they give a prompt of yours whatever theirs would take.
            LazyStreamError: nobody knows whose answer it is that is read.
        """
        own = _variables(prompt)
        arguments = {n: v for n, v in prompt_args.items() if n in CALL_ARGUMENTS and n not in own}
        variables = {n: v for n, v in prompt_args.items() if n not in arguments}
        if not (prompt.function_mappings or own.issuperset(variables) or called_by_core()):
            unknown = next(name for name in variables if name not in own)
            expected = f"a variable of the prompt, which has {sorted(own)}, or one of a call's"
            raise InvalidParameterError("argument", unknown, expected)
        llm, _ = self._for_one_call(arguments, CALL_ARGUMENTS)
        if lazily:
            llm._check_named()  # noqa: SLF001
        return llm, variables

    def _for_one_call(
        self, kwargs: Mapping[str, Any], kept: Collection[str] = PERSONAL
    ) -> tuple[Self, dict[str, Any]]:
        """Return a copy that keeps some arguments for its calls, and the rest of them."""
        raise NotImplementedError

    def _check_named(self) -> None:
        """Refuse to answer where the user cannot be known."""
        raise NotImplementedError


def _variables(prompt: BasePromptTemplate) -> frozenset[str]:
    """Return the names that a prompt does something with."""
    nested: list[BasePromptTemplate] = []
    if isinstance(prompt, SelectorPromptTemplate):
        nested = [prompt.default_template, *(one for _, one in prompt.conditionals or ())]
    mapped = (prompt.template_var_mappings or {}, prompt.function_mappings or {})
    return frozenset(prompt.template_vars).union(prompt.kwargs, *mapped, *map(_variables, nested))
