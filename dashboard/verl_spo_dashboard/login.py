"""Nothing is shown, and nothing is read, before who looks at the pages has logged in: `verl-spo dashboard --auth`.

Two places see to it. `gate` ends the script of every page before the page begins, and `check` stands before the
database, for what runs without that script: fragments, in a session that has logged out. What the server answers
beside pages is behind `guarded`.
"""

import os
from functools import lru_cache
from pathlib import Path

import streamlit as st

from verl_spo.errors import SPOError
from verl_spo_dashboard import auth
from verl_spo_dashboard.auth import Auth


def required() -> Auth | None:
    """How readers log in; None where everybody may read."""
    path = os.environ.get(auth.VARIABLE)
    return _read(path) if path else None


def gate() -> None:
    """Let readers pass who may; show the others how to log in, and end the script here."""
    rules = required()
    if rules is None or rules.admits(st.user):
        return
    if st.user.get("is_logged_in"):
        _refusal()
    else:
        _welcome(rules)
    st.stop()


def check() -> None:
    """Refuse to read for anybody who may not.

    Raises:
        SPOError: Nobody is logged in here, or somebody who may not read.
    """
    rules = required()
    if rules is not None and not rules.admits(st.user):
        raise SPOError("nobody who may read this is logged in here: load the page anew")


def who() -> None:
    """Who is logged in, and the way out; nothing where everybody may read."""
    if required() is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="who", width="content"):
        st.text(_name(), width="content")
        _log_out()


def _welcome(rules: Auth) -> None:
    st.title("verl-spo", anchor=False)
    st.write("These pages are for people who log in.")
    for name in rules.providers:
        label = f"Log in with {name}" if name else "Log in"
        st.button(label, icon=":material/login:", type="primary", on_click=st.login, args=(name or None,))


def _refusal() -> None:
    st.title("verl-spo", anchor=False)
    st.error("You are logged in, but may not read these pages.", icon=":material/block:")
    st.text(_name())
    st.write("Who runs the dashboard decides which verified addresses may. Log out to come as somebody else.")
    _log_out()


def _log_out() -> None:
    st.button("Log out", icon=":material/logout:", on_click=st.logout, key="log-out")


def _name() -> str:
    """As the provider has it: plain text only."""
    return str(st.user.get("email") or st.user.get("name") or st.user.get("sub") or "somebody without a name")


@lru_cache(maxsize=1)
def _read(path: str) -> Auth:
    return auth.read(Path(path))
