"""Objects of a pydantic class: how they are asked for, how they grow, how they are read."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from pydantic import BaseModel, TypeAdapter, ValidationError

from llama_index_persona_judge.errors import StructuredAnswerError
from persona_judge_llm.json_schemas import of_class

Model = TypeVar("Model", bound=BaseModel)

_ANYTHING: Final[TypeAdapter[Any]] = TypeAdapter(Any)


class Objects(Generic[Model]):
    """Reads answers as objects of a class.

    Args:
        cls: the class; a model with fields, one that refers to itself, or a `RootModel`.
    """

    def __init__(self, cls: type[Model]) -> None:
        self.cls = cls
        self.schema: Mapping[str, Any] = of_class(cls.model_json_schema())
        self._partial: type[FlexibleModel] | None = None

    @property
    def fits_a_tool(self) -> bool:
        """Whether the schema is one of a tool's arguments: LlamaIndex passes on no other."""
        return "properties" in self.schema

    @property
    def response_format(self) -> dict[str, Any]:
        """What asks for one in words, and holds the answer to it."""
        return {"type": "json_schema", "json_schema": {"schema": self.schema}}

    def of_arguments(self, arguments: Mapping[str, Any]) -> Model:
        """Return the object that a call was made with; as JSON, where dates are texts."""
        return self.of_text(json.dumps(arguments))

    def of_text(self, text: str | None) -> Model:
        """Return the object that a whole answer is.

        Raises:
            StructuredAnswerError: the class refuses it.
        """
        try:
            return self.cls.model_validate_json(text or "")
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            names = set(_names(self.schema))
            reasons = []
            for one in found:
                # A mapping's keys are the answer's, and are not told.
                place = (str(p) if isinstance(p, int) or p in names else "..." for p in one["loc"])
                reasons.append(f"{'.'.join(place)}: {one['msg']}")
        # Without its cause, which quotes the answer.
        raise StructuredAnswerError(self.cls.__name__, reasons)

    def growing(self, text: str | None) -> FlexibleModel | None:
        """Return what there is of an object so far; None where that has no fields."""
        if not self.cls.model_fields or "root" in self.cls.model_fields:
            return None
        try:
            fields = _ANYTHING.validate_json(
                text or "", experimental_allow_partial="trailing-strings"
            )
        except ValidationError:
            return None
        if not isinstance(fields, dict):
            return None
        if self._partial is None:
            self._partial = create_flexible_model(self.cls)
        return self._partial.model_validate(fields)


def _names(schema: object) -> Iterator[str]:
    """Yield the names of all fields in a schema."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, Mapping) else ()
        for part in schema.values():
            yield from _names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _names(part)
