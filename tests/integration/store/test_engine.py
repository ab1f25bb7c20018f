"""Connections: what the URL says of them holds, and readers cannot write."""

import pytest
from sqlalchemy import text

from tests.support.databases import PostgresServer, migrate
from tests.support.stores import info, trained
from verl_spo.errors import StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.database.connections import open_engine, open_reading_engine

OPTIONS = "&options=-csearch_path%3Dspo&application_name=mine&connect_timeout=3"


@pytest.fixture
def in_schema_url(postgres: PostgresServer, postgres_url: str) -> str:
    """A database with a schema of another name, which the URL chooses."""
    url = f"{postgres_url}{OPTIONS}"
    with open_engine(postgres_url).begin() as connection:
        connection.execute(text("CREATE SCHEMA spo"))
    migrate(url)
    return url


def test_a_run_in_another_schema_is_read_back_by_the_url_that_wrote_it(in_schema_url: str, postgres_url: str) -> None:
    trained(in_schema_url, steps=2, run=info("in schema"))
    trained(postgres_url, steps=1)
    with open_reader(in_schema_url) as reader:
        assert [(run.name, run.last_step) for run in queries.runs(reader)] == [("in schema", 2)]
    with open_reader(postgres_url) as reader:
        assert [(run.name, run.last_step) for run in queries.runs(reader)] == [("demo/spo", 1)]


@pytest.mark.parametrize("opening", [open_engine, open_reading_engine])
def test_what_the_url_says_of_a_connection_wins(in_schema_url: str, opening: object) -> None:
    with opening(in_schema_url).connect() as connection:  # type: ignore[operator]
        given = connection.connection.driver_connection.info.get_parameters()
        assert connection.execute(text("SHOW application_name")).scalar_one() == "mine"
        assert connection.execute(text("SHOW search_path")).scalar_one() == "spo"
    assert given["connect_timeout"] == "3"
    # What it does not say is as ever.
    assert given["keepalives_idle"] == "10"


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_reader_cannot_write(database_url: str, snapshot: bool, request: pytest.FixtureRequest) -> None:
    urls = [database_url]
    if database_url.startswith("postgresql"):
        urls += [
            request.getfixturevalue("in_schema_url"),
            f"{database_url}&options=-cdefault_transaction_read_only%3Doff",
        ]
    for url in urls:
        trained(url, steps=1)
        with open_reader(url) as reader:
            for _ in range(2):
                with pytest.raises(StoreError, match=r"read-?only"), reader.connect(snapshot) as connection:
                    connection.execute(text("DELETE FROM runs"))
            assert len(queries.runs(reader)) == 1
