"""Whose call it is: LangChain's ways of saying so, turned into explicit arguments.

LangChain hands `config` to the public methods only, so they call `name_user` first. Order of
precedence: the arguments of the call (also bound with `.bind()`), the `config` passed to it, the
config of the surrounding chain or graph, the user of the copy (`with_user`), the innermost
`use_user()` scope, nobody.

A `no_persona()` scope silences all but what the call itself says: its arguments, and a `config`
that names another user than the surrounding one. Chains hand their own config on to each step, so
a user in both is inherited, not said; a grader inside a user's graph can then be neutral.
"""

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from persona_judge_llm.scope import resolve_user

USER_ID = "user_id"


def name_user(
    arguments: Mapping[str, Any], config: RunnableConfig | None, bound: str | None
) -> dict[str, Any]:
    """Return a call's arguments with its user, or `persona=False`, made explicit.

    Args:
        arguments: the keyword arguments of the call.
        config: the config passed to the call, if any.
        bound: the user of the copy that was called, if any.

    Raises:
        InvalidPreferenceError: a user id that cannot be one.
    """
    named = {name: value for name, value in arguments.items() if value is not None}
    if "preferences" in named or named.get("persona") is False:
        return named
    own, surrounding = configured_user(config), configured_user(ensure_config())
    explicit = named.get(USER_ID, None if own == surrounding else own)
    user_id, neutral = resolve_user(explicit, bound if surrounding is None else surrounding)
    if user_id is not None:
        return {**named, USER_ID: user_id}
    return {**named, "persona": False} if neutral else named


def configured_user(config: RunnableConfig | None) -> Any:
    """Return the user of a config; like LangChain, accept it beside `configurable`, too."""
    if not config:
        return None
    user_id = (config.get("configurable") or {}).get(USER_ID)
    return config.get(USER_ID) if user_id is None else user_id
