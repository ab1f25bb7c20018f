"""A password never leaves the URL it stands in: not into logs, errors, snapshots, reprs or the database."""

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg import sql
from sqlalchemy import text
from typer.testing import CliRunner

from tests.support.databases import TEMPLATE, PostgresServer
from tests.support.stores import Training, info, start
from tests.support.waiting import wait_until
from verl_spo.cli.main import app
from verl_spo.errors import DurabilityError, StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.database.connections import check_writable, open_engine
from verl_spo.store.runs.status import Status
from verl_spo.store.writing import delivery

CANARY = "c4n@ry/p:w?d#1"


@pytest.fixture
def secret_url(postgres: PostgresServer) -> str:
    """A database that is reached with a password."""
    role = sql.Identifier("canary")
    postgres.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
    postgres.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(role, sql.Literal(CANARY)))
    return postgres.new_database(TEMPLATE).replace("//postgres:@", f"//canary:{quote(CANARY, safe='')}@")


def assert_no_canary(*texts: object) -> None:
    for shown in texts:
        for form in (CANARY, quote(CANARY, safe=""), "c4n", "ry/p", "w?d#1"):
            assert form not in str(shown)


def test_a_whole_run_shows_it_nowhere(
    secret_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_S", 0.05)
    config = {
        "spo": {"store": {"url": secret_url}},
        "trainer": {"logger": ["console"], "api_key": CANARY, "nested": [{"password": CANARY}]},
        "note": f"the database is {secret_url}",
        "query": f"postgresql://host/db?user=me&password={quote(CANARY, safe='')}&sslmode=require",
    }
    with caplog.at_level(logging.DEBUG):
        training = Training()
        writer = start(secret_url, training, run=info(config=config, git={"remote": secret_url}))
        writer.submit(training.advance())
        writer.close(Status.FINISHED)
        with open_reader(secret_url) as reader:
            found = queries.run(reader, "demo/spo")
            with pytest.raises(StoreError) as missing:
                queries.run(reader, "other")
            assert_no_canary(found, reader, repr(reader), repr(writer), missing.value)
        with open_engine(secret_url).connect() as connection:
            tables = ("runs", "attempts", "step_summaries", "series")
            dump = [connection.execute(text(f"SELECT * FROM {table}")).all() for table in tables]
    assert_no_canary(caplog.text, dump)
    assert found.config["trainer"]["logger"] == ["console"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda url: url.replace("canary:", "nobody:"),
        lambda url: url.replace("/test_", "/missing_"),
        lambda url: url.replace("host=", "host=/nowhere"),
        lambda url: url.replace("postgresql://", "mysql://"),
        lambda url: url.replace("postgresql://", "postgresql+unknown://"),
        lambda url: f"postgresql://canary:{CANARY}@host:port/db",
        lambda url: f"postgresql://canary:{CANARY}@localhost:1/db",
        lambda url: f"postgresql://localhost:1/db?user=canary&password={quote(CANARY, safe='')}",
        lambda url: f"postgresql:/canary:{CANARY}@localhost/db",
        lambda url: f"canary:{CANARY}@localhost/db",
    ],
)
@pytest.mark.parametrize("opening", [open_engine, open_reader, check_writable])
def test_no_error_shows_it(
    secret_url: str, spoil: Callable[[str], str], opening: Callable[[str], object], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreError) as caught:
        opening(spoil(secret_url))
    assert_no_canary(caught.value, "".join(traceback.format_exception(caught.value)), caplog.text)


def test_an_outage_shows_it_nowhere(
    secret_url: str,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(delivery, "RETRY_S", 0.05)
    monkeypatch.setenv("VERL_SPO_SPOOL_DIR", str(tmp_path))
    training = Training()
    with caplog.at_level(logging.DEBUG):
        writer = start(secret_url, training)
        postgres.execute("ALTER ROLE canary NOLOGIN")
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'canary'")
        writer.submit(training.advance())
        wait_until(lambda: writer._delivery.trouble, timeout=60)
        with pytest.raises(DurabilityError) as caught:
            writer.flush(0.2)
        postgres.execute("ALTER ROLE canary LOGIN")
        writer.close(Status.FINISHED, timeout=60)
    for message in ("the database is away", "the database is back"):
        assert message in caplog.text
    assert_no_canary(caught.value, "".join(traceback.format_exception(caught.value)), caplog.text)


def test_a_record_that_cannot_be_written_shows_it_nowhere(secret_url: str, caplog: pytest.LogCaptureFixture) -> None:
    training = Training()
    with caplog.at_level(logging.DEBUG):
        writer = start(secret_url, training)
        engine = open_engine(secret_url)
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE observations CASCADE"))
        writer.submit(training.advance())
        with pytest.raises(StoreError) as caught:
            writer.flush()
        with pytest.raises(StoreError) as again:
            writer.submit(training.advance())
        with pytest.raises(StoreError):
            writer.close(Status.FAILED)
    shown = "".join(traceback.format_exception(again.value))
    assert_no_canary(caught.value, again.value, shown, caplog.text)


@pytest.mark.parametrize(
    "command",
    [
        ["runs", "list"],
        ["runs", "show", "nothing"],
        ["db", "stats"],
        ["db", "current"],
        ["db", "upgrade"],
        ["prompts", "hardest", "nothing"],
        ["export", "nothing"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("spoil", [lambda url: url, lambda url: url.replace("canary:", "nobody:")])
def test_no_command_shows_it(secret_url: str, command: list[str], spoil: Callable[[str], str]) -> None:
    result = CliRunner().invoke(app, [*command, "--db", spoil(secret_url)])
    assert_no_canary(result.output, result.exception)
