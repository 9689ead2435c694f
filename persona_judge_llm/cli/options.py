"""Options that several commands have, each described once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

if TYPE_CHECKING:
    from persona_judge_llm.sampling import SamplingParams

_WHO = "Whose answer"
_HOW = "How to decode"
_WHERE = "Model and store"

Model: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="PATH_OR_ID",
        envvar="PERSONA_JUDGE_MODEL",
        show_envvar=True,
        help="Folder or hub id of a model; the bundled one by default.",
        rich_help_panel=_WHERE,
    ),
]
Store: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="PERSONA_JUDGE_STORE",
        show_envvar=True,
        help="SQLAlchemy URL of the profiles; a SQLite file in your data folder by default.",
        rich_help_panel=_WHERE,
    ),
]
User: TypeAlias = Annotated[
    str | None,
    typer.Option("--user", metavar="ID", help="Use this profile.", rich_help_panel=_WHO),
]
Prefer: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--prefer",
        metavar="TEXT",
        help="A preference, instead of a stored profile; may be repeated.",
        rich_help_panel=_WHO,
    ),
]
Scope: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--scope",
        metavar="NAME",
        help='Where you ask, such as "work": preferences for elsewhere do not count.',
        rich_help_panel=_WHO,
    ),
]
Temperature: TypeAlias = Annotated[
    float | None, typer.Option("--temperature", help="0 is greedy.", rich_help_panel=_HOW)
]
TopK: TypeAlias = Annotated[
    int | None,
    typer.Option("--top-k", help="Keep the k likeliest tokens; 0: all.", rich_help_panel=_HOW),
]
TopP: TypeAlias = Annotated[
    float | None,
    typer.Option("--top-p", help="Keep the likeliest mass; 1: all.", rich_help_panel=_HOW),
]
MaxNewTokens: TypeAlias = Annotated[
    int | None,
    typer.Option("--max-new-tokens", help="Longest answer, in tokens.", rich_help_panel=_HOW),
]
Seed: TypeAlias = Annotated[
    int | None, typer.Option("--seed", help="Repeats an answer.", rich_help_panel=_HOW)
]
Stop: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--stop", help="Text that ends the answer; repeatable.", rich_help_panel=_HOW),
]
Rule: TypeAlias = Annotated[
    Literal[  # as Rule
        "alternate",
        "fixed",
        "overlap",
        "geometric",
        "mixture",
        "veto",
        "compose",
        "compose_each",
        "balance",
        "balance_each",
    ]
    | None,
    typer.Option(
        "--rule",
        help="alternate: sides A and B swap roles; fixed: A drafts, B judges; the others blend "
        "both at every token, balance so that each gets its say; compose_each and balance_each "
        "all preferences.",
        rich_help_panel=_HOW,
    ),
]
Strength: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--strength",
        help="How much preferences count with rules that balance or compose; 0: not at all.",
        rich_help_panel=_HOW,
    ),
]
NumDraftTokens: TypeAlias = Annotated[
    int | None,
    typer.Option("--num-draft-tokens", help="Tokens drafted in a row.", rich_help_panel=_HOW),
]
Placement: TypeAlias = Annotated[
    Literal["system", "last"] | None,
    typer.Option(
        "--placement",
        help="Preferences in the system message or in the last user message.",
        rich_help_panel=_HOW,
    ),
]
Schema: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="FILE",
        help="JSON Schema that the answer fits, whatever the model; `-` reads it from stdin.",
        rich_help_panel=_HOW,
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Write JSON to stdout, and nothing else there.")
]
Trace: TypeAlias = Annotated[
    bool, typer.Option("--trace", help="Show what happened to each token, and the split.")
]


def check_who(user: str | None, prefer: Sequence[str] | None) -> None:
    """Refuse a stored profile beside preferences of the moment."""
    if user is not None and prefer:
        raise typer.BadParameter("use --user or --prefer, not both")


def sampling(
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    max_new_tokens: int | None,
    seed: int | None,
    stop: Sequence[str] | None,
) -> "SamplingParams":
    """Return the sampling parameters that the options ask for."""
    from persona_judge_llm.sampling import SamplingParams

    return SamplingParams(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        max_new_tokens=max_new_tokens,
        seed=seed,
        stop=stop or (),
    )


def example(*lines: str) -> str:
    """Return the foot of a command's help: how it is called."""
    # An empty line between, or the lines would be run together.
    return "\n\n".join(["Example:", *(f"  persona-judge {line}" for line in lines)])
