"""Connections: one kind that writes, one that cannot, and what must hold before either is used."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event, false, update
from sqlalchemy.exc import DBAPIError, OperationalError

from verl_spo.errors import StoreError
from verl_spo.store.database import filesystems, schema_version
from verl_spo.store.database.urls import describe, is_sqlite, parse, scrub, sqlite_path
from verl_spo.store.schema import Run
from verl_spo.store.text import dump_json

_log = logging.getLogger(__name__)

_SQLITE_BUSY_MS = 10_000
_SQLITE_RETRY_S = 0.01
_SQLITE_CACHE_KIB = 64 * 1024
# Checkpointing often would write the pages that every step changes once a step; 40 MB of log bound it.
_SQLITE_LOG_PAGES = 10_000

# A server that vanished without a word is noticed within seconds, not after the kernel's two hours.
_POSTGRES = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "verl-spo",
}


_READ_ONLY = "25006"
"""Postgres's code for a server that takes no changes, as a standby does until it takes over."""


def open_engine(url: str, make: bool = True) -> Engine:
    """An engine that may write, on a schema that this version knows; a new SQLite file gets its schema here.

    Args:
        url: Of the database.
        make: Whether a SQLite file that is not there is made.

    Raises:
        StoreError: The database cannot be reached or written.
        SchemaError: Its schema is missing, older or newer.
    """
    parsed = parse(url)
    if not make:
        _check_exists(parsed)
    _prepare(parsed, schema_version.check_unless_empty)
    engine = writable_engine(parsed)
    with reaching(parsed), engine.connect() as connection:
        if is_sqlite(parsed):
            schema_version.create_if_empty(connection)
        schema_version.check(connection)
    return engine


@contextmanager
def writing(url: str, make: bool = False) -> Iterator[Engine]:
    """`open_engine` for the length of a block, which raises StoreError where the database refuses what it does."""
    engine = open_engine(url, make)
    try:
        with reaching(engine.url):
            yield engine
    finally:
        engine.dispose()


@contextmanager
def upgrading(url: str) -> Iterator[Connection]:
    """A connection that may change the schema, which may be missing or older; a new SQLite file is made.

    Raises:
        StoreError: The database cannot be reached or written.
        SchemaError: Its schema is newer.
    """
    parsed = parse(url)
    _prepare(parsed, schema_version.known)
    engine = writable_engine(parsed)
    with reaching(parsed), engine.connect() as connection:
        yield connection
    engine.dispose()


@contextmanager
def inspecting(url: str) -> Iterator[Connection]:
    """A connection that cannot write, whatever the schema.

    Raises:
        StoreError: The database cannot be reached or read.
    """
    parsed = parse(url)
    _check_exists(parsed)
    engine = readonly_engine(parsed)
    with reaching(parsed), engine.connect() as connection:
        yield connection
    engine.dispose()


def open_reading_engine(url: str) -> Engine:
    """An engine that cannot write: SQLite opens the file read-only, Postgres every transaction.

    Raises:
        StoreError: The database cannot be reached or read.
        SchemaError: Its schema is missing, older or newer.
    """
    parsed = parse(url)
    _check_exists(parsed)
    engine = readonly_engine(parsed)
    with reaching(parsed), engine.connect() as connection:
        schema_version.check(connection)
    return engine


def check_writable(url: str, make: bool = True) -> None:
    """Make sure that a run could be written now.

    Args:
        url: Where to.
        make: Whether a SQLite file that is not there is made, with its schema; if not, only its place is looked at.

    Raises:
        StoreError: It could not, and why.
    """
    parsed = parse(url)
    if not make and is_sqlite(parsed) and not sqlite_path(parsed).exists():
        _check_sqlite_writable(sqlite_path(parsed))
        return
    engine = open_engine(url)
    with reaching(engine.url), engine.begin() as connection:
        # Changes nothing, and needs all that a change needs.
        connection.execute(update(Run).where(false()).values(status=""))
    engine.dispose()


@contextmanager
def reaching(url: URL) -> Iterator[None]:
    """Turn a driver's error into one that names the database and never its password."""
    try:
        yield
    except DBAPIError as error:
        # Not `from error`: the driver's own message may quote the connection string.
        raise StoreError(f"database {describe(url)}: {scrub(reason(error), url)}") from None


def reason(error: Exception) -> str:
    """A driver's message without SQLAlchemy's additions, on one line."""
    original = getattr(error, "orig", None) or error
    return " ".join(str(original).split()) or type(original).__name__


def writable_engine(url: URL) -> Engine:
    """An engine that may write, unchecked: for migrations."""
    if not is_sqlite(url):
        return _postgres_engine(url)
    path = sqlite_path(url)
    network = filesystems.network_type(path)
    if network:
        _log.warning(
            "database %s lies on a network file system (%s), where SQLite's write-ahead log would lose data: using a "
            "rollback journal, so readers and the writer wait for each other; a local file or Postgres is better",
            path,
            network,
        )
    pragmas: dict[str, int | str] = {
        "busy_timeout": _SQLITE_BUSY_MS,
        "journal_mode": "DELETE" if network else "WAL",
        # In WAL mode NORMAL would lose the last steps when the power fails: a checkpoint promises more.
        "synchronous": "FULL",
        "cache_size": -_SQLITE_CACHE_KIB,
        "wal_autocheckpoint": _SQLITE_LOG_PAGES,
        "journal_size_limit": 64 * 2**20,
        "foreign_keys": "ON",
    }
    return _sqlite_engine(url, lambda: f"file:{quote(str(path))}?mode=rwc", pragmas, begin="BEGIN IMMEDIATE")


def readonly_engine(url: URL) -> Engine:
    """An engine that cannot write, unchecked."""
    if not is_sqlite(url):
        return _postgres_engine(url, postgresql_readonly=True)
    pragmas: dict[str, int | str] = {
        "busy_timeout": _SQLITE_BUSY_MS,
        "query_only": "ON",
        "cache_size": -_SQLITE_CACHE_KIB,
    }
    return _sqlite_engine(url, lambda: _readonly_target(sqlite_path(url)), pragmas, begin="BEGIN")


def _readonly_target(path: Path) -> str:
    target = f"file:{quote(str(path))}?mode=ro"
    # Even a reader of a write-ahead log has to make its shared memory file, where there is none and it may not.
    if not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists():
        return f"{target}&immutable=1"
    return target


def _sqlite_engine(url: URL, target: Callable[[], str], pragmas: dict[str, int | str], begin: str) -> Engine:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(target(), uri=True, check_same_thread=False)

    # Where a file cannot be written from here, it is opened anew each time: others may begin to write it.
    pool = QueuePool if os.access(sqlite_path(url).parent, os.W_OK) else NullPool
    engine = create_engine(url, hide_parameters=True, json_serializer=dump_json, creator=connect, poolclass=pool)

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        # Python's sqlite3 would begin transactions by itself, and not before DDL; "begin" below does it instead.
        connection.isolation_level = None
        for name, value in pragmas.items():
            _set(connection, name, value)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _set(connection: Any, name: str, value: int | str) -> None:
    """Set a pragma. SQLite does not wait for others where two processes switch a new file's journal mode at once."""
    deadline = time.monotonic() + _SQLITE_BUSY_MS / 1e3
    while True:
        try:
            connection.execute(f"PRAGMA {name}={value}")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_SQLITE_RETRY_S)


def _postgres_engine(url: URL, **execution_options: bool) -> Engine:
    # SQLAlchemy would prefer these to what the URL says.
    defaults = {name: value for name, value in _POSTGRES.items() if name not in url.query}
    try:
        return create_engine(
            url,
            hide_parameters=True,
            json_serializer=dump_json,
            pool_pre_ping=True,
            connect_args=defaults,
            execution_options=execution_options,
        )
    except ModuleNotFoundError as error:
        raise StoreError(
            f"database {describe(url)}: needs the package {error.name}; pip install 'verl-spo[postgres]'"
        ) from None


def _prepare(url: URL, check: Callable[[Connection], object]) -> None:
    """Before a SQLite file is opened for writing, which switches its journal mode: whether it may, and is ours."""
    if not is_sqlite(url):
        return
    path = sqlite_path(url)
    _check_sqlite_writable(path)
    if path.exists() and path.stat().st_size:
        engine = readonly_engine(url)
        with reaching(url), engine.connect() as connection:
            check(connection)
        engine.dispose()


def _check_exists(url: URL) -> None:
    if is_sqlite(url) and not sqlite_path(url).is_file():
        raise StoreError(
            f"database {sqlite_path(url)}: no such file; a training run makes it, or `verl-spo db upgrade`"
        )


def _check_sqlite_writable(path: Path) -> None:
    if not path.parent.is_dir():
        raise StoreError(f"database {path}: its folder does not exist; make it first")
    if path.is_dir():
        raise StoreError(f"database {path}: is a folder; name a file in it")
    blocked = path if path.exists() else path.parent
    if not os.access(blocked, os.W_OK):
        raise StoreError(f"database {path}: {blocked} is read-only; make it writable or name another file")


def is_away(error: DBAPIError) -> bool:
    """Whether a driver's error may pass: away, locked, full, a standby. Others are mistakes, which no retry mends."""
    standby = getattr(error.orig, "sqlstate", None) == _READ_ONLY
    return isinstance(error, OperationalError) or error.connection_invalidated or standby
