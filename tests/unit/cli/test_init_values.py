"""`verl-spo init-values`, as far as it goes without training."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf
from typer.testing import CliRunner, Result

from tests.support.faults import away
from tests.support.stores import Training, pool, start
from verl_spo.cli.main import app
from verl_spo.errors import StoreError
from verl_spo.launching import launch
from verl_spo.launching.endings import Ended
from verl_spo.store.records import InitScores
from verl_spo.store.runs.status import Status


@pytest.fixture
def init_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[bool], Ended]], Result]:
    """Run the command with something else in the place of the training."""
    monkeypatch.chdir(tmp_path)
    trainer = {"project_name": "demo", "experiment_name": "spo"}
    spo = {"store": {"url": f"sqlite:///{tmp_path}/store.db"}}
    config = OmegaConf.create({"trainer": trainer, "spo": spo})

    def run(train: Callable[[bool], Ended]) -> Result:
        monkeypatch.setattr(launch, "prepare", lambda name, overrides: SimpleNamespace(config=config, run=train))
        return CliRunner().invoke(app, ["init-values", "any"])

    return run


def test_what_the_run_estimated_is_written(init_values: Callable[..., Result], tmp_path: Path) -> None:
    def train(shown: bool) -> Ended:
        writer = start(f"sqlite:///{tmp_path}/store.db", Training())
        writer.add_init_scores(InitScores([0], [4], [3.0]))
        writer.close(Status.FINISHED)
        return Ended(0)

    assert init_values(train).exit_code == 0
    assert json.loads(Path("init_values.json").read_text()) == {pool()[0].digest.hex(): [1.0, 1.0, 1.0, 0.0]}


def test_estimates_that_are_not_all_in_the_database_are_not_taken_for_all(
    init_values: Callable[..., Result], tmp_path: Path
) -> None:
    def train(shown: bool) -> Ended:
        writer = start(f"sqlite:///{tmp_path}/store.db", Training())
        with away():
            writer.add_init_scores(InitScores([0], [4], [3.0]))
            writer.close(Status.FINISHED, timeout=0.1)
        return Ended(0)

    error = init_values(train).exception
    assert isinstance(error, StoreError)
    assert "does not have all of its estimates yet" in str(error)
    assert not Path("init_values.json").exists()
