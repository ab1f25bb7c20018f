"""What a trainer hears from its launcher, and tells it."""

import logging
from pathlib import Path

import pytest

from tests.support.stores import Training, info, start
from verl_spo.store import open_reader, queries
from verl_spo.store.database.connections import open_engine
from verl_spo.store.runs import starts
from verl_spo.store.runs.status import Status
from verl_spo.training import launcher, phases

STARTER = "elsewhere:1:2:3:4"


def test_a_request_to_stop_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not launcher.wants_stop()
    monkeypatch.setenv(launcher.STOP_FILE, str(tmp_path / "stop"))
    assert not launcher.wants_stop()
    (tmp_path / "stop").touch()
    assert launcher.wants_stop()


def test_phases_are_told_of_runs_that_a_launcher_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    starts.begin(open_engine(url), "demo/spo", STARTER, "starting Ray")

    def phase() -> str | None:
        with open_reader(url) as reader:
            return queries.run(reader, "demo/spo").run.phase

    phases.report(url, "demo/spo", "loading")
    assert phase() == "starting Ray"
    monkeypatch.setenv(launcher.MARK, STARTER)
    phases.report(url, "demo/spo", "loading")
    assert phase() == "loading"
    writer = start(url, Training(), info(starter=STARTER))
    phases.report(url, "demo/spo", "validating")
    assert phase() == "validating"
    writer.close(Status.FINISHED)


def test_a_database_that_is_away_keeps_a_run_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(launcher.MARK, STARTER)
    with caplog.at_level(logging.WARNING):
        phases.report(f"sqlite:///{tmp_path}/none.db", "demo/spo", "loading")
    assert "the phase 'loading' cannot be shown" in caplog.text
