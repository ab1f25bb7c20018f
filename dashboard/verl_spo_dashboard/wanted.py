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
"""Beginning of the cookie's name; a port follows, since browsers do not tell the ports of a host apart."""

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
        name = f"{COOKIE}_{(scope.get('server') or ('', 0))[1]}"
        if not self._may_read(cookies):
            await self._app(scope, receive, self._remembering(send, name, asked) if is_elsewhere(asked) else send)
        elif asked == "/" and is_elsewhere(wanted := unquote(cookies.get(name, ""))):
            answer = RedirectResponse(f"{self._base}{wanted}", status_code=303)
            answer.delete_cookie(name, path=f"{self._base}/")
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _remembering(self, send: Send, name: str, asked: str) -> Send:
        """Sends what it is given, and the cookie with its beginning."""
        made = Response()
        made.set_cookie(
            name, quote(asked, safe=""), max_age=_SECONDS, path=f"{self._base}/", httponly=True, samesite="lax"
        )

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", made.headers["set-cookie"])
            await send(message)

        return sending


def is_elsewhere(address: str) -> bool:
    """Whether an address, without the server's own part, is that of a page other than the first, and short enough."""
    path, _, query = address.partition("?")
    return bool(_PAGE.fullmatch(path)) and (path != "/" or bool(query)) and len(quote(address, safe="")) < _MOST
