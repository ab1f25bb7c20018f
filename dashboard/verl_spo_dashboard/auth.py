"""Who may see the pages: the file of `verl-spo dashboard --auth`, and what it says of a user.

It is Streamlit's own file of secrets, with its section `[auth]`, and one key of ours in it, `allowed`.
"""

import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from verl_spo.errors import ConfigError

VARIABLE = "VERL_SPO_DASHBOARD_AUTH"
"""Names the file to the server; empty where everybody may read."""

PROVIDER_KEYS = ("client_id", "client_secret", "server_metadata_url")
SHARED_KEYS = ("redirect_uri", "cookie_secret")
CALLBACK = "/oauth2callback"
SHORTEST_SECRET = 32
LOOPBACK = ("127.0.0.1", "localhost", "::1")

# A group may read: that is how containers are given a secret. Nobody but the owner may write.
_OPEN_MODES = stat.S_IWGRP | stat.S_IRWXO
_ANY_PORT = "{port}"
_SCOPES = "client_kwargs"


@dataclass(frozen=True)
class Auth:
    """How readers log in, and which of them may read.

    Attributes:
        path: Of the file, absolute.
        redirect_uri: Where the provider sends readers back to; `{port}` in it stands for the server's own.
        providers: Names of `[auth.NAME]`; the empty name is the provider of `[auth]` itself.
        allowed: Addresses and, without an @, domains of them, in lower case; empty: everybody who can log in.
    """

    path: Path
    redirect_uri: str
    providers: Sequence[str]
    allowed: Sequence[str] = ()

    def origin(self, port: int) -> str:
        """What the addresses of all pages begin with, if the server listens on this port."""
        parts = urlsplit(self.redirect_uri.replace(_ANY_PORT, str(port)))
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def port(self) -> int | None:
        """The port of this machine that the provider sends readers back to; None if any will do."""
        if _ANY_PORT in self.redirect_uri:
            return None
        parts = urlsplit(self.redirect_uri)
        return parts.port if parts.hostname in LOOPBACK else None

    def admits(self, user: Mapping[str, Any]) -> bool:
        """Whether somebody may read.

        An address counts only if the provider says that it is verified: at some of them, anybody can claim any.

        Args:
            user: What the provider says of them (claims of OpenID Connect), with `is_logged_in`.
        """
        if user.get("is_logged_in") is not True:
            return False
        if not self.allowed:
            return True
        # Some providers say it in words.
        verified = user.get("email_verified") in (True, "true")
        address = str(user.get("email") or "").lower()
        name, at, domain = address.rpartition("@")
        return verified and bool(name and at and domain) and (address in self.allowed or domain in self.allowed)


def read(path: Path) -> Auth:
    """Read the file, and see that nothing is missing.

    Raises:
        ConfigError: It is not there, others may read it, or something in it is missing or cannot be.
    """
    shown = f"--auth {path}"
    _check_file(path, shown)
    try:
        section = tomllib.loads(path.read_text()).get("auth")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # What the parser says of other errors may quote a secret.
        raise ConfigError(f"{shown}: not TOML ({type(error).__name__}); see docs/dashboard.md for an example") from None
    if not isinstance(section, dict):
        raise ConfigError(f"{shown}: has no section [auth]; see docs/dashboard.md for an example")
    _check_shared(section, shown)
    return Auth(path.absolute(), section["redirect_uri"], _providers(section, shown), _allowed(section, shown))


def _check_file(path: Path, shown: str) -> None:
    if not path.is_file():
        raise ConfigError(f"{shown}: no such file")
    if path.suffix != ".toml":
        raise ConfigError(f"{shown}: its name must end with .toml, or Streamlit does not read it")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OPEN_MODES:
        raise ConfigError(
            f"{shown}: others may read or change it (mode {mode:04o}), and it holds secrets: chmod 600 it"
        )


def _check_shared(section: Mapping[str, Any], shown: str) -> None:
    _check_texts(section, SHARED_KEYS, f"{shown}: [auth]")
    if not section["redirect_uri"].endswith(CALLBACK) or urlsplit(section["redirect_uri"]).scheme not in (
        "http",
        "https",
    ):
        raise ConfigError(
            f"{shown}: redirect_uri must be the dashboard's own address with {CALLBACK} behind it, as in "
            f"http://localhost:8501{CALLBACK}"
        )
    if len(section["cookie_secret"]) < SHORTEST_SECRET:
        raise ConfigError(
            f"{shown}: cookie_secret must have {SHORTEST_SECRET} characters or more, since who guesses it is anybody: "
            "python -c 'import secrets; print(secrets.token_hex())' makes one"
        )


def _providers(section: Mapping[str, Any], shown: str) -> list[str]:
    """Names of the providers; one that has nothing but its name counts too, and is refused."""
    named = [name for name, value in section.items() if isinstance(value, dict) and name != _SCOPES]
    for name in named:
        if "_" in name:
            raise ConfigError(f"{shown}: [auth.{name}]: the name of a provider must have no underscore")
        _check_texts(section[name], PROVIDER_KEYS, f"{shown}: [auth.{name}]")
    if named and not any(key in section for key in PROVIDER_KEYS):
        return named
    _check_texts(section, PROVIDER_KEYS, f"{shown}: [auth]")
    return ["", *named]


def _allowed(section: Mapping[str, Any], shown: str) -> list[str]:
    allowed = section.get("allowed")
    if allowed is None:
        return []
    if not isinstance(allowed, list) or not allowed or not all(isinstance(each, str) and each for each in allowed):
        raise ConfigError(
            f'{shown}: allowed must list addresses or domains, as in ["ada@example.org", "example.com"]; leave it out '
            "to admit everybody who can log in"
        )
    return [each.removeprefix("@").lower() for each in allowed]


def _check_texts(section: Mapping[str, Any], keys: Sequence[str], shown: str) -> None:
    missing = [key for key in keys if not isinstance(section.get(key), str) or not section[key]]
    if missing:
        raise ConfigError(f"{shown} lacks {', '.join(missing)}")
