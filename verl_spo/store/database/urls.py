"""Database URLs: how a user writes them, and how they appear in logs, errors and snapshots: without the password."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from verl_spo.errors import StoreError

HIDDEN = "***"

VARIABLE = "VERL_SPO_DB"
"""The environment variable that commands take the URL from, where no option gives one."""

BY_VARIABLE = "env:"
"""`env:NAME` stands for the URL in the environment variable NAME, so that no list of processes and no log shows it."""

# The longest stretch up to the last '@': a password that is not escaped as it should be is hidden whole.
_USERINFO = re.compile(r"(?P<head>[A-Za-z][\w+.\-]*:/{1,2}[^\s:/@]*):[^\s]*@")
_QUERY_SECRET = re.compile(
    r"(?P<head>[?&][\w.]*(?:password|passwd|secret|token|credentials?|(?:api|access|private)_?key)[\w.]*=)[^&\s]*",
    re.IGNORECASE,
)
_KEY_SECRET = re.compile(r"(^|[_.-])(password|passwd|secret|credentials?|(api|access|private)_?key)$", re.IGNORECASE)
_KEY_TOKEN = re.compile(r"^((hf|hub|auth|access|api|bearer|wandb|github)_?)token$|^token$", re.IGNORECASE)
# Variables are written so; `pad_token`, an option, is no secret.
_VARIABLE_TOKEN = re.compile(r"^[A-Z0-9_]+_TOKEN$")

_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}


def variable(url: str) -> str | None:
    """The environment variable that a URL is taken from; None if it stands there itself."""
    return url.removeprefix(BY_VARIABLE) if url.startswith(BY_VARIABLE) else None


def parse(url: str) -> URL:
    """Read a URL, with the driver that verl-spo uses.

    Raises:
        StoreError: It is not a SQLite or Postgres URL, or the variable that shall hold it does not.
    """
    url = resolved(url)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Such messages quote parts of the URL, and its password may be among them.
        raise StoreError(
            f"database URL {_after_userinfo(url)}: not readable; write sqlite:///file.db or "
            "postgresql://user:password@host:port/database (in a password, @ is %40 and / is %2F)"
        ) from None
    driver = _DRIVERS.get(parsed.drivername, parsed.drivername)
    if driver not in _DRIVERS.values():
        raise StoreError(f"database URL {_after_userinfo(url)}: must begin with sqlite:// or postgresql://")
    if not is_sqlite(parsed) and url.count("@") > 1:
        raise StoreError(f"database URL {_after_userinfo(url)}: there is more than one @; in a password, write %40")
    if is_sqlite(parsed) and parsed.database in (None, "", ":memory:"):
        raise StoreError(f"database URL {mask(url)}: a run needs a file, such as sqlite:///verl_spo.db")
    return parsed.set(drivername=driver)


def resolved(url: str) -> str:
    """The URL itself, where it is in a variable.

    Raises:
        StoreError: The variable holds none.
    """
    if (name := variable(url)) is None:
        return url
    held = os.environ.get(name, "")
    if not held or variable(held):
        raise StoreError(
            f"database URL {url}: the variable {name} must hold a URL, such as postgresql://...; export it where the "
            "run starts"
        )
    return held


def _after_userinfo(url: str) -> str:
    """What of a URL that is not understood may be shown: nothing up to the last @."""
    _, at, rest = mask(url).rpartition("@")
    return f"{HIDDEN}@{rest}" if at else rest


def is_sqlite(url: URL) -> bool:
    """Whether the URL, as parsed, means a SQLite file."""
    return url.get_backend_name() == "sqlite"


def sqlite_path(url: URL) -> Path:
    """The file of a SQLite URL, absolute."""
    return Path(url.database or "").expanduser().absolute()


def is_relative(url: URL) -> bool:
    """Whether a SQLite URL means another file in another working directory."""
    return not Path(url.database or "").expanduser().is_absolute()


def absolute(url: str) -> str:
    """A URL that means the same database in every working directory.

    Raises:
        StoreError: It is not a SQLite or Postgres URL.
    """
    parsed = parse(url)
    if not is_sqlite(parsed):
        return url
    return parsed.set(drivername="sqlite", database=str(sqlite_path(parsed))).render_as_string(hide_password=False)


def describe(url: URL) -> str:
    """A URL for people: without the password."""
    return mask(url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True))


def mask(text: str) -> str:
    """Hide the passwords of all URLs in a text."""
    return _QUERY_SECRET.sub(rf"\g<head>{HIDDEN}", _USERINFO.sub(rf"\g<head>:{HIDDEN}@", text))


def scrub(text: str, url: URL) -> str:
    """Hide the URL's own password wherever it stands in a text, but for the scheme, and those of all other URLs."""
    for secret in passwords(url):
        text = re.sub(rf"{re.escape(secret)}(?![\w+.\-]*://)", HIDDEN, text)
    return mask(text)


def passwords(url: URL) -> list[str]:
    """The texts of a URL that nobody else may see."""
    secrets = [url.password, *(value for key, value in url.query.items() if _names_secret(key))]
    parts = (part for secret in secrets for part in ((secret,) if isinstance(secret, str) else secret or ()))
    return [part for part in parts if part]


def without_secrets(value: Any) -> Any:
    """A copy of a JSON value with passwords in URLs, and values whose key names a secret, hidden."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {
            key: HIDDEN if isinstance(item, str) and _tells(item) and _names_secret(str(key)) else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def secrets_in(value: Any) -> set[str]:
    """Of a JSON value, or of the environment: the texts whose key names a secret."""
    if isinstance(value, Mapping):
        named = {item for key, item in value.items() if isinstance(item, str) and item and _names_secret(str(key))}
        return named.union(*map(secrets_in, value.values()))
    return set().union(*map(secrets_in, value)) if isinstance(value, list | tuple) else set()


def _tells(value: str) -> bool:
    """Whether a secret is in a text: not where it is taken from elsewhere, as by `${oc.env:NAME}`."""
    return bool(value) and not re.fullmatch(r"\$\{[^{}]*\}", value)


def _names_secret(key: str) -> bool:
    return bool(_KEY_SECRET.search(key) or _KEY_TOKEN.search(key) or _VARIABLE_TOKEN.search(key))
