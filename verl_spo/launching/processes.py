"""Run a command that starts many processes, and leave none of them behind, nor their shared memory.

Ray and vLLM start processes of their own that outlive a killed parent. All inherit the environment, so a variable with
a value of its own marks what belongs to a command.
"""

import logging
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

from verl_spo.training.launcher import MARK

_log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Those that end a run."""

_OURS_ALONE = (signal.SIGHUP, signal.SIGUSR1)
"""Those that a terminal or a batch system may send to every process, of which most would die."""

GRACE_S = 20.0
KILL_TIMEOUT_S = 60.0
_POLL_S = 0.05
_MOMENT_S = 0.5
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
SEGMENTS = ("psm_", "verl_weights_", "sem.mp-")


@dataclass(frozen=True)
class Exit:
    """How a command ended.

    Attributes:
        status: Its exit status, or 128 + the number of the signal that it died of.
        signal: The number of the signal to this process that ended it; 0 if none did.
    """

    status: int
    signal: int = 0


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    output: IO[bytes] | None = None,
    mark: str | None = None,
    ask: Callable[[int], bool] | None = None,
    deaf: bool = False,
) -> Exit:
    """Run a command to its end; SIGINT, SIGTERM, SIGHUP or SIGUSR1 ends it and all that it started.

    Args:
        command: Program and arguments.
        environment: Variables beside this process's own.
        output: File for stdout and stderr; this process's own where None.
        mark: Of its processes; a new one where None.
        ask: Asks the command to end by itself, and returns whether it will; called with the first signal, unless that
            is SIGINT. Any further signal kills the command.
        deaf: Whether SIGTERM, too, is for this process alone: who stops a job often sends it to every process. Not for
            a command that starts a cluster of its own, whose processes are ended by it.
    """
    mark = mark or uuid.uuid4().hex
    before = segments()
    ending = signal.SIGKILL if deaf else signal.SIGTERM
    with _interrupts(ask, ending) as interrupts:
        with _blocked((*_OURS_ALONE, signal.SIGTERM) if deaf else _OURS_ALONE):
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment, MARK: mark},
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
            )
        interrupts.pass_to(process)
        status = process.wait()
        ended = Exit(status if status >= 0 else 128 - status, interrupts.ended_by)
        # Impatience shall not end the cleaning.
        if left := end_marked(mark):
            _log.warning("%s of this run: still there after SIGKILL; the kernel holds them", ", ".join(left))
        remove_left(segments() - before)
    return ended


def end_marked(mark: str) -> list[str]:
    """End every process of this machine that carries the mark: politely, then for certain.

    Returns:
        Those that are still there: stuck in the kernel.
    """
    remaining = _marked(mark)
    for process in remaining:
        _signal(process, signal.SIGTERM)
    stubborn = {*_wait(remaining, GRACE_S), *_marked(mark)}
    for process in stubborn:
        _signal(process, signal.SIGKILL)
    return [f"process {process.pid}" for process in _wait(stubborn, KILL_TIMEOUT_S)]


def remove_left(made: set[Path]) -> None:
    """Remove shared memory that was made during a run that is over, if it is nobody's.

    Another run's may be made just now, and mapped a moment later: what goes is mapped by no process at either of two
    looks.
    """
    if left := orphans(made):
        time.sleep(_MOMENT_S)
        for segment in orphans(left):
            segment.unlink(missing_ok=True)


def orphans(among: set[Path]) -> set[Path]:
    """Shared memory that no process maps."""
    mapped = _mapped()
    return {segment for segment in among if str(segment) not in mapped}


class _Interrupts:
    """What signals do to the process, which is in a session of its own.

    Attributes:
        ended_by: The signal that ended it, 0 if none did.
    """

    def __init__(self, ask: Callable[[int], bool] | None, ending: signal.Signals) -> None:
        self.ended_by = 0
        self._ask = ask
        self._ending = ending
        self._received = False
        self._process: subprocess.Popen[bytes] | None = None
        self._terminals = [number for number in range(3) if os.isatty(number)]

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        first, self._received = not self._received, True
        if number == signal.SIGHUP:
            self._leave_terminals()
        if not first:
            self._end(number, signal.SIGKILL)
        elif number == signal.SIGINT:
            self._end(number, number)
        elif not (self._process and self._ask and self._ask(number)):
            self._end(number, self._ending)

    def pass_to(self, process: subprocess.Popen[bytes]) -> None:
        """Name the process; what was received before there was one ends it."""
        self._process = process
        if self.ended_by:
            process.send_signal(self._ending)

    def _end(self, number: int, sent: int) -> None:
        self.ended_by = self.ended_by or number
        if self._process:
            self._process.send_signal(sent)

    def _leave_terminals(self) -> None:
        """Nobody sees them any more, and writing to them fails."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in self._terminals:
            os.dup2(nowhere, number)
        os.close(nowhere)


@contextmanager
def _interrupts(ask: Callable[[int], bool] | None, ending: signal.Signals) -> Iterator[_Interrupts]:
    """Handle the signals: around the start of the process, which would inherit that one of them is ignored.

    A shell ignores SIGINT for what it runs in the background; `nohup` ignores SIGHUP, which stays so.
    """
    interrupts = _Interrupts(ask, ending)
    handled = [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupts.receive) for number in handled}
    try:
        yield interrupts
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _blocked(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Block signals for what is started meanwhile; those that come for this process meanwhile come later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _marked(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _environment(process).get(MARK) == mark]


def _environment(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error):
        return dict(process.environ())
    return {}


def _wait(processes: Iterable[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Wait for processes to end; those that have not within so many seconds."""
    deadline = time.monotonic() + timeout
    while (alive := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return alive


def _lives(process: psutil.Process) -> bool:
    """One that only waits for its parent to take note of its end does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.is_running())
    return False


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def segments() -> set[Path]:
    """Shared memory of this user that Ray, vLLM or verl made, of whichever run."""
    if not _SHARED_MEMORY.is_dir():
        return set()
    return {path for path in _SHARED_MEMORY.iterdir() if path.name.startswith(SEGMENTS) and _is_mine(path)}


def _is_mine(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.getuid()
    except FileNotFoundError:
        # Another run has just ended.
        return False


def _mapped() -> set[str]:
    mapped: set[str] = set()
    for process in psutil.process_iter():
        try:
            mapped.update(region.path for region in process.memory_maps())
        except psutil.Error:
            continue
    return mapped
