"""SLURM's batch script with real Ray, verl and vLLM: two raylets train one run, are preempted, and go on."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import small
from tests.support.killing import marked_processes
from tests.support.waiting import LONGEST_S, STOP_S, wait_until
from verl_spo.launching.processes import remove_left, segments
from verl_spo.launching.targets import job
from verl_spo.launching.targets.slurm import Slurm
from verl_spo.store import open_reader, queries
from verl_spo.store.runs.status import Status

pytestmark = [pytest.mark.verl, pytest.mark.long]

STAND_INS = Path(__file__).parents[2] / "support" / "slurm"
RUN, STEPS = "arithmetic/nodes", 4


@pytest.fixture
def script(run_dir: Path) -> Path:
    """What `verl-spo train --slurm` would submit: two nodes with one rank each, and a history in Postgres."""
    overrides = [
        f"demo_dir={run_dir}",
        f"trainer.experiment_name={RUN.partition('/')[2]}",
        "trainer.nnodes=2",
        # The cluster has its own.
        "ray_kwargs.ray_init.num_cpus=null",
        "ray_kwargs.ray_init.num_gpus=null",
        f"trainer.total_training_steps={STEPS}",
        "spo.store.url=env:VERL_SPO_DB",
        *small.OVERRIDES,
    ]
    file = run_dir / "script.sh"
    file.write_text(Slurm().show(job.of(small.RECIPE, overrides)))
    return file


@pytest.fixture
def place(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two nodes of a SLURM cluster, both of which are this machine: SLURM's commands are stand-ins, Ray's are not."""
    (tmp_path / "nodes").write_text("node-1\nnode-2\n")
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    (tmp_path / "commands").mkdir()
    for name in ("srun", "scontrol"):
        (tmp_path / "commands" / name).symlink_to(STAND_INS / name)
    monkeypatch.setenv("PATH", f"{tmp_path}/commands:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node-[1-2]")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("VERL_SPO_DB", postgres_url)
    # Of each raylet; Ray sees no GPU, and verl wants one for a rank.
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 12, "GPU": 1}')
    before = segments()
    yield tmp_path
    remove_left(segments() - before)
    shutil.rmtree("/tmp/ray-7")


def start(script: Path) -> subprocess.Popen[str]:
    with (script.parent / "job.log").open("a") as log:
        return subprocess.Popen(["bash", str(script)], stdout=log, stderr=log, text=True)


def log_of(script: Path) -> str:
    return (script.parent / "job.log").read_text()[-6000:]


def test_a_run_on_two_nodes_is_preempted_and_goes_on_by_itself(place: Path, script: Path, postgres_url: str) -> None:
    def trains() -> bool:
        with open_reader(postgres_url) as reader:
            runs = queries.runs(reader)
        return any(run.last_step >= 1 for run in runs) or process.poll() is not None

    others = marked_processes()
    process = start(script)
    wait_until(trains, timeout=LONGEST_S)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=STOP_S) == 128 + signal.SIGUSR1, log_of(script)
    assert (place / "calls").read_text().splitlines()[-1] == "scontrol requeue 7"
    assert marked_processes() <= others

    # As SLURM does with a job that is in its queue again.
    process = start(script)
    assert process.wait(timeout=LONGEST_S) == 0, log_of(script)
    assert marked_processes() <= others
    assert (script.parent / "job.log").read_text().count("Ray has 2 of 2 nodes") == 2
    with open_reader(postgres_url) as reader:
        found = queries.run(reader, RUN)
        visits = queries.tracker(reader, found.run.id).visits
    assert found.run.status == Status.FINISHED
    first, second = found.attempts
    assert first.resumed_from is None
    assert second.resumed_from in range(1, STEPS)
    assert visits.sum() == STEPS * 16
