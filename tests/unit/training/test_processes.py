"""Commands that start processes of their own: none stays behind, and no shared memory."""

import mmap
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from verl_spo.training import processes

# Starts a process that leaves its session, says its number, and ends as told.
ORPHAN = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
sys.exit({status})
"""


@pytest.mark.parametrize("status", [0, 3])
def test_a_process_that_left_the_session_is_ended_too(status: int, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        assert processes.run([sys.executable, "-c", ORPHAN.format(status=status)], {}, output) == status
    assert not psutil.pid_exists(int((tmp_path / "out").read_text()))


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.5)
    stubborn = ORPHAN.format(status=0).replace(
        "import time;", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(0, flush=True);"
    )
    with (tmp_path / "out").open("wb") as output:
        assert processes.run([sys.executable, "-c", stubborn], {}, output) == 0
    pids = [int(line) for line in (tmp_path / "out").read_text().split()]
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)


def test_other_processes_are_left_alone() -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert processes.run([sys.executable, "-c", ""], {}) == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_the_environment_is_passed_on(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        processes.run([sys.executable, "-c", "import os; print(os.environ['A_NAME'])"], {"A_NAME": "value"}, output)
    assert (tmp_path / "out").read_text() == "value\n"


def test_an_interrupt_reaches_the_command_and_is_the_status() -> None:
    """The launcher in a process of its own, so that the signal is not the test runner's."""
    launcher = (
        "import sys; from verl_spo.training import processes; "
        "sys.exit(processes.run([sys.executable, '-c', 'print(1, flush=True); import time; time.sleep(600)'], {}))"
    )
    process = subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 128 + signal.SIGINT


def test_shared_memory_that_is_left_goes_when_no_other_run_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_SHARED_MEMORY", tmp_path)
    left, used = tmp_path / "psm_left", tmp_path / "psm_used"
    for segment in (left, used):
        segment.write_bytes(b"x" * 4096)
    with used.open("r+b") as file, mmap.mmap(file.fileno(), 4096):
        processes.remove_left({left})
    assert left.exists()
    processes.remove_left({left})
    assert not left.exists()
    assert used.exists()


def test_a_command_killed_by_a_signal_has_its_status() -> None:
    kill_itself = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    assert processes.run([sys.executable, "-c", kill_itself], {}) == 128 + signal.SIGKILL
