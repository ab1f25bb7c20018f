"""`verl-spo evaluate`, as far as it goes without verl: what is missing is named before anything starts."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.configured import make_files
from tests.support.stores import trained
from verl_spo.cli.main import app
from verl_spo.errors import ConfigError, DataError, SPOError, StoreError


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    make_files(tmp_path)
    url = f"sqlite:///{tmp_path}/store.db"
    trained(url, steps=1)
    monkeypatch.setenv("VERL_SPO_DB", url)
    return url


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (DataError, r"--benchmark aime24: not in data; get it by `verl-spo data aime24 --out data`", ["demo/spo"]),
        (DataError, r"--benchmark mine: no such file, nor mine.parquet in data", ["demo/spo", "--benchmark", "mine"]),
        (ConfigError, r"--samples 0: out of range", ["demo/spo", "--samples", "0"]),
        (StoreError, r"run 'nobody': not in", ["nobody", "--benchmark", "validation"]),
        (ConfigError, r"of no run in the database.*give --recipe", ["model", "--benchmark", "validation"]),
    ],
)
def test_what_is_missing_is_named(db: str, error: type[SPOError], message: str, arguments: list[Any]) -> None:
    with pytest.raises(error, match=message):
        CliRunner().invoke(app, ["evaluate", *arguments], catch_exceptions=False)


def test_a_database_is_made_where_there_is_none(db: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path}/new.db"
    arguments = ["evaluate", "model", "--benchmark", "validation", "--db", other]
    with pytest.raises(ConfigError, match="give --recipe"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert (tmp_path / "new.db").is_file()
