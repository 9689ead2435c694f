"""`persona-judge demo`: the same through the engine, LangChain and LlamaIndex."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from persona_judge_llm.cli import demo

Ok = Callable[..., str]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "MAX_NEW_TOKENS", 8)


def report(ok: Ok, model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ok("demo", "--model", model, "--json"))
    return found


def test_all_doors_give_the_same_answers_to_all_users(ok: Ok, model: str) -> None:
    told = report(ok, model)
    answers = {(a["user"], a["question"]): a["text"] for a in told["engine"]}
    assert len(answers) == len(demo.USERS) * len(demo.QUESTIONS)
    for door in ("langchain", "llama_index"):
        assert {(a["user"], a["question"]): a["text"] for a in told[door]} == answers


def test_the_users_have_one_two_and_no_preferences(ok: Ok, model: str) -> None:
    told = report(ok, model)
    sides = {
        a["user"]: {p["text"] for p in a["split"]["a"] + a["split"]["b"]} for a in told["engine"]
    }
    assert sorted(map(len, sides.values())) == [0, 1, 2]
    judged = {a["user"] for a in told["engine"] if a["acceptance_rate"] is not None}
    assert judged == {user for user, texts in sides.items() if len(texts) == 2}


def test_a_seed_repeats_the_demonstration(ok: Ok, model: str) -> None:
    assert report(ok, model) == report(ok, model)


def test_the_demonstration_fits_80_columns_and_shows_each_part(
    ok: Ok, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = ok("demo", "--model", model)
    assert max(map(len, told.splitlines())) <= 80
    for part in ("The engine", "LangChain", "LlamaIndex", *demo.USERS, *demo.QUESTIONS):
        assert part in told


@pytest.mark.parametrize(
    ("package", "part", "extra"),
    [
        ("langchain_core", "langchain", "langchain"),
        ("llama_index", "llama_index", "llama-index"),
        ("sqlalchemy", "profiles", "profiles"),
    ],
)
def test_a_missing_extra_is_named_and_the_rest_goes_on(
    ok: Ok, model: str, monkeypatch: pytest.MonkeyPatch, package: str, part: str, extra: str
) -> None:
    ours = ("langchain_persona_judge", "llama_index_persona_judge", "persona_judge_profiles")
    for name in [n for n in sys.modules if n.partition(".")[0] in (package, *ours)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    told = report(ok, model)
    assert f"persona-judge-llm[{extra}]" in told[part]["skipped"]
    assert len(told["engine"]) == len(demo.USERS) * len(demo.QUESTIONS)
    told_in_words = " ".join(ok("demo", "--model", model).split())
    assert f"persona-judge-llm[{extra}]" in told_in_words
