"""The command `persona-judge`: one module per command, and what they share.

    app          the command with all its subcommands
    demo         three users, through the engine, LangChain and LlamaIndex
    generate     one answer          chat    a conversation         plan   a dry run
    profile      who likes what, with profile_changes, profile_review (what was inferred, undo),
                 profile_files (export, import), profile_options, profile_views
    model        what the model is like
    evaluate     methods compared, with evaluation_options and evaluation_screen
    db           the tables that profiles are kept in
    options      options that several commands have
    files        files that are read and written
    opening      opens stores and engines, with a sign of life while a model loads
    screen       terminal, colours, JSON
    tokens       the coloured line of tokens     splits   who got which preference
    answers      a whole answer      failures   errors in one line

Nothing here imports torch before a command needs a model.
"""

import io
import sys

from persona_judge_llm.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal without emoji shows "?" in their place; that is no reason to stop.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()
