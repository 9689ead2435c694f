"""`persona-judge generate`, `plan`, `chat` and `model`, on a tiny model."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import tiny_model

Run = Callable[..., Result]
Ok = Callable[..., str]

TASTES = ("--prefer", "Be concise", "--prefer", "Make me laugh")
SHORT = ("--seed", "3", "--max-new-tokens", "24", "--temperature", "1.0")


@pytest.fixture(scope="module")
def engine(model: str) -> Iterator[PersonaJudge]:
    with PersonaJudge.from_pretrained(model) as engine:
        yield engine


def test_json_is_the_engines_answer_and_all_there_is_on_stdout(
    ok: Ok, model: str, engine: PersonaJudge
) -> None:
    told = json.loads(ok("generate", "Hi", "--model", model, *TASTES, *SHORT, "--json"))
    answer = engine.generate(
        "Hi",
        preferences=["Be concise", "Make me laugh"],
        params=SamplingParams(seed=3, max_new_tokens=24, temperature=1.0),
    )
    assert told["text"] == answer.text
    assert told["acceptance_rate"] == answer.acceptance_rate
    assert [t["outcome"] for t in told["trace"]] == [t.outcome for t in answer.trace]
    assert [p["text"] for p in told["split"]["a"]] == ["Be concise"]
    assert [p["text"] for p in told["split"]["b"]] == ["Make me laugh"]
    assert told["seed"] == 3
    assert told["usage"]["completion_tokens"] == 24


def test_every_option_of_decoding_reaches_the_engine(ok: Ok, model: str) -> None:
    def answer(*more: str) -> dict[str, Any]:
        words = ("generate", "Hi", "--model", model, *TASTES, *SHORT, *more, "--json")
        found: dict[str, Any] = json.loads(ok(*words))
        return found

    plain = answer()
    assert answer() == plain
    assert {t["judged_by"] for t in answer("--rule", "fixed")["trace"]} == {"B"}
    for changed in (
        ("--top-k", "2"),
        ("--top-p", "0.2"),
        ("--temperature", "3"),
        ("--seed", "4"),
        ("--num-draft-tokens", "1"),
        ("--placement", "last"),
    ):
        assert answer(*changed)["trace"] != plain["trace"], changed
    assert len(answer("--max-new-tokens", "5")["trace"]) == 5
    stop = plain["text"][3]
    assert answer("--stop", stop)["text"] == plain["text"].partition(stop)[0]


def test_the_text_alone_is_on_stdout_and_a_prompt_may_be_piped_in(ok: Ok, model: str) -> None:
    arguments = ("--model", model, *TASTES, *SHORT)
    told = ok("generate", *arguments, stdin="Hi\n")
    assert told == ok("generate", "Hi", *arguments)
    assert json.loads(ok("generate", "Hi", *arguments, "--json"))["usage"]["prompt_tokens"] > 0


def test_a_stored_profile_is_used_and_its_version_told(ok: Ok, model: str) -> None:
    ok("profile", "add", "ana", "Be concise")
    ok("profile", "add", "ana", "Make me laugh")
    told = json.loads(ok("generate", "Hi", "--user", "ana", "--model", model, *SHORT, "--json"))
    assert told["profile_version"] == 2
    with_texts = json.loads(ok("generate", "Hi", *TASTES, "--model", model, *SHORT, "--json"))
    assert told["text"] == with_texts["text"]


@pytest.mark.parametrize("command", ["plan", "generate", "chat"])
def test_a_scope_adds_its_preferences_to_those_of_all_places(
    run: Run, ok: Ok, model: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[set[str]] = []
    prepare = PersonaJudge.prepare

    def note(self: PersonaJudge, request: Any) -> Any:
        planned = prepare(self, request)
        told.append({p.text for p in (*planned.split.a, *planned.split.b)})
        return planned

    monkeypatch.setattr(PersonaJudge, "prepare", note)
    ok("profile", "add", "ana", "Be concise")
    ok("profile", "add", "ana", "Be formal", "--scope", "work")
    few = () if command == "plan" else ("--max-new-tokens", "2")
    for scope in ((), ("--scope", "work"), ("--scope", "home")):
        rest = (*few, "--user", "ana", *scope, "--model", model)
        question = () if command == "chat" else ("How?",)
        assert run(command, *question, *rest, stdin="How?").exit_code == 0
    assert told == [{"Be concise"}, {"Be concise", "Be formal"}, {"Be concise"}]


def test_an_answer_fits_the_schema_in_a_file(ok: Ok, model: str, tmp_path: Path) -> None:
    properties = {"title": {"type": "string"}, "stars": {"enum": [1, 2, 3]}}
    schema = {"type": "object", "properties": properties, "required": ["title", "stars"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    rest = ("--seed", "3", "--max-new-tokens", "60", *TASTES, "--model", model)
    told = json.loads(ok("generate", "Hi", *rest, "--schema", str(tmp_path / "schema.json")))
    assert told["stars"] in (1, 2, 3)
    assert isinstance(told["title"], str)
    assert told.keys() == {"title", "stars"}


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"type": "nothing"}', None])
def test_a_schema_that_is_none_is_refused_in_one_line(
    text: str | None, run: Run, model: str, tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    if text is not None:
        file.write_text(text)
    refused = run("generate", "Hi", "--model", model, "--schema", str(file))
    assert (refused.exit_code, refused.stdout) == (1, "")
    (told,) = [x for x in refused.stderr.splitlines() if x and not x.startswith("Loading")]
    assert "schema" in told or "constraint" in told


def test_the_trace_shows_the_split_and_marks_each_outcome_without_colours(
    ok: Ok, model: str
) -> None:
    told = ok("generate", "Hi", "--model", model, *TASTES, *SHORT, "--trace")
    assert "\x1b" not in told
    assert "Be concise" in told
    assert "accepted" in told
    assert "{bonus}" in told


@pytest.mark.parametrize("command", ["generate", "plan"])
def test_an_unknown_user_is_told_before_a_model_is_loaded(run: Run, command: str) -> None:
    result = run(command, "Hi", "--user", "nobody", "--model", "/no/such/model")
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "persona-judge profile add nobody" in line


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--user", "ana", "--prefer", "Be concise"), 2),
        (("--rule", "random"), 2),
        (("--top-k", "many"), 2),
        (("--temperature", "-1"), 1),
        (("--num-draft-tokens", "0"), 1),
        (("--prefer", " "), 1),
        (("--max-new-tokens", "100000"), 1),
    ],
)
def test_a_wrong_option_is_told_without_a_traceback(
    run: Run, model: str, arguments: tuple[str, ...], code: int
) -> None:
    result = run("generate", "Hi", "--model", model, *arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    if code == 1:
        assert len([line for line in result.stderr.splitlines() if "error" in line]) == 1


def test_a_model_that_is_not_there_is_one_line(run: Run) -> None:
    result = run("generate", "Hi", "--model", "/no/such/model")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_plan_shows_the_split_and_both_prompts_and_generates_nothing(
    ok: Ok, model: str, engine: PersonaJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PersonaJudge, "stream", None)
    monkeypatch.setattr(PersonaJudge, "generate", None)
    words = ("plan", "How?", "--model", model, *TASTES)
    planned = engine.plan("How?", preferences=["Be concise", "Make me laugh"])
    told = json.loads(ok(*words, "--json"))
    assert (told["prompt_a"], told["prompt_b"]) == (planned.prompt_a, planned.prompt_b)
    assert told["prompt_tokens_a"] == len(planned.prompt_ids_a)
    shown = ok(*words)
    assert f"{len(planned.prompt_ids_a)} tokens" in shown
    assert shown.count("Make me laugh") == 2


def test_a_plan_tells_what_is_dropped(ok: Ok, model: str) -> None:
    ok("profile", "add", "ana", "Be concise")
    ok("profile", "add", "ana", "Write " + "long " * 380)
    told = json.loads(ok("plan", "How?", "--user", "ana", "--model", model, "--json"))
    assert [p["id"] for p in told["split"]["dropped"]] == ["p2"]
    assert "not used" in ok("plan", "How?", "--user", "ana", "--model", model)


def test_model_info_tells_what_the_model_is(ok: Ok, model: str, engine: PersonaJudge) -> None:
    told = json.loads(ok("model", "info", "--model", model, "--json"))
    assert told["parameters"] == tiny_model().num_parameters()
    assert told["context_window"] == engine.context_window
    assert "LlamaForCausalLM" in ok("model", "info", "--model", model)


def test_a_chat_remembers_what_was_said_and_ends_with_its_input(
    ok: Ok, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, Any]] = []
    stream = PersonaJudge.stream

    def note(self: PersonaJudge, prompt: Any, **arguments: Any) -> Any:
        asked.append(([m["role"] for m in prompt], arguments["user_id"]))
        return stream(self, prompt, **arguments)

    monkeypatch.setattr(PersonaJudge, "stream", note)
    ok("profile", "add", "ana", "Be concise")
    ok("profile", "add", "ben", "Make me laugh")
    ok("chat", "--user", "ana", "--model", model, *SHORT, stdin="Hi\nAnd?\n\n/user ben\nHi\n")
    assert asked == [
        (["user"], "ana"),
        (["user", "assistant", "user"], "ana"),
        (["user"], "ben"),
    ]


def test_a_chat_obeys_its_commands_and_survives_mistakes(run: Run, model: str) -> None:
    lines = "/user nobody\n/what\n/trace\nHi\n/quit\nnever read\n"
    result = run("chat", "--model", model, *TASTES, *SHORT, stdin=lines)
    assert result.exit_code == 0
    assert "persona-judge profile add nobody" in result.stderr
    assert "trace on" in result.stderr
    assert "accepted" in result.stdout
    assert "never read" not in result.stdout


def test_a_chat_forgets_the_oldest_turns_when_the_context_is_full(run: Run, model: str) -> None:
    question = "x" * 300
    more = ("--max-new-tokens", "200", "--temperature", "0")
    result = run("chat", "--model", model, *more, stdin=f"{question}\n" * 4)
    assert result.exit_code == 0
    assert "forgotten" in result.stderr
    assert "error" not in result.stderr


def test_ctrl_c_stops_the_answer_and_not_the_chat(
    run: Run, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def interrupted(self: PersonaJudge, prompt: Any, **arguments: Any) -> Any:
        asked.append(len(prompt))
        raise KeyboardInterrupt

    monkeypatch.setattr(PersonaJudge, "stream", interrupted)
    result = run("chat", "--model", model, stdin="Hi\nHi\n")
    assert result.exit_code == 0
    assert asked == [1, 1]
    assert result.stdout.count("(stopped)") == 2
