"""`persona-judge model`: what a model is like."""

from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from persona_judge_llm.cli import options
from persona_judge_llm.cli.opening import opened_engine
from persona_judge_llm.cli.screen import plain, stdout, write_json

if TYPE_CHECKING:
    from persona_judge_llm.engine import PersonaJudge

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """See what a model is like."""


@app.command(epilog=options.example("model info", "model info --model ./my-model"))
def info(*, model: options.Model = None, json: options.Json = False) -> None:
    """Show a model's size, context, chat template and defaults."""
    with opened_engine(model) as engine:
        facts = model_values(engine)
    if json:
        write_json(facts)
        return
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        shown = "yes" if value is True else "no" if value is False else value
        shown = f"{shown:,}" if isinstance(shown, int) else "-" if shown is None else str(shown)
        table.add_row(name.replace("_", " "), plain(shown))
    stdout().print(table)


def model_values(engine: "PersonaJudge") -> dict[str, Any]:
    """Return what is known of the engine's model."""
    model: Any = engine.model
    config = getattr(model, "config", None)
    defaults = getattr(model, "generation_config", None)
    return {
        "name": engine.model_name,
        "architecture": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": getattr(config, "vocab_size", None),
        "context_window": engine.context_window,
        "dtype": str(getattr(model, "dtype", "")).removeprefix("torch."),
        "device": str(engine.language_model.device),
        "chat_template": bool(getattr(engine.tokenizer, "chat_template", None)),
        "tools": engine.supports_tools,
        "default_temperature": getattr(defaults, "temperature", None),
        "default_top_k": getattr(defaults, "top_k", None),
        "default_top_p": getattr(defaults, "top_p", None),
    }
