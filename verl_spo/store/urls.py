"""Database URLs: how a user writes them, and how they appear in logs, errors and snapshots: without the password."""

import re
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from verl_spo.errors import StoreError

HIDDEN = "***"

# The longest stretch up to the last '@': a password that is not escaped as it should be is hidden whole.
_USERINFO = re.compile(r"(?P<head>[A-Za-z][\w+.\-]*:/{1,2}[^\s:/@]*):[^\s]*@")
_QUERY_SECRET = re.compile(
    r"(?P<head>[?&][\w.]*(?:password|passwd|secret|token|credentials?|(?:api|access|private)_?key)[\w.]*=)[^&\s]*",
    re.IGNORECASE,
)
_KEY_SECRET = re.compile(r"(^|[_.-])(password|passwd|secret|credentials?|(api|access|private)_?key)$", re.IGNORECASE)
_KEY_TOKEN = re.compile(r"^((hf|hub|auth|access|api|bearer|wandb|github)_?)token$|^token$", re.IGNORECASE)

_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}


def parse(url: str) -> URL:
    """Read a URL, with the driver that verl-spo uses.

    Raises:
        StoreError: It is not a SQLite or Postgres URL.
    """
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


def describe(url: URL) -> str:
    """A URL for people: without the password."""
    return mask(url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True))


def mask(text: str) -> str:
    """Hide the passwords of all URLs in a text."""
    return _QUERY_SECRET.sub(rf"\g<head>{HIDDEN}", _USERINFO.sub(rf"\g<head>:{HIDDEN}@", text))


def scrub(text: str, url: URL) -> str:
    """Hide the URL's own password wherever it stands in a text, but for the scheme, and those of all other URLs."""
    secrets = [url.password, *(value for key, value in url.query.items() if _names_secret(key))]
    for secret in secrets:
        for part in (secret,) if isinstance(secret, str) else secret or ():
            text = re.sub(rf"{re.escape(part)}(?![\w+.\-]*://)", HIDDEN, text) if part else text
    return mask(text)


def without_secrets(value: Any) -> Any:
    """A copy of a JSON value with passwords in URLs, and values whose key names a secret, hidden."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {
            key: HIDDEN if isinstance(item, str) and item and _names_secret(str(key)) else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def _names_secret(key: str) -> bool:
    return bool(_KEY_SECRET.search(key) or _KEY_TOKEN.search(key))
