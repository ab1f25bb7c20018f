"""After a login, the page that its reader had asked for: a provider leads back to the first one.

A page that is asked for without a login is remembered in a cookie of this server, for as long as a login may take.
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "verl_spo_wanted"
_SECONDS = 900
# A page lies right below the root; what Streamlit and the provider ask for does not, or has a digit in its name.
_PAGE = re.compile(r"/[a-z]*")
_MOST = 3000


class WantedPages:
    """Leads readers on to the page that they had asked for before their login.

    Args:
        app: What answers.
        may_read: Whether somebody with these cookies may.
        base: What every path begins with (`server.baseUrlPath`), without a slash at its end.
    """

    def __init__(self, app: ASGIApp, may_read: Callable[[Mapping[str, str]], bool], base: str = "") -> None:
        self._app, self._may_read, self._base = app, may_read, base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope.get("path", "").removeprefix(self._base)
        if scope["type"] != "http" or scope["method"] != "GET" or not _PAGE.fullmatch(path):
            await self._app(scope, receive, send)
            return
        cookies, query = HTTPConnection(scope).cookies, scope["query_string"].decode("latin-1")
        asked = f"{path}?{query}" if query else path
        if not self._may_read(cookies):
            await self._app(scope, receive, _with_cookie(send, asked) if asked != "/" else send)
        elif asked == "/" and _is_page(wanted := unquote(cookies.get(COOKIE, ""))):
            answer = RedirectResponse(f"{self._base}{wanted}", status_code=303)
            answer.delete_cookie(COOKIE)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_page(address: str) -> bool:
    path, _, _ = address.partition("?")
    return len(address) < _MOST and path != "" and _PAGE.fullmatch(path) is not None


def _with_cookie(send: Send, asked: str) -> Send:
    """Sends what it is given, and the cookie with its beginning."""
    made = Response()
    made.set_cookie(COOKIE, quote(asked, safe=""), max_age=_SECONDS, httponly=True, samesite="lax")

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("set-cookie", made.headers["set-cookie"])
        await send(message)

    return sending
