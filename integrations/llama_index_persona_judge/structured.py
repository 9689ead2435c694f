"""Structured prediction: objects of a class from any model, whatever its weights."""

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import TYPE_CHECKING, Any

from llama_index.core.llms.llm import LLM
from llama_index.core.program.utils import get_program_for_llm
from llama_index.core.types import PydanticProgramMode

if TYPE_CHECKING:
    from llama_index.core.prompts import PromptTemplate
    from pydantic import BaseModel


class StructuredPrediction(LLM):
    """Holds what `structured_predict` and its siblings ask for to the schema of the class.

    LlamaIndex asks by a tool where the model knows tools, and else in the prompt. It forces the
    tool's call except in streams, and never what the prompt asks for.
    """

    def structured_predict(
        self,
        output_cls: type[Any],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Return an object of a class; `llm_kwargs` may name the user."""
        held = self._held(output_cls, llm_kwargs)
        return super().structured_predict(output_cls, prompt, held, **prompt_args)

    async def astructured_predict(
        self,
        output_cls: type[Any],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Return an object of a class; `llm_kwargs` may name the user."""
        held = self._held(output_cls, llm_kwargs)
        return await super().astructured_predict(output_cls, prompt, held, **prompt_args)

    def _structured_stream_call(
        self,
        output_cls: type[Any],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        held = self._held(output_cls, llm_kwargs)
        program: Any = self._program(output_cls, prompt)
        objects: Generator[Any, None, None] = program.stream_call(llm_kwargs=held, **prompt_args)
        return objects

    async def _structured_astream_call(
        self,
        output_cls: type[Any],
        prompt: "PromptTemplate",
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        held = self._held(output_cls, llm_kwargs)
        program: Any = self._program(output_cls, prompt)
        objects: AsyncGenerator[Any, None]
        objects = await program.astream_call(llm_kwargs=held, **prompt_args)
        return objects

    @property
    def _asks_by_tool(self) -> bool:
        mode = self.pydantic_program_mode
        if mode == PydanticProgramMode.DEFAULT:
            return self.metadata.is_function_calling_model
        return mode == PydanticProgramMode.FUNCTION

    def _program(self, output_cls: type[Any], prompt: "PromptTemplate") -> Any:
        forced = {"tool_choice": "required"} if self._asks_by_tool else {}
        return get_program_for_llm(
            output_cls, prompt, self, pydantic_program_mode=self.pydantic_program_mode, **forced
        )

    def _held(
        self, output_cls: "type[BaseModel]", llm_kwargs: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        if self._asks_by_tool:
            return dict(llm_kwargs or {})
        json_schema = {"name": output_cls.__name__, "schema": output_cls.model_json_schema()}
        response_format = {"type": "json_schema", "json_schema": json_schema}
        return {"response_format": response_format, **(llm_kwargs or {})}
