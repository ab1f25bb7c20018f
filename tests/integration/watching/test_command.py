"""`verl-spo watch`: what people and programs read, when it ends, and with which status."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.support.stores import Training, start
from tests.support.watched import Story, after
from verl_spo.cli.main import app
from verl_spo.errors import ConfigError, StoreError
from verl_spo.store.database.connections import open_engine
from verl_spo.store.runs import starts
from verl_spo.store.runs.status import Status

COLLAPSED = Story(reward=after(30, 0.05, 0.6))


@pytest.fixture(autouse=True)
def environment(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_SPO_DB", sqlite_url)


def watch(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["watch", "demo/spo", *arguments])


def documents(output: str) -> list[Any]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def between_looks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """What happens while the watch waits, one after the other; how long it was to wait."""

    def between_looks(*acts: Callable[[], object]) -> list[float]:
        remaining, waited = iter(acts), list[float]()

        def wait(seconds: float) -> None:
            waited.append(seconds)
            next(remaining)()

        # Not the module's own: other threads sleep, too.
        monkeypatch.setattr("verl_spo.cli.watch.time", SimpleNamespace(sleep=wait, time=time.time))
        return waited

    return between_looks


def test_a_run_that_has_ended_well_is_all_right(sqlite_url: str) -> None:
    Story().train(sqlite_url)
    result = watch()
    assert (result.exit_code, result.stdout) == (0, "demo/spo: finished, step 60; no alert\n")


def test_an_alert_is_a_line_and_a_status(sqlite_url: str) -> None:
    COLLAPSED.train(sqlite_url)
    result = watch("--once")
    alert, verdict = result.stdout.splitlines()
    assert "  demo/spo: critical reward-collapse since step 4" in alert
    assert "(reward_drop)" in alert
    assert (result.exit_code, verdict) == (1, "demo/spo: finished, step 60; there were alerts")


def test_rules_are_given_by_option_or_variable(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    COLLAPSED.train(sqlite_url)
    assert watch("--rule", "reward_drop=1", "--rule", "entropy_share=0.01").exit_code == 0
    monkeypatch.setenv("VERL_SPO_RULES", "reward_drop=1 entropy_share=0.01")
    assert watch().exit_code == 0
    assert watch("--rule", "reward_drop=0.4").exit_code == 1


def test_a_run_that_failed_is_an_alert(sqlite_url: str) -> None:
    Story().train(sqlite_url, status=Status.FAILED)
    (event,) = documents(watch("--json").stdout)
    assert (event["event"], event["alert"]["name"], event["alert"]["since_step"]) == ("began", "failed", 60)


def test_a_start_that_fails_is_told_and_ends_the_watch(
    sqlite_url: str, between_looks: Callable[..., list[float]]
) -> None:
    engine, starter = open_engine(sqlite_url), "elsewhere:1:2:3:4"
    starts.begin(engine, "demo/spo", starter, "loading the model")
    waited = between_looks(lambda: starts.end(engine, "demo/spo", starter, "RewardError: no \x1b[31mmodel"))
    result = watch("--every", "7", "--json")
    assert (waited, result.exit_code) == ([7.0], 1)
    (event,) = documents(result.stdout)
    assert event["alert"]["message"] == "It failed after step 0: RewardError: no \x1b[31mmodel"


def test_an_alert_that_ends_is_told_and_the_status_remembers_it(
    sqlite_url: str, between_looks: Callable[..., list[float]]
) -> None:
    COLLAPSED.train(sqlite_url)
    engine = open_engine(sqlite_url)

    def goes_on(status: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE runs SET status = '{status}', heartbeat_at = strftime('%s') + 10")
            connection.exec_driver_sql("UPDATE attempts SET started_at = strftime('%s')")

    goes_on("running")

    def recovers() -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE step_summaries SET reward_mean = 0.6")

    between_looks(recovers, lambda: goes_on("finished"))
    result = watch("--json")
    assert [(event["event"], event["alert"]["name"]) for event in documents(result.stdout)] == [
        ("began", "reward-collapse"),
        ("ended", "reward-collapse"),
    ]
    assert result.exit_code == 1


def test_a_database_that_is_away_is_waited_for(sqlite_url: str, between_looks: Callable[..., list[float]]) -> None:
    writer = start(sqlite_url, Training())
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    away = file.with_suffix(".away")

    def back() -> None:
        away.rename(file)
        writer.close(Status.FINISHED)

    between_looks(lambda: file.rename(away), back)
    result = watch()
    assert result.exit_code == 0
    assert "no such file" in result.stderr
    assert "; trying again\n" in result.stderr


def test_hooks_are_told_and_their_failures_end_nothing(sqlite_url: str, tmp_path: Path) -> None:
    COLLAPSED.train(sqlite_url)
    got = tmp_path / "got"
    script = f'import sys; open("{got}", "w").write(sys.stdin.read()); sys.exit(9)'
    result = watch("--command", f"{sys.executable} -c '{script}'", "--webhook", "http://127.0.0.1:1/s3cret", "--json")
    assert result.exit_code == 1
    assert json.loads(got.read_text()) == documents(result.stdout)[0]
    assert "ended with status 9" in result.stderr
    assert "--webhook 127.0.0.1: " in result.stderr
    assert "s3cret" not in result.stderr


def test_an_error_of_the_run_does_not_steer_the_terminal(sqlite_url: str) -> None:
    engine, starter = open_engine(sqlite_url), "elsewhere:1:2:3:4"
    starts.begin(engine, "demo/spo", starter, "loading the model")
    starts.end(engine, "demo/spo", starter, "RewardError: \x1b[31mred\x07")
    shown = watch().stdout
    assert "RewardError:  [31mred" in shown
    assert not {"\x1b", "\x07"} & {*shown}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ([], StoreError, "run 'demo/spo': not in"),
        (["--rule", "reward_drop=2"], ConfigError, "--rule reward_drop=2.0"),
        (["--command", ""], ConfigError, "--command: is empty"),
        (["--webhook", "s3cret"], ConfigError, "--webhook: must be"),
    ],
)
def test_what_cannot_begin_says_why(
    sqlite_url: str, arguments: list[str], error: type[Exception], message: str
) -> None:
    Story(steps=1).train(sqlite_url, name="another")
    result = watch(*arguments)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
