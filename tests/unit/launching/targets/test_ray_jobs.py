"""Ray jobs, at the boundary of Ray's client: what is handed over, and what becomes of output, end and signals."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from tests.support import configured
from verl_spo.errors import ConfigError, LaunchError
from verl_spo.launching import compose
from verl_spo.launching.targets import job, ray_jobs
from verl_spo.launching.targets.following import Following
from verl_spo.launching.targets.job import Job
from verl_spo.launching.targets.ray_jobs import RayJobs

pytestmark = pytest.mark.slow

SERVER = "http://head:8265"
DATABASE = "postgresql://me:s3cret@db/spo"


class Client:
    """A job server's client with one job, which says something and ends as told."""

    def __init__(self, status: JobStatus = JobStatus.SUCCEEDED, code: int | None = 0) -> None:
        self.submitted: dict[str, Any] = {}
        self.files: dict[str, str] = {}
        self.stops = 0
        self.asked = 0
        self.details = SimpleNamespace(status=status, driver_exit_code=code, message="it is over")
        self.signals: list[signal.Signals] = []
        self.breaks = False

    def submit_job(self, **given: Any) -> str:
        self.submitted = given
        if folder := given["runtime_env"].get("working_dir"):
            self.files = {path.name: path.read_text() for path in Path(folder).iterdir()}
        return "raysubmit_1"

    async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
        yield f"output of {name}\n"
        for number in self.signals:
            os.kill(os.getpid(), number)
        if self.breaks:
            raise RuntimeError("the connection is closed")

    def get_job_info(self, name: str) -> SimpleNamespace:
        self.asked += 1
        return SimpleNamespace(status=JobStatus.RUNNING) if self.asked == 1 else self.details

    def stop_job(self, name: str) -> bool:
        self.stops += 1
        return True


def submit(client: Client, made: Job, monkeypatch: pytest.MonkeyPatch, working_dir: Path | None = None) -> int:
    monkeypatch.setattr(ray_jobs, "connect", lambda address: client)
    return RayJobs(SERVER, working_dir).submit(made)


def follow(client: Client) -> int:
    return Following(client, "raysubmit_1", poll_s=0.0).to_the_end()


@pytest.fixture
def own_recipe(tmp_path: Path) -> Path:
    """A recipe of the user's, which builds on one beside it."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "_part.yaml").write_text("defaults: [cpu/arithmetic_spo, _self_]\ntrainer: {nnodes: 2}\n")
    path = tmp_path / "recipes" / "mine.yaml"
    path.write_text("defaults: [_part, _self_]\nspo: {store: {url: env:VERL_SPO_DB}}\n")
    return path


def test_the_database_goes_by_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("VERL_SPO_DB", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_1")
    client = Client()
    given = [f"spo.store.url='{DATABASE}'", "spo.retention=drift"]
    assert submit(client, job.of(configured.RECIPE, given, ["HF_TOKEN"]), monkeypatch) == 0
    assert client.submitted["entrypoint"] == (
        f"exec verl-spo train {configured.RECIPE} spo.retention=drift ++spo.store.url=env:VERL_SPO_DB"
    )
    variables = client.submitted["runtime_env"]["env_vars"]
    assert (variables["VERL_SPO_DB"], variables["HF_TOKEN"]) == (DATABASE, "hf_1")
    assert int(variables["RAY_JOB_STOP_WAIT_TIME_S"]) >= 600
    assert capsys.readouterr().out == f"Ray job:   raysubmit_1, at {SERVER}\noutput of raysubmit_1\n"


def test_a_recipe_of_the_users_arrives_as_what_it_is_composed_to(
    own_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERL_SPO_DB", DATABASE)
    client, overrides = Client(), ["demo_dir=/data"]
    submit(client, job.of(str(own_recipe), overrides), monkeypatch)
    assert client.submitted["entrypoint"] == "exec verl-spo train recipe.yaml"
    assert list(client.files) == ["recipe.yaml"]
    there = tmp_path / "there"
    there.mkdir()
    (there / "recipe.yaml").write_text(client.files["recipe.yaml"])
    assert compose.load(str(there / "recipe.yaml"), []) == compose.load(str(own_recipe), overrides)


def test_a_working_directory_is_taken_along_with_the_recipe_in_it(
    own_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERL_SPO_DB", DATABASE)
    made = job.of(str(own_recipe), ["demo_dir=/data"])
    client = Client()
    (tmp_path / "recipes" / "rewards.py").touch()
    submit(client, made, monkeypatch, own_recipe.parent)
    assert client.submitted["entrypoint"] == "exec verl-spo train mine.yaml demo_dir=/data"
    assert set(client.files) == {"mine.yaml", "_part.yaml", "rewards.py"}
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfigError, match="lies outside --working-dir"):
        submit(client, made, monkeypatch, tmp_path / "elsewhere")


def test_what_is_shown_has_no_secret(own_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_SPO_DB", DATABASE)
    shown = RayJobs(SERVER).show(job.of(str(own_recipe), []))
    assert "exec verl-spo train recipe.yaml <<END" in shown
    assert '  VERL_SPO_DB: "$VERL_SPO_DB"' in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (JobStatus.SUCCEEDED, 0, 0),
        (JobStatus.FAILED, 2, 2),
        (JobStatus.FAILED, 138, 138),
        (JobStatus.FAILED, None, 1),
        (JobStatus.STOPPED, None, 128 + signal.SIGTERM),
    ],
)
def test_the_exit_status_is_that_of_the_run(status: JobStatus, code: int | None, expected: int) -> None:
    assert follow(Client(status, code)) == expected


def test_a_signal_stops_the_job_and_waits_for_its_end() -> None:
    client = Client(JobStatus.STOPPED, None)
    client.signals = [signal.SIGUSR1]
    assert follow(client) == 128 + signal.SIGUSR1
    assert client.stops == 1
    assert client.asked == 2


def test_a_second_signal_leaves_the_job_to_itself(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(JobStatus.STOPPED, None)
    client.details.status = JobStatus.RUNNING
    client.signals = [signal.SIGINT, signal.SIGTERM]
    assert follow(client) == 128 + signal.SIGINT
    assert client.stops == 1
    assert "job raysubmit_1 is left to itself; `ray job status raysubmit_1`" in caplog.text


def test_a_lost_output_is_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(JobStatus.FAILED, 3)
    client.breaks = True
    assert follow(client) == 3
    assert "the output of job raysubmit_1 cannot be followed any more" in caplog.text


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_SPO_DB", DATABASE)
    made = job.of(configured.RECIPE, ["spo.store.url=env:VERL_SPO_DB"])
    # Port 1 is nobody's. What Ray would rather believe does not count.
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:2")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:3")
    with pytest.raises(LaunchError, match=r"--ray http://127\.0\.0\.1:1: .*127\.0\.0\.1:1.*RAY_AUTH_MODE=token"):
        RayJobs("http://127.0.0.1:1").submit(made)
    with pytest.raises(ConfigError, match=r"--ray ray://head:10001: is for Ray Client"):
        RayJobs("ray://head:10001").submit(made)


def test_a_database_that_only_this_machine_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"spo\.store\.url=sqlite:///.*and --ray http://head:8265 lets Ray choose"):
        submit(Client(), job.of(configured.RECIPE, []), monkeypatch)
