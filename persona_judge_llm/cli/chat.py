"""`persona-judge chat`: a conversation, streamed."""

import contextlib
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import typer

from persona_judge_llm.cli import options
from persona_judge_llm.cli.answers import show_trace
from persona_judge_llm.cli.failures import tell
from persona_judge_llm.cli.opening import opened_engine, opened_store
from persona_judge_llm.cli.screen import stderr, stdout, visible
from persona_judge_llm.errors import ContextOverflowError, MissingDependencyError, PersonaJudgeError

if TYPE_CHECKING:
    from persona_judge_llm.engine import PersonaJudge
    from persona_judge_llm.trace import Generation

_HELP = "/user NAME  switch user    /trace  show tokens    /quit  leave"


def chat(  # noqa: PLR0913 - every option is an argument
    *,
    user: options.User = None,
    prefer: options.Prefer = None,
    scope: options.Scope = None,
    trace: options.Trace = False,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    max_new_tokens: options.MaxNewTokens = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    rule: options.Rule = None,
    strength: options.Strength = None,
    num_draft_tokens: options.NumDraftTokens = None,
    placement: options.Placement = None,
    model: options.Model = None,
    store: options.Store = None,
) -> None:
    """Talk with the model in a user's taste; /user NAME switches, /quit leaves."""
    options.check_who(user, prefer)
    arguments: dict[str, Any] = {
        "params": options.sampling(temperature, top_k, top_p, max_new_tokens, seed, stop),
        "rule": rule,
        "strength": strength,
        "num_draft_tokens": num_draft_tokens,
        "placement": placement,
        "scope": scope,
    }
    with contextlib.ExitStack() as stack:
        profiles = None
        # Whoever talks as nobody can do without the extra that stores need.
        with contextlib.suppress(*(() if user else (MissingDependencyError,))):
            profiles = stack.enter_context(opened_store(store))
        if user is not None and profiles is not None:
            profiles.get_version(user)
        engine = stack.enter_context(opened_engine(model, profiles=profiles))
        talk = Conversation(engine, user, tuple(prefer or ()), arguments, trace=trace)
        stderr().print(_HELP, style="dim")
        talk.run()


class Conversation:
    """One user's conversation; another user starts a new one and sees nothing of it."""

    def __init__(
        self,
        engine: "PersonaJudge",
        user: str | None,
        prefer: tuple[str, ...],
        arguments: Mapping[str, Any],
        *,
        trace: bool,
    ) -> None:
        self._engine = engine
        self._user = user
        self._prefer = prefer
        self._arguments = arguments
        self._trace = trace
        self._messages: list[dict[str, str]] = []

    def run(self) -> None:
        """Read and answer lines until the end of input, Ctrl-C or /quit."""
        while True:
            try:
                line = input(f"{visible(self._user or 'you')}> ").strip()
            except (EOFError, KeyboardInterrupt):
                typer.echo()
                return
            if line in ("/quit", "/exit"):
                return
            try:
                self.take(line)
            except PersonaJudgeError as error:
                tell(error)

    def take(self, line: str) -> None:
        """Obey a command or answer a message."""
        command, _, rest = line.partition(" ")
        if command == "/user":
            self.switch(rest.strip())
        elif command == "/trace":
            self._trace = not self._trace
            typer.echo(f"trace {'on' if self._trace else 'off'}", err=True)
        elif command.startswith("/"):
            typer.echo(_HELP, err=True)
        elif line:
            self.answer(line)

    def switch(self, user: str) -> None:
        """Go on as another user, who must have a profile; without a name as nobody."""
        if user:
            self._engine.plan("Hello", user_id=user)
        self._user, self._prefer = user or None, ()
        self._messages.clear()

    def answer(self, question: str) -> None:
        """Stream the answer; Ctrl-C ends it and forgets the question."""
        self._messages.append({"role": "user", "content": question})
        try:
            answer = self._stream_what_fits()
        except (KeyboardInterrupt, PersonaJudgeError) as error:
            self._messages.pop()
            if isinstance(error, PersonaJudgeError):
                raise
            typer.echo(" (stopped)")
            return
        self._messages.append({"role": "assistant", "content": answer.text})
        if self._trace:
            show_trace(stdout(), answer)

    def _stream_what_fits(self) -> "Generation":
        while True:
            try:
                return self._stream()
            except ContextOverflowError:
                if len(self._messages) < 3:  # noqa: PLR2004 - the question itself does not fit
                    raise
                del self._messages[:2]
                typer.echo("(the oldest question was forgotten: the context is full)", err=True)

    def _stream(self) -> "Generation":
        answer = None
        chunks = self._engine.stream(
            list(self._messages),
            user_id=self._user,
            preferences=self._prefer or None,
            **self._arguments,
        )
        with closing(chunks):  # Ctrl-C ends the decoding too, not only its display
            for chunk in chunks:
                typer.echo(visible(chunk.text), nl=False)
                answer = chunk.generation
        typer.echo()
        if answer is None:
            raise AssertionError("the last chunk carries the answer")
        return answer
