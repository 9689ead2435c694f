"""Errors that only LlamaIndex's ways of asking can bring about; in the tree of the package."""

from collections.abc import Iterable

from persona_judge_llm.errors import MissingUserError, PersonaJudgeError

_SHOWN = 3


class LazyStreamError(MissingUserError):
    """A streamed answer is asked for by who reads it, and the LLM knows of no user."""

    def __init__(self) -> None:
        super(MissingUserError, self).__init__(
            "this query engine asks the LLM only when its streamed answer is read, when the scope "
            "or tag around query() is over and somebody else's may be open: give the engine "
            "llm.with_user(user_id), or llm.neutral() for the plain model"
        )


class StructuredAnswerError(PersonaJudgeError):
    """The answer fits the schema of its class, but the class refuses it; quotes nothing of it."""

    def __init__(self, name: str, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(
            f"{name} refuses the model's answer: {'; '.join(self.reasons[:_SHOWN])}. What its "
            "validators demand is not in its schema: say it in the schema (ge, pattern, Literal, "
            "...) or in the prompt"
        )
