"""The pages behind a login: the server of `verl-spo dashboard --auth`, which `app.py` alone is without it.

`login.gate` keeps the pages. What the server answers beside them (files to download, uploads, figures of its own) asks
for the same cookie here. Open are Streamlit's static files, which are the same everywhere, the login itself, and the
stream of messages, in which the pages' script runs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config
from streamlit.auth_util import get_cookie_with_chunks, get_signing_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from verl_spo_dashboard import login
from verl_spo_dashboard.wanted import WantedPages

OPEN = ("/_stcore/health", "/_stcore/host-config", "/_stcore/stream")
CLOSED = ("/_stcore/", "/media/", "/component/", "/app/static/")
"""Beginnings of paths, behind the server's own (`server.baseUrlPath`)."""


class ReadersOnly:
    """Answers nobody who may not read the pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and is_closed(scope["path"]) and not _may_read(HTTPConnection(scope).cookies):
            await PlainTextResponse("Log in first.", status_code=401)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def is_closed(path: str) -> bool:
    """Whether only readers are answered there."""
    path = path.removeprefix(_base())
    return path.startswith(CLOSED) and path not in OPEN


def _base() -> str:
    """What the server's paths begin with."""
    base = config.get_option("server.baseUrlPath").strip("/")
    return f"/{base}" if base else ""


def _may_read(cookies: Mapping[str, str]) -> bool:
    rules = login.required()
    if rules is None:
        return False
    user = _user(cookies)
    # As Streamlit does: a cookie of another dashboard of the same name and secret is none of this one.
    return user.get("origin") == rules.origin(config.get_option("server.port")) and rules.admits(user)


def _user(cookies: Mapping[str, str]) -> dict[str, Any]:
    """What the provider said of who has logged in; nothing without a cookie that this server has signed."""

    def verified(name: str) -> bytes | None:
        # As the bytes of a header are: see Streamlit's own.
        return decode_signed_value(get_signing_secret(), name, cookies.get(name, "").encode("latin-1"))

    signed = get_cookie_with_chunks(verified, USER_COOKIE_NAME)
    return dict(json.loads(signed)) if signed else {}


app = st.App(
    Path(__file__).with_name("app.py"),
    middleware=[Middleware(ReadersOnly), Middleware(WantedPages, may_read=_may_read, base=_base())],
)
