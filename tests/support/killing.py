"""Runs of real verl that are killed, and what they left behind."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.waiting import LONGEST_S, wait_until
from verl_spo.errors import StoreError
from verl_spo.launching.processes import MARK, orphans, segments
from verl_spo.store import open_reader, queries


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
    marks = {_mark(child) for child in psutil.Process(process.pid).children(recursive=True)} - {None}
    process.kill()
    process.wait()

    def all_gone() -> bool:
        # Those that were just being started, too.
        left = [each for each in psutil.process_iter() if _mark(each) in marks]
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        return not left

    wait_until(all_gone, timeout=60)


def kill_when(reached: Callable[[Path], bool], process: subprocess.Popen[str], run_dir: Path, log: Path) -> None:
    """Kill a run once it got somewhere; `log` is shown if it ends before."""
    wait_until(lambda: reached(run_dir) or process.poll() is not None, timeout=LONGEST_S, every=0.05)
    assert process.poll() is None, log.read_text()[-4000:]
    kill_with_all_it_started(process)


def marked_processes() -> set[int]:
    """Processes that launches started and that are still there."""
    return {each.pid for each in psutil.process_iter() if _mark(each) is not None}


def started_by(process: subprocess.Popen[str]) -> set[int]:
    """Of them, those that one `verl-spo` started (the third part of a mark, store/runs/owners.py)."""
    marks = ((each.pid, _mark(each)) for each in psutil.process_iter())
    return {pid for pid, mark in marks if mark is not None and mark.split(":")[2] == str(process.pid)}


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except psutil.Error:
        return None


def wait_until_nothing_is_left(before: set[Path]) -> None:
    """See that runs have left no shared memory that nobody uses.

    The machine's other programs have some, too; what they let go of vanishes by itself.

    Raises:
        TimeoutError: There is some that was not there before.
    """
    wait_until(lambda: not orphans(segments() - before), timeout=30)
