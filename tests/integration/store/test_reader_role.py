"""The role that docs/store.md shows can read everything and change nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from tests.support.stores import info, trained
from verl_spo.cli.main import app
from verl_spo.errors import StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.transfer import export_run

DOCUMENT = Path(__file__).parents[3] / "docs" / "store.md"
ROLE = "spo_reader"


@pytest.fixture
def reading_url(postgres_url: str) -> Iterator[str]:
    """A database with a run, as the role reaches it."""
    trained(postgres_url, steps=1, texts=True)
    database = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    statements = re.search(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert statements is not None
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        try:
            for statement in statements[1].replace("DATABASE spo", f'DATABASE "{database}"').split(";\n"):
                owner.execute(statement)  # type: ignore[arg-type]
            yield re.sub(r"//[^@/]*@", f"//{ROLE}:...@", postgres_url)
        finally:
            owner.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


def test_the_documented_grants_are_enough_and_not_too_much(reading_url: str) -> None:
    with open_reader(reading_url) as reader:
        assert [run.name for run in queries.runs(reader)] == [info().name]
    with (
        psycopg.connect(reading_url.replace("postgresql+psycopg", "postgresql")) as reader_itself,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        reader_itself.execute("DELETE FROM runs")


@pytest.mark.parametrize(
    "command",
    [
        ["runs", "rename", "demo/spo", "other"],
        ["runs", "tag", "demo/spo", "good"],
        ["runs", "delete", "demo/spo", "--yes"],
        ["db", "prune", "--keep-rollouts", "0", "--yes"],
        ["db", "vacuum"],
        ["import", "export", "--as", "copy"],
    ],
    ids=" ".join,
)
def test_what_the_role_may_not_do_is_said(
    reading_url: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_reader(reading_url) as reader:
        export_run(reader, "demo/spo", tmp_path / "export", "jsonl")
    error = CliRunner().invoke(app, [*command, "--db", reading_url]).exception
    assert isinstance(error, StoreError)
    assert "permission denied for table" in str(error)
    assert "spo_reader:***@" in str(error)
