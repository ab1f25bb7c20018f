"""Run a command that starts many processes, and leave none of them behind, nor their shared memory.

Ray and vLLM start processes of their own that outlive a killed parent. All inherit the environment, so a variable with
a value of its own marks what belongs to a command.
"""

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

MARK = "VERL_SPO_LAUNCH"
GRACE_S = 20.0
KILL_TIMEOUT_S = 60.0
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
SEGMENTS = ("psm_", "verl_weights_", "sem.mp-")


def run(command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None = None) -> int:
    """Run a command to its end; an interrupt ends it and all that it started.

    Args:
        command: Program and arguments.
        environment: Variables beside this process's own.
        output: File for stdout and stderr; this process's own where None.

    Returns:
        Its exit status; 128 + the signal's number if a signal ended it or this process.
    """
    mark = uuid.uuid4().hex
    before = segments()
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment, MARK: mark},
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
    )
    with _interrupts_passed_to(process) as received:
        status = process.wait()
    end_marked(mark)
    remove_left(segments() - before)
    if received:
        return 128 + received[0]
    return status if status >= 0 else 128 - status


def end_marked(mark: str) -> None:
    """End every process that carries the mark: politely, then for certain."""
    remaining = _marked(mark)
    for process in remaining:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(remaining, timeout=GRACE_S)
    stubborn = {*alive, *_marked(mark)}
    for process in stubborn:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=KILL_TIMEOUT_S)


def remove_left(made: set[Path]) -> None:
    """Remove shared memory that was made during a run that is over.

    Where a process maps memory of this kind, another run is alive: all of it stays, since some may be that run's, made
    a moment ago and not mapped yet.
    """
    if {str(segment) for segment in made | segments()} & _mapped():
        return
    for segment in made:
        segment.unlink(missing_ok=True)


@contextmanager
def _interrupts_passed_to(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """SIGINT and SIGTERM go to the process, which is in a session of its own; a second one kills it."""
    received: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(signal.SIGKILL if received else number)
        received.append(number)

    previous = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _marked(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _environment(process).get(MARK) == mark]


def _environment(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error):
        return dict(process.environ())
    return {}


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def segments() -> set[Path]:
    """Shared memory of this user that Ray, vLLM or verl made, of whichever run."""
    if not _SHARED_MEMORY.is_dir():
        return set()
    owned = (path for path in _SHARED_MEMORY.iterdir() if path.name.startswith(SEGMENTS))
    return {path for path in owned if path.stat().st_uid == os.getuid()}


def _mapped() -> set[str]:
    mapped: set[str] = set()
    for process in psutil.process_iter():
        try:
            mapped.update(region.path for region in process.memory_maps())
        except psutil.Error:
            continue
    return mapped
