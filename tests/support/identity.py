"""A provider of OpenID Connect that logs everybody in at once, as whoever the test says: discovery to signed tokens."""

import json
import secrets
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "dashboard"
ADA = {"sub": "1", "email": "ada@example.org", "email_verified": True, "name": "Ada"}
EVE = {"sub": "2", "email": "eve@example.com", "email_verified": True, "name": "Eve"}
LIFETIME_S = 600


@dataclass
class Provider:
    """A running provider.

    Attributes:
        address: Its issuer.
        user: Claims of who logs in next.
        secret: The client's.
        given: Every code, access token and ID token that it has given.
        ended: How many have logged out.
    """

    address: str = ""
    user: dict[str, Any] = field(default_factory=lambda: dict(ADA))
    secret: str = field(default_factory=secrets.token_hex)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(parameters={"kid": "1", "use": "sig"}))
    given: list[str] = field(default_factory=list)
    ended: int = 0
    logins: dict[str, tuple[dict[str, Any], str]] = field(default_factory=dict)

    def write_auth(self, path: Path, *lines: str) -> Path:
        """A file for `verl-spo dashboard --auth`, with more lines of `[auth]`."""
        values = {
            "redirect_uri": "http://localhost:{port}/oauth2callback",
            "cookie_secret": secrets.token_hex(),
            "client_id": CLIENT,
            "client_secret": self.secret,
            "server_metadata_url": f"{self.address}/.well-known/openid-configuration",
        }
        path.write_text("\n".join(["[auth]", *(f'{name} = "{value}"' for name, value in values.items()), *lines]))
        path.chmod(0o600)
        return path

    def metadata(self) -> dict[str, Any]:
        """What a client finds out about it."""
        return {
            "issuer": self.address,
            **{f"{name}_endpoint": f"{self.address}/{name}" for name in ("authorization", "token", "userinfo")},
            "end_session_endpoint": f"{self.address}/end",
            "jwks_uri": f"{self.address}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Log the user in; returns where the browser goes."""
        code = secrets.token_urlsafe()
        self.logins[code] = (dict(self.user), query["nonce"])
        self.given.append(code)
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def tokens(self, code: str) -> dict[str, Any]:
        """Tokens for a code, once."""
        user, nonce = self.logins.pop(code)
        now = int(time.time())
        claims = {"iss": self.address, "aud": CLIENT, "iat": now, "exp": now + LIFETIME_S, "nonce": nonce, **user}
        tokens = {
            "access_token": secrets.token_urlsafe(),
            "id_token": jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key),
        }
        self.given += tokens.values()
        return {**tokens, "token_type": "Bearer", "expires_in": LIFETIME_S}


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider on this machine, until the block is left."""
    served = Provider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: _Handler(served, *given))
    served.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, served: Provider, *given: Any) -> None:
        self._provider = served
        super().__init__(*given)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query))
        match address.path:
            case "/.well-known/openid-configuration":
                self._say(self._provider.metadata())
            case "/jwks":
                self._say({"keys": [self._provider.key.as_dict(private=False)]})
            case "/authorization":
                self._send_to(self._provider.authorize(query))
            case "/end":
                self._provider.ended += 1
                self._send_to(query["post_logout_redirect_uri"])
            case "/userinfo":
                self._say(self._provider.user)
            case _:
                self.send_error(404)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        kind, _, credentials = self.headers["Authorization"].partition(" ")
        if (kind, b64decode(credentials).decode()) != ("Basic", f"{CLIENT}:{self._provider.secret}"):
            self.send_error(401)
            return
        self._say(self._provider.tokens(form["code"][0]))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _say(self, content: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def _send_to(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.end_headers()
