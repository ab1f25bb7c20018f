"""Commands that start processes of their own: none stays behind, and no shared memory."""

import fcntl
import mmap
import os
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from verl_spo.launching import processes
from verl_spo.launching.processes import MARK, Exit

pytestmark = pytest.mark.slow

# Starts a process that leaves its session, says its number, and ends as told.
ORPHAN = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
sys.exit({status})
"""


def lives(number: int) -> bool:
    """Whether there is such a process that has not ended; whose child it was may not have taken note of its end."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.mark.parametrize("status", [0, 3])
def test_a_process_that_left_the_session_is_ended_too(status: int, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        assert processes.run([sys.executable, "-c", ORPHAN.format(status=status)], {}, output) == Exit(status)
    assert not lives(int((tmp_path / "out").read_text()))


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.5)
    stubborn = ORPHAN.format(status=0).replace(
        "import time;", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(0, flush=True);"
    )
    with (tmp_path / "out").open("wb") as output:
        assert processes.run([sys.executable, "-c", stubborn], {}, output) == Exit(0)
    pids = [int(line) for line in (tmp_path / "out").read_text().split()]
    assert not any(lives(pid) for pid in pids if pid)


# Has a child of a launch, of whose end it takes no note: the first process of a container often does so.
CARELESS = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
print(subprocess.Popen(sleep, env={{**os.environ, {mark!r}: "a launch"}}).pid, flush=True)
time.sleep(600)
"""


def test_a_process_that_ended_unnoticed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRACE_S", "KILL_TIMEOUT_S"):
        monkeypatch.setattr(processes, name, 5.0)
    command = [sys.executable, "-c", CARELESS.format(mark=MARK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert processes.end_marked("a launch") == []
        assert child.status() == psutil.STATUS_ZOMBIE
        parent.kill()


def test_other_processes_are_left_alone() -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert processes.run([sys.executable, "-c", ""], {}) == Exit(0)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_the_environment_is_passed_on(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        processes.run([sys.executable, "-c", "import os; print(os.environ['A_NAME'])"], {"A_NAME": "value"}, output)
    assert (tmp_path / "out").read_text() == "value\n"


# Runs a command that waits, and ends with the signal that ended it. The command is asked to end by a file.
LAUNCHER = """
import sys
from pathlib import Path
from verl_spo.launching import processes

processes.GRACE_S = 2.0

def ask(number):
    print("asked", number, flush=True)
    Path({file!r}).touch()
    return {agrees}

ended = processes.run([sys.executable, "-c", {command!r}], {{}}, ask={ask}, deaf={deaf})
print(ended.status, flush=True)
sys.exit(ended.signal)
"""

WAITING = """
import os, time
from pathlib import Path
print(os.getpid(), flush=True)
while not {obeys} or not Path({file!r}).exists():
    time.sleep(0.01)
"""


# Leaves a process that says when it is told to end, and stays; ends once that one is there.
LEAVING = """
import subprocess, sys, time
from pathlib import Path
subprocess.Popen([sys.executable, "-c", {stays!r}], start_new_session=True)
while not Path({file!r}).exists():
    time.sleep(0.01)
"""

STAYS = """
import os, signal, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: print("told to end", flush=True))
print(os.getpid(), flush=True)
Path({file!r}).touch()
while True:
    time.sleep(600)
"""


class Launcher:
    """A launcher in a process of its own, so that signals are not the test runner's, whose command has begun."""

    def __init__(
        self,
        folder: Path,
        ask: bool = True,
        agrees: bool = True,
        obeys: bool = True,
        deaf: bool = False,
        **options: Any,
    ) -> None:
        file = str(folder / "asked")
        waiting = WAITING.format(file=file, obeys=obeys)
        command = options.pop("command", waiting)
        code = LAUNCHER.format(file=file, command=command, agrees=agrees, deaf=deaf, ask="ask" if ask else None)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
        self.process = subprocess.Popen([sys.executable, "-c", code], **options)
        self.command = int(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def ended(self) -> int:
        """The exit status of the launcher, which leaves nothing behind."""
        status = self.process.wait(timeout=60)
        assert not lives(self.command)
        return status


@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN], ids=["foreground", "background"])
def test_an_interrupt_reaches_the_command_and_is_the_status(inherited: signal.Handlers, tmp_path: Path) -> None:
    """A shell starts what it runs in the background with SIGINT ignored."""
    launcher = Launcher(tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, inherited))
    launcher.process.send_signal(signal.SIGINT)
    assert launcher.ended() == signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name)
def test_a_signal_asks_the_command_to_end(number: signal.Signals, tmp_path: Path) -> None:
    launcher = Launcher(tmp_path)
    launcher.process.send_signal(number)
    assert launcher.line() == f"asked {number}\n"
    assert launcher.line() == "0\n"
    assert launcher.ended() == 0


@pytest.mark.parametrize("options", [{"ask": False}, {"agrees": False, "obeys": False}], ids=["nobody", "refused"])
def test_a_command_that_cannot_be_asked_is_ended(options: dict[str, Any], tmp_path: Path) -> None:
    launcher = Launcher(tmp_path, **options)
    launcher.process.send_signal(signal.SIGUSR1)
    assert launcher.ended() == signal.SIGUSR1


def test_a_second_signal_ends_the_command_at_once(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path, obeys=False)
    launcher.process.send_signal(signal.SIGUSR1)
    assert launcher.line() == f"asked {signal.SIGUSR1:d}\n"
    launcher.process.send_signal(signal.SIGTERM)
    assert launcher.ended() == signal.SIGTERM


def test_impatience_does_not_end_the_cleaning(tmp_path: Path) -> None:
    file = str(tmp_path / "ready")
    launcher = Launcher(tmp_path, command=LEAVING.format(stays=STAYS.format(file=file), file=file))
    assert launcher.line() == "told to end\n"
    launcher.process.send_signal(signal.SIGTERM)
    launcher.process.send_signal(signal.SIGINT)
    assert launcher.ended() == 0


def test_nohup_keeps_a_run_alive_when_its_terminal_goes(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    launcher.process.send_signal(signal.SIGHUP)
    launcher.process.send_signal(signal.SIGTERM)
    assert launcher.line() == f"asked {signal.SIGTERM:d}\n"
    assert launcher.ended() == 0


def test_what_a_batch_system_sends_to_every_process_is_the_launchers_alone(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path)
    for number in (signal.SIGUSR1, signal.SIGHUP):
        os.kill(launcher.command, number)
    launcher.process.send_signal(signal.SIGTERM)
    assert launcher.line() == f"asked {signal.SIGTERM:d}\n"
    assert launcher.line() == "0\n"
    assert launcher.ended() == 0


def test_sigterm_for_every_process_of_a_job_is_the_launchers_alone_too(tmp_path: Path) -> None:
    """So does a Ray job that is stopped (ray/dashboard/modules/job/job_supervisor.py:409)."""
    launcher = Launcher(tmp_path, deaf=True)
    os.kill(launcher.command, signal.SIGTERM)
    launcher.process.send_signal(signal.SIGTERM)
    assert launcher.line() == f"asked {signal.SIGTERM:d}\n"
    assert launcher.line() == "0\n"
    assert launcher.ended() == 0


def test_a_command_that_does_not_hear_sigterm_is_ended_all_the_same(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path, ask=False, obeys=False, deaf=True)
    launcher.process.send_signal(signal.SIGTERM)
    assert launcher.ended() == signal.SIGTERM


def test_a_terminal_that_is_closed_asks_the_command_to_end(tmp_path: Path) -> None:
    """The launcher leads a session on a terminal of its own, as a shell's job does."""
    ours, theirs = os.openpty()
    launcher = Launcher(tmp_path, stdin=theirs, stderr=theirs, preexec_fn=lambda: _control(theirs))
    os.close(theirs)
    os.close(ours)
    assert launcher.line() == f"asked {signal.SIGHUP:d}\n"
    assert launcher.line() == "0\n"
    assert launcher.ended() == 0


def _control(terminal: int) -> None:
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def test_shared_memory_that_is_left_goes_and_that_of_a_live_process_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_SHARED_MEMORY", tmp_path)
    left, used = tmp_path / "psm_left", tmp_path / "psm_used"
    for segment in (left, used):
        segment.write_bytes(b"x" * 4096)
    with used.open("r+b") as file, mmap.mmap(file.fileno(), 4096):
        assert processes.orphans(processes.segments()) == {left}
        processes.remove_left({left, used})
    assert not left.exists()
    assert used.exists()
    processes.remove_left({used})
    assert not used.exists()


def test_shared_memory_that_goes_while_it_is_listed_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_SHARED_MEMORY", tmp_path)
    (tmp_path / "psm_there").touch()
    # Listed, but its state cannot be asked for.
    (tmp_path / "psm_gone").symlink_to(tmp_path / "nothing")
    assert processes.segments() == {tmp_path / "psm_there"}


def test_a_command_killed_by_a_signal_has_its_status() -> None:
    kill_itself = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    assert processes.run([sys.executable, "-c", kill_itself], {}) == Exit(128 + signal.SIGKILL)
