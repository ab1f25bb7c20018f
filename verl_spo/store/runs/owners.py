"""Who writes a run: one process at a time, found dead at once on its own machine and after `LEASE_S` on another."""

import os
import platform
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

HEARTBEAT_S = 5.0
LEASE_S = 30.0

_of_this_process: set[str] = set()


def new_owner() -> str:
    """A name for a writer in this process: host:process namespace:process:its start:random."""
    owner = ":".join([_host(), _namespace(), str(os.getpid()), _start_of(os.getpid()), secrets.token_hex(8)])
    _of_this_process.add(owner)
    return owner


@contextmanager
def owning() -> Iterator[str]:
    """A new owner, for as long as the block."""
    owner = new_owner()
    try:
        yield owner
    finally:
        release(owner)


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
    # A clock that was set moves the start of every process; who still gives signs of life is alive all the same.
    return psutil.pid_exists(int(process)) and (_start_of(int(process)) == start or is_fresh(heartbeat_at, now))


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
    """When a process began, in seconds since the epoch, or "" if it is no more: process numbers are used again."""
    try:
        return f"{psutil.Process(process).create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""
