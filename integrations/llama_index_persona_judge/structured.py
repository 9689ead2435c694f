"""Structured prediction: objects of a class from any model, whatever its weights."""

from collections.abc import AsyncGenerator, Generator
from copy import copy
from typing import TYPE_CHECKING, Any

from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.program.utils import get_program_for_llm
from llama_index.core.types import PydanticProgramMode
from typing_extensions import Self

from llama_index_persona_judge.binding import BoundLLM, settled
from llama_index_persona_judge.calls import unobserved
from llama_index_persona_judge.structured_llm import StructuredAnswers
from persona_judge_llm.constraints import Constraint

if TYPE_CHECKING:
    from llama_index.core.prompts import PromptTemplate
    from pydantic import BaseModel


class StructuredPrediction(BoundLLM):
    """Holds what `structured_predict` and its siblings ask for to the schema of the class.

    LlamaIndex asks by a tool where the model knows tools, and its call is forced; else in the
    prompt, and the answer is held to the schema. Streams are always asked for in the prompt: a
    tool's call is whole or is none, and a stream shows an object grow.
    """

    @unobserved
    def structured_predict(
        self,
        output_cls: type[Any],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Return an object of a class; `llm_kwargs` may name the user."""
        llm, held = self._held(output_cls, llm_kwargs, by_tool=self._asks_by_tool)
        asked = super(StructuredPrediction, llm).structured_predict
        return asked(output_cls, copy(prompt), held, **prompt_args)

    @settled
    async def astructured_predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        output_cls: type[Any],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Return an object of a class; `llm_kwargs` may name the user."""
        llm, held = self._held(output_cls, llm_kwargs, by_tool=self._asks_by_tool)
        asked = super(StructuredPrediction, llm).astructured_predict
        return await asked(output_cls, copy(prompt), held, **prompt_args)

    @unobserved
    def stream_structured_predict(
        self,
        output_cls: type[Any],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        """Return an object as it grows; `llm_kwargs` may name the user."""
        llm, held = self._held(output_cls, llm_kwargs, by_tool=False)
        asked = super(StructuredPrediction, llm).stream_structured_predict
        return asked(output_cls, copy(prompt), held, **prompt_args)

    @settled
    async def astream_structured_predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        output_cls: type[Any],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        """Return an object as it grows; `llm_kwargs` may name the user."""
        llm, held = self._held(output_cls, llm_kwargs, by_tool=False)
        asked = super(StructuredPrediction, llm).astream_structured_predict
        return await asked(output_cls, copy(prompt), held, **prompt_args)

    def as_structured_llm(self, output_cls: "type[BaseModel]", **kwargs: Any) -> StructuredLLM:
        """Return an LLM whose every answer is an object of a class, as JSON and in `raw`."""
        return StructuredAnswers(llm=self, output_cls=output_cls, **kwargs)

    def _structured_stream_call(
        self,
        output_cls: type[Any],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        program = self._in_words(output_cls, prompt)
        objects: Generator[Any, None, None]
        objects = program.stream_call(llm_kwargs=llm_kwargs, **prompt_args)
        return objects

    async def _structured_astream_call(
        self,
        output_cls: type[Any],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        program = self._in_words(output_cls, prompt)
        objects: AsyncGenerator[Any, None]
        objects = await program.astream_call(llm_kwargs=llm_kwargs, **prompt_args)
        return objects

    def _in_words(self, output_cls: type[Any], prompt: "PromptTemplate") -> Any:
        mode = PydanticProgramMode.LLM
        return get_program_for_llm(output_cls, prompt, self, pydantic_program_mode=mode)

    @property
    def _asks_by_tool(self) -> bool:
        mode = self.pydantic_program_mode
        if mode == PydanticProgramMode.DEFAULT:
            return self.metadata.is_function_calling_model
        return mode == PydanticProgramMode.FUNCTION

    def _held(
        self,
        output_cls: "type[BaseModel]",
        llm_kwargs: dict[str, Any] | None,
        *,
        by_tool: bool,
    ) -> tuple[Self, dict[str, Any]]:
        """Return a copy for this call, and its arguments: they hold what no tool does."""
        llm, kwargs = self._for_one_call(llm_kwargs)
        if not by_tool:
            # Not as a response format: the prompt says it already.
            kwargs["constraint"] = Constraint.json_schema(output_cls.model_json_schema())
        return llm, kwargs
