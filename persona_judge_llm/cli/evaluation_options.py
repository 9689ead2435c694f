"""Options of `persona-judge eval`, and what their texts mean."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from persona_judge_llm.errors import DataFileError, InvalidParameterError

if TYPE_CHECKING:
    from persona_judge_llm.sampling import SamplingParams

_WHAT = "What is compared"
_HOW = "How to decode"
_WHERE = "Model and store"

Prompts: TypeAlias = Annotated[
    str,
    typer.Option(
        "--prompts",
        metavar="FILE",
        help="File or folder of prompts; hub:NAME or hub:NAME:SPLIT downloads a data set.",
        rich_help_panel=_WHAT,
    ),
]
PromptSet: TypeAlias = Annotated[
    Literal["psoups", "helpsteer2", "lines"],
    typer.Option(
        "--set",
        help='What the prompts are: psoups (JSON array of {"id", "prompt"}), helpsteer2 (rows with '
        '"prompt", filtered as in the paper), lines (text, or JSON Lines with "prompt").',
        rich_help_panel=_WHAT,
    ),
]
Out: TypeAlias = Annotated[
    str,
    typer.Option("--out", metavar="FOLDER", help="Takes the answers.", rich_help_panel=_WHERE),
]
Number: TypeAlias = Annotated[
    int | None,
    typer.Option("--n", min=1, help="Only the first N prompts.", rich_help_panel=_WHAT),
]
Methods: TypeAlias = Annotated[
    str,
    typer.Option(
        "--methods",
        metavar="NAMES",
        help="With commas: plain, direct, single_a, single_b, and every rule; compose:1.5 is the "
        "rule with that strength.",
        rich_help_panel=_WHAT,
    ),
]
Systems: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--systems",
        metavar="FILE",
        help='JSON list of other systems, such as [{"system": "mod", "name": ..., ...}].',
        rich_help_panel=_WHAT,
    ),
]
Pairs: TypeAlias = Annotated[
    str,
    typer.Option(
        "--pairs",
        metavar="NAMES",
        help="With commas: paper, table1, table4, table5, singles, all, pairs such as "
        "'Harmless+Humor|Helpful', single dimensions; or a .json file of your own.",
        rich_help_panel=_WHAT,
    ),
]
Dimensions: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--dimensions",
        metavar="FILE",
        help='JSON file of your own texts, such as {"Humor": "I want ..."}.',
        rich_help_panel=_WHAT,
    ),
]
Lambdas: TypeAlias = Annotated[
    str,
    typer.Option(
        "--lambda",
        metavar="NUMBERS",
        help="Tokens drafted in a row, with commas; counts for fixed and alternate.",
        rich_help_panel=_HOW,
    ),
]
Mode: TypeAlias = Annotated[
    Literal["fixed", "paper"],
    typer.Option(
        "--mode",
        help="fixed: preferences in the system message; paper: in a user's turn before the "
        "question.",
        rich_help_panel=_HOW,
    ),
]
Seed: TypeAlias = Annotated[
    int,
    typer.Option("--seed", min=0, help="Every prompt's is derived of it.", rich_help_panel=_HOW),
]
Batch: TypeAlias = Annotated[
    int,
    typer.Option(
        "--batch",
        min=1,
        max=256,
        help="Answers decoded together; with 1 each one's time is its own.",
        rich_help_panel=_HOW,
    ),
]
Folders: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="FOLDER...", help="What `eval generate` wrote to.")
]
Rewards: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--reward",
        metavar="KIND:PATH_OR_ID",
        help="armo, gpt2-helpful, gpt2-harmless or classifier, and where it is; NAME=KIND:... "
        "names its scores. Repeatable.",
    ),
]
TrustRemoteCode: TypeAlias = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run code that comes with a reward model."),
]
Device: TypeAlias = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
Url: TypeAlias = Annotated[
    str,
    typer.Option("--url", metavar="URL", help="Base of an OpenAI-compatible API, up to /v1."),
]
JudgeModel: TypeAlias = Annotated[
    str, typer.Option("--judge", metavar="MODEL", help="The judge's name at the endpoint.")
]
Opponent: TypeAlias = Annotated[
    str, typer.Option("--opponent", help="The method that the others are compared with.")
]
JudgedMethods: TypeAlias = Annotated[
    str | None,
    typer.Option("--methods", metavar="NAMES", help="Only these, with commas; all without it."),
]
ApiKeyEnv: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--api-key-env",
        metavar="NAME",
        help="Environment variable with the key; OPENAI_API_KEY, if it is set, without this.",
    ),
]
Concurrency: TypeAlias = Annotated[
    int, typer.Option("--concurrency", min=1, max=64, help="Questions under way at once.")
]
Timeout: TypeAlias = Annotated[float, typer.Option("--timeout", help="Seconds a question.")]
Retries: TypeAlias = Annotated[
    int, typer.Option("--retries", min=0, help="After 429, 5xx and broken connections.")
]
JudgeTemperature: TypeAlias = Annotated[
    float, typer.Option("--judge-temperature", help="Below 0: none is sent.")
]
JudgeMaxTokens: TypeAlias = Annotated[
    int,
    typer.Option("--judge-max-tokens", min=0, help="Of a reply; 0: no limit, for reasoning."),
]
ReportOut: TypeAlias = Annotated[
    str | None,
    typer.Option("--out", metavar="FOLDER", help="Takes the report; the first folder by default."),
]
Charts: TypeAlias = Annotated[
    bool, typer.Option("--charts/--no-charts", help="Draw PNG charts too.")
]


def words(text: str) -> tuple[str, ...]:
    """Return what stands between the commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers(name: str, text: str) -> tuple[int, ...]:
    """Return the whole numbers between the commas."""
    try:
        return tuple(int(word) for word in words(text))
    except ValueError:
        raise InvalidParameterError(name, text, "whole numbers with commas between") from None


def sampling(
    temperature: float | None, top_k: int | None, top_p: float | None, max_new_tokens: int | None
) -> "SamplingParams":
    """Return the authors' sampling with what was asked for in its place."""
    from dataclasses import replace

    from persona_judge_llm.evaluation.protocol import SAMPLING

    asked = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "max_new_tokens": max_new_tokens,
    }
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return replace(SAMPLING, **changes)


def read_systems(file: str) -> dict[str, Mapping[str, Any]]:
    """Return the specs of a file of other systems, by their names.

    Raises:
        DataFileError: not such a file.
        InvalidParameterError: a system or a key of one that nobody knows.
    """
    from persona_judge_llm.evaluation.data_files import read_json
    from persona_judge_llm.evaluation.systems import check_system

    specs = read_json(file)
    found: dict[str, Mapping[str, Any]] = {}
    for i, spec in enumerate(specs if isinstance(specs, list) else [None]):
        name = spec.get("name", spec.get("system")) if isinstance(spec, dict) else None
        if not isinstance(spec, dict) or not isinstance(name, str):
            raise DataFileError(file, f'item {i} must be an object with "system" or "name"')
        if name in found:
            raise DataFileError(file, f'two systems are called {name!r}; give them a "name"')
        check_system(spec)  # now, rather than at its first answer
        found[name] = spec
    return found


def check_folders(folders: list[str]) -> None:
    """Refuse folders without answers before a large model is loaded."""
    from persona_judge_llm.evaluation.experiments import load_run

    for folder in folders:
        load_run(folder)
