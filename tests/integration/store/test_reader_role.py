"""The role that docs/store.md shows can read everything and change nothing."""

import re
from pathlib import Path

import psycopg
import pytest

from tests.support.stores import Training, info, start
from verl_spo.store import open_reader, queries

DOCUMENT = Path(__file__).parents[3] / "docs" / "store.md"


def test_the_documented_grants_are_enough_and_not_too_much(postgres_url: str) -> None:
    start(postgres_url, Training()).close("finished")
    role, database = "spo_reader", psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    statements = re.search(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert statements is not None
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        try:
            for statement in statements[1].replace("DATABASE spo", f'DATABASE "{database}"').split(";\n"):
                owner.execute(statement)  # type: ignore[arg-type]
            reading = re.sub(r"//[^@/]*@", f"//{role}:...@", postgres_url)
            with open_reader(reading) as reader:
                assert [run.name for run in queries.runs(reader)] == [info().name]
            with (
                psycopg.connect(reading.replace("postgresql+psycopg", "postgresql")) as reader_itself,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                reader_itself.execute("DELETE FROM runs")
        finally:
            owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
