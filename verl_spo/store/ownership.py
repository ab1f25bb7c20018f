"""Who writes a run: one process at a time, found dead at once on its own machine and after `LEASE_S` on another."""

import os
import platform
import secrets
import time
from pathlib import Path

HEARTBEAT_S = 5.0
LEASE_S = 30.0


_of_this_process: set[str] = set()


def new_owner() -> str:
    """A name for a writer in this process: host:process namespace:process:its start:random."""
    owner = ":".join([_host(), _namespace(), str(os.getpid()), _start_of(os.getpid()), secrets.token_hex(8)])
    _of_this_process.add(owner)
    return owner


def release(owner: str) -> None:
    """Say that a writer in this process has ended."""
    _of_this_process.discard(owner)


def is_alive(owner: str, heartbeat_at: float, now: float | None = None) -> bool:
    """Whether a writer may still be at work.

    Args:
        owner: As `new_owner` made it.
        heartbeat_at: Its last sign of life, seconds since the epoch.
        now: Defaults to the present. Where clocks were set back, a sign of life may lie ahead of it.
    """
    host, namespace, process, start, *_ = [*owner.split(":"), "", "", "", ""]
    if (host, namespace) != (_host(), _namespace()) or not process.isdigit():
        return is_fresh(heartbeat_at, now)
    if int(process) == os.getpid():
        return owner in _of_this_process
    return _exists(int(process)) and _start_of(int(process)) == start


def is_fresh(heartbeat_at: float, now: float | None = None) -> bool:
    """Whether a sign of life is recent."""
    return abs((time.time() if now is None else now) - heartbeat_at) <= LEASE_S


def describe(owner: str) -> str:
    """A writer, for people."""
    host, _, process, *_ = [*owner.split(":"), "", ""]
    return f"process {process} on {host}"


def _host() -> str:
    return platform.node().replace(":", "_")


def _namespace() -> str:
    """Containers may share a host's name, but not its process numbers."""
    link = Path("/proc/self/ns/pid")
    return os.readlink(link).strip("pid:[]") if link.exists() else ""


def _start_of(process: int) -> str:
    """When a process began, in the kernel's ticks: process numbers are used again."""
    stat = Path(f"/proc/{process}/stat")
    # The second field, the name in parentheses, may hold blanks.
    return stat.read_text().rpartition(")")[2].split()[19] if stat.exists() else ""


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
