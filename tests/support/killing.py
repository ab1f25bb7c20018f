"""Runs of real verl that are killed, and what they left behind."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.support.waiting import wait_until
from verl_spo.errors import StoreError
from verl_spo.store import open_reader, queries
from verl_spo.training.processes import MARK


def last_step(run_dir: Path, run: str) -> int:
    """The last step that the store has of a run; 0 before the first."""
    try:
        with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
            return queries.run(reader, run).run.last_step
    except StoreError:
        return 0


def saved_step(run_dir: Path, name: str) -> int | None:
    """The checkpoint that a resume starts from."""
    latest = run_dir / "checkpoints" / name / "latest_checkpointed_iteration.txt"
    return int(latest.read_text()) if latest.is_file() else None


def kill_with_all_it_started(process: subprocess.Popen[str]) -> None:
    """SIGKILL, as a machine that loses power would: nobody cleans up."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.send_signal(signal.SIGKILL)
    psutil.wait_procs(family)


def kill_when(reached: Callable[[Path], bool], process: subprocess.Popen[str], run_dir: Path, log: Path) -> None:
    """Kill a run once it got somewhere; `log` is shown if it ends before."""
    wait_until(lambda: reached(run_dir) or process.poll() is not None, timeout=300, every=0.05)
    assert process.poll() is None, log.read_text()[-4000:]
    kill_with_all_it_started(process)


def marked_processes() -> list[int]:
    """Processes that a launch started and that are still there."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            content = environ.read_bytes()
        except OSError:
            continue
        if f"{MARK}=".encode() in content:
            found.append(int(environ.parent.name))
    return found
