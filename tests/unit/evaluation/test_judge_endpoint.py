"""The judge over the real protocol, on a server of this machine that fails in every way."""

import json
import logging
import threading

import pytest

from persona_judge_llm.errors import InvalidParameterError, JudgeEndpointError
from persona_judge_llm.evaluation.judge_endpoint import (
    Comparison,
    JudgeEndpoint,
    JudgeSettings,
    api_key,
    read_choice,
)
from tests.unit.evaluation.fake_judge import completion, serving

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
ASKED = Comparison("Why {first}?", "Because {0} %s.", "No idea.", "Humor", "which is funnier")
KEY = "sk-very-secret"


def asked(url, *, sleeps=None, **settings):
    waits = [] if sleeps is None else sleeps
    made = JudgeSettings(url=url, model="gpt-x", **settings)
    with JudgeEndpoint(made, sleep=waits.append) as endpoint:
        return endpoint.compare(ASKED)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("1", "first"), (" 2\n", "second"), ("0", "tie"), ("1.", "first"), ("**2**", "second"),
        ('"0"', "tie"), ("(1)", "first"),
        ("I prefer 1", "unreadable"), ("", "unreadable"), ("3", "unreadable"), ("12", "unreadable"),
        ("-1", "unreadable"), ("1 2", "unreadable"), ("tie", "unreadable"), ("1, 2", "unreadable"),
        ("1/2", "unreadable"), ("0.5", "unreadable"), ("1 is better", "unreadable"),
    ],
)  # fmt: skip
def test_only_1_2_and_0_are_verdicts(text, choice):
    assert read_choice(text) == choice


def test_it_asks_by_the_protocol_with_both_answers_as_they_are():
    with serving(lambda number, body: completion("2")) as judge:
        reply = asked(judge.url + "/", key=KEY)
    assert (reply.text, reply.choice) == ("2", "second")
    assert judge.paths == ["/v1/chat/completions"]
    (body,) = judge.bodies
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("gpt-x", 0.0, 8)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    user = body["messages"][1]["content"]
    assert "<answer 1>\nBecause {0} %s.\n</answer 1>" in user
    assert "<answer 2>\nNo idea.\n</answer 2>" in user
    assert "<question>\nWhy {first}?\n</question>" in user
    assert "Humor, that is: which is funnier." in user
    assert judge.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_the_whole_address_will_do_too():
    with serving(lambda number, body: completion("1")) as judge:
        asked(f"{judge.url}/chat/completions")
    assert judge.paths == ["/v1/chat/completions"]


def test_without_a_key_no_header_and_no_limits_if_none_are_wanted():
    with serving(lambda number, body: completion("1")) as judge:
        asked(judge.url, temperature=None, max_tokens=None)
    assert "Authorization" not in judge.headers[0]
    assert judge.bodies[0].keys() == {"model", "messages"}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_what_passes_is_tried_again_and_waits_grow(status):
    def decide(number, body):
        return (status, {}, b"busy") if number < 3 else completion("1")

    sleeps = []
    with serving(decide) as judge:
        assert asked(judge.url, sleeps=sleeps, first_wait=1.0).choice == "first"
    assert len(judge.bodies) == 4
    assert all(low <= s <= 1.5 * low for s, low in zip(sleeps, (1, 2, 4), strict=True))


def test_it_waits_as_long_as_the_server_asks_but_not_for_ever():
    waits = ["7", "100000", "Wed, 21 Oct 2015 07:28:00 GMT"]

    def decide(number, body):
        return (429, {"Retry-After": waits[number]}, b"") if number < 3 else completion("0")

    sleeps = []
    with serving(decide) as judge:
        assert asked(judge.url, sleeps=sleeps, first_wait=0.01).choice == "tie"
    assert sleeps[:2] == [7.0, 60.0]
    assert sleeps[2] < 1


@pytest.mark.parametrize(
    "data",
    [b"<html>", b'{"choices"', b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": 1}]}'],
)
def test_broken_json_is_tried_again_and_is_never_a_verdict(data):
    def decide(number, body):
        return (200, {}, data) if number < 2 else completion("2")

    with serving(decide) as judge:
        assert asked(judge.url).choice == "second"
    with serving(lambda number, body: (200, {}, data)) as judge:
        with pytest.raises(JudgeEndpointError, match=r"in 3 tries \(no completion in its reply\)"):
            asked(judge.url, retries=2)
        assert len(judge.bodies) == 3


@pytest.mark.parametrize("message", [{"content": None}, {"content": None, "refusal": "no"}])
def test_an_empty_reply_is_unreadable(message):
    with serving(lambda number, body: completion(**message)) as judge:
        assert asked(judge.url).choice == "unreadable"
        assert len(judge.bodies) == 1


@pytest.mark.parametrize(
    ("status", "hint"),
    [(400, "--judge-max-tokens"), (401, "--api-key-env"), (404, "--url"), (403, "key")],
)
def test_a_refusal_ends_at_once_and_says_what_to_do(status, hint):
    with serving(lambda number, body: (status, {}, KEY.encode())) as judge:
        with pytest.raises(JudgeEndpointError, match=f"status {status}.*{hint}") as caught:
            asked(judge.url, key=KEY)
        assert len(judge.bodies) == 1
    assert KEY not in str(caught.value)


def test_a_server_that_is_not_there_is_tried_again_and_named():
    with serving(lambda number, body: completion("1")) as judge:
        pass
    sleeps = []
    with pytest.raises(JudgeEndpointError, match=r"2 tries \(ConnectError\); what was judged"):
        asked(judge.url, sleeps=sleeps, retries=1)
    assert len(sleeps) == 1


def test_a_server_that_hangs_is_given_up():
    release = threading.Event()

    def decide(number, body):
        release.wait(20)
        return completion("1")

    with serving(decide) as judge:
        try:
            with pytest.raises(JudgeEndpointError, match="ReadTimeout"):
                asked(judge.url, retries=0, timeout=0.2)
        finally:
            release.set()


def test_the_key_is_in_no_log_and_no_repr(caplog):
    caplog.set_level(logging.DEBUG)
    settings = JudgeSettings(url="http://127.0.0.1:1/v1", model="m", key=KEY)
    assert KEY not in repr(settings)
    with serving(lambda number, body: completion("1")) as judge:
        asked(judge.url, key=KEY)
    assert caplog.records
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "settings", [{"url": "127.0.0.1/v1"}, {"url": "http://"}, {"timeout": 0}, {"retries": -1}]
)
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(InvalidParameterError):
        JudgeSettings(**{"url": "http://x/v1", "model": "m", **settings})


def test_the_key_is_read_from_the_environment(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("MY_KEY", KEY)
    assert api_key(None) is None
    assert api_key("MY_KEY") == KEY
    monkeypatch.setenv("OPENAI_API_KEY", "other")
    assert api_key(None) == "other"
    with pytest.raises(InvalidParameterError, match="NO_SUCH_KEY"):
        api_key("NO_SUCH_KEY")


def test_the_question_is_json_of_one_line():
    assert json.loads(json.dumps(ASKED.messages())) == ASKED.messages()
