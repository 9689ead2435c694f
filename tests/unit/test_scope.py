"""Who the user of a call is: argument, bound copy, innermost scope, nobody."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from persona_judge_llm.errors import InvalidPreferenceError
from persona_judge_llm.scope import no_persona, resolve_user, use_user

NOBODY = (None, False)


def test_without_a_scope_there_is_nobody() -> None:
    assert resolve_user(None) == NOBODY


def test_an_argument_comes_before_the_bound_user_and_that_before_the_scope() -> None:
    with use_user("scope"):
        assert resolve_user("argument", "bound") == ("argument", False)
        assert resolve_user(None, "bound") == ("bound", False)
        assert resolve_user(None) == ("scope", False)
    assert resolve_user(None) == NOBODY


def test_a_neutral_scope_overrules_bound_users_and_outer_scopes_but_no_argument() -> None:
    with use_user("outer"), no_persona():
        assert resolve_user(None, "bound") == (None, True)
        assert resolve_user(None) == (None, True)
        assert resolve_user("argument", "bound") == ("argument", False)


def test_the_innermost_scope_counts() -> None:
    with use_user("a"):
        with no_persona(), use_user("b"):
            assert resolve_user(None) == ("b", False)
        assert resolve_user(None) == ("a", False)


def test_a_scope_closes_when_its_body_fails() -> None:
    with pytest.raises(KeyError), use_user("a"):
        raise KeyError
    assert resolve_user(None) == NOBODY


def test_a_scope_can_be_opened_again_and_within_itself() -> None:
    scope = use_user("a")
    for _ in range(2):
        with scope:
            with scope:
                assert resolve_user(None) == ("a", False)
            assert resolve_user(None) == ("a", False)
        assert resolve_user(None) == NOBODY


def test_of_a_scope_open_twice_the_inner_one_closes_first() -> None:
    scope = use_user("a")
    with scope, use_user("b"):
        with scope:
            assert resolve_user(None) == ("a", False)
        assert resolve_user(None) == ("b", False)


def test_one_scope_object_in_two_threads_mixes_no_users() -> None:
    shared = no_persona()
    both_open, first_closed = threading.Barrier(2), threading.Event()

    def first() -> tuple[str | None, bool]:
        with shared:
            both_open.wait(10)
        first_closed.set()
        return resolve_user(None)

    def second() -> tuple[str | None, bool]:
        with use_user("bob"):
            with shared:
                both_open.wait(10)
                first_closed.wait(10)
            return resolve_user(None)

    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(second), pool.submit(first)]
        assert [r.result(10) for r in results] == [("bob", False), NOBODY]


async def test_tasks_inherit_the_scope_and_keep_their_own() -> None:
    async def inner(user: str) -> tuple[str | None, str | None]:
        before = resolve_user(None)[0]
        with use_user(user):
            await asyncio.sleep(0)
            return before, resolve_user(None)[0]

    with use_user("outer"):
        found = await asyncio.gather(inner("a"), inner("b"))
        assert resolve_user(None) == ("outer", False)
    assert list(found) == [("outer", "a"), ("outer", "b")]


def test_plain_threads_inherit_nothing() -> None:
    with use_user("a"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(resolve_user, None).result(10) == NOBODY


def speaking_as(user: str) -> Iterator[None]:
    with use_user(user):
        yield


def test_scopes_of_generators_may_close_in_any_order() -> None:
    first, second = speaking_as("a"), speaking_as("b")
    next(first)
    next(second)
    list(first)
    assert resolve_user(None) == ("b", False)
    list(second)
    assert resolve_user(None) == NOBODY


def test_a_scope_left_in_another_context_changes_nothing_there() -> None:
    generator = speaking_as("a")
    copy_context().run(next, generator)
    with use_user("b"):
        list(generator)
        assert resolve_user(None) == ("b", False)


@pytest.mark.parametrize("bad", ["", "  ", "x" * 256, "a\0b", "\ud800", 3, None])
def test_user_ids_that_name_nobody_are_refused(bad: str) -> None:
    with pytest.raises(InvalidPreferenceError, match="user_id"):
        use_user(bad)
    if bad is not None:
        with pytest.raises(InvalidPreferenceError, match="user_id"):
            resolve_user(bad)
        with pytest.raises(InvalidPreferenceError, match="user_id"):
            resolve_user(None, bad)
