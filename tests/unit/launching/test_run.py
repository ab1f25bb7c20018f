"""A run from the launcher's first second to its end, whichever that is: real processes, the real store, no verl."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.standing_in import RUN, STEPS, launch, store_url
from tests.support.waiting import wait_until
from verl_spo.errors import StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import RunDetail
from verl_spo.store.runs import owners
from verl_spo.store.runs.status import Status

pytestmark = pytest.mark.slow

REQUESTS = [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


@contextmanager
def launched(folder: Path, behaviour: str) -> Iterator[subprocess.Popen[str]]:
    """A launcher in a process of its own, so that signals are not the test runner's, whose trainer waits as told."""
    command = [sys.executable, "-m", "tests.support.standing_in", str(folder), behaviour]
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == f"{behaviour}\n", launcher.communicate()
    yield launcher
    if launcher.poll() is None:
        interrupted(launcher, signal.SIGINT)


def interrupted(launcher: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal, and wait for the end: the exit status, and what was said."""
    launcher.send_signal(number)
    _, said = launcher.communicate(timeout=120)
    return launcher.returncode, said


def left_behind(folder: Path) -> list[int]:
    """Processes of launches in this folder: other tests may launch at the same time."""
    return [each.pid for each in psutil.process_iter(["cmdline"]) if str(folder) in (each.info["cmdline"] or ())]


def stored(folder: Path) -> RunDetail:
    with open_reader(store_url(folder)) as reader:
        return queries.run(reader, RUN)


def test_a_run_is_starting_until_its_trainer_holds_it(tmp_path: Path) -> None:
    with launched(tmp_path, "wait before the start"):
        run = stored(tmp_path).run
        assert (run.status, run.phase, run.attempt) == (Status.STARTING, "loading", 0)
        wait_until(lambda: stored(tmp_path).run.heartbeat_at > run.heartbeat_at, timeout=10 * owners.HEARTBEAT_S)
        with pytest.raises(StoreError, match=r"process \d+ on .* starts it"):
            launch(tmp_path, "train").run()
    with launched(tmp_path, "wait in step 1"):
        run = stored(tmp_path).run
        assert (run.status, run.phase, run.attempt) == (Status.RUNNING, None, 1)


@pytest.mark.parametrize("number", REQUESTS, ids=lambda number: number.name)
def test_a_request_ends_the_step_saves_and_stops(number: signal.Signals, tmp_path: Path) -> None:
    with launched(tmp_path, "wait in step 1") as launcher:
        status, said = interrupted(launcher, number)
    assert status == 128 + number
    assert f"stopped by {number.name}; the same command goes on" in said
    run = stored(tmp_path).run
    assert (run.status, run.last_step) == (Status.STOPPED, 1)
    assert launch(tmp_path, "train").run().status == 0
    assert [attempt.resumed_from for attempt in stored(tmp_path).attempts] == [None, 1]


def test_a_request_in_the_last_step_is_none(tmp_path: Path) -> None:
    with launched(tmp_path, f"wait in step {STEPS}") as launcher:
        assert interrupted(launcher, signal.SIGTERM)[0] == 0
    assert stored(tmp_path).run.status == Status.FINISHED


def test_a_trainer_that_is_killed_when_it_was_asked_to_stop_has_not_failed(tmp_path: Path) -> None:
    with launched(tmp_path, "be killed in step 1") as launcher:
        assert interrupted(launcher, signal.SIGUSR1)[0] == 128 + signal.SIGUSR1
    assert (stored(tmp_path).run.status, stored(tmp_path).run.error) == (Status.STOPPED, None)


def test_what_has_nothing_to_save_ends_at_once(tmp_path: Path) -> None:
    with launched(tmp_path, "wait before the start") as launcher:
        assert interrupted(launcher, signal.SIGTERM)[0] == 128 + signal.SIGTERM
    assert stored(tmp_path).run.status == Status.STOPPED
    assert left_behind(tmp_path) == []


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with launched(tmp_path, "ignore requests") as launcher:
        launcher.send_signal(signal.SIGUSR1)
        assert launcher.stderr is not None
        assert "SIGUSR1: the run ends its step" in launcher.stderr.readline()
        assert interrupted(launcher, signal.SIGTERM)[0] == 128 + signal.SIGTERM
    assert stored(tmp_path).run.status == Status.STOPPED
    assert left_behind(tmp_path) == []
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"train.log", "run.txt"}
    assert (tmp_path / "checkpoints" / "run.txt").read_text() == f"{RUN}\n"


def test_a_start_that_fails_says_why_and_keeps_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_1234567890")
    ended = launch(tmp_path, "fail before the start").run()
    log = tmp_path / "checkpoints" / "train.log"
    said = ended.message.splitlines()
    assert (ended.status, said[0]) == (1, "training failed: RewardError: the model is not there")
    assert said[-1] == f"verl's output: {log}"
    found = stored(tmp_path)
    assert (found.run.status, found.run.phase, found.attempts) == (Status.FAILED, None, ())
    assert found.run.error is not None
    assert found.run.error.startswith("RewardError: the model is not there\nraised in ")
    assert f"{log}:\nHF_TOKEN=***\nTraceback (most recent call last):" in found.run.error
    assert "HF_TOKEN=hf_1234567890" in log.read_text()


def test_a_run_that_fails_in_training_says_why(tmp_path: Path) -> None:
    assert launch(tmp_path, "fail").run().status == 1
    run = stored(tmp_path).run
    assert run.status == Status.FAILED
    assert run.error is not None
    assert run.error.startswith("RewardError: reward 1.7 lies outside [0, 1]\n")


def test_a_start_that_fails_takes_nothing_from_the_run_that_it_would_have_resumed(tmp_path: Path) -> None:
    assert launch(tmp_path, "train").run().status == 0
    before = stored(tmp_path)
    assert launch(tmp_path, "fail before the start").run().status == 1
    after = stored(tmp_path)
    assert after.attempts == before.attempts
    assert (after.run.status, after.run.last_step) == (Status.FINISHED, STEPS)
    assert after.run.error is not None
    assert "the model is not there" in after.run.error


def test_without_a_database_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "verl_spo.db").mkdir()
    with pytest.raises(StoreError, match="is a folder"):
        launch(tmp_path, "train").run()
