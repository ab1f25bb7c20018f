"""Judgements in processes of their own, with limits of time and memory.

Math-Verify's own time-outs are signals, which work in the main thread only; reward workers have others. A process that
exceeds its time is killed and replaced, and so is one that crashes.
"""

import importlib
import logging
import multiprocessing
import resource
import signal
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Any, Self, cast

from verl_spo.rewards.verdicts import Answer, Verdict

PROCESSES = 2
"""Of each reward worker (`reward.num_workers`) and scorer: while one hangs, the other goes on."""
TIME_LIMIT_S = 10.0
"""Seconds of work on one answer, unless a recipe says otherwise. Ordinary answers take milliseconds."""
MEMORY = 2 * 1024**3
"""Bytes that a judgement may take: an answer like 9^{9^9} would take all there is."""
_ORPHANED_S = 5.0
"""How much longer than its limit a judgement may go on where nobody is left to kill it."""


class Processes:
    """Processes that have imported one module and call its functions, one call at a time each, with limits.

    They start with the first call and end with the `with` block, or with the process that made them.
    """

    def __init__(self, module: str, number: int) -> None:
        from pebble import ProcessPool

        self._module = module
        # Not forked: a reward worker has threads, and what they hold.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(number, initializer=_prepare, initargs=(module,), context=context)

    def start(self, function: str, argument: Any, time_limit_s: float) -> "Future[Any]":
        """Begin a call, if a process is free, or else once one is. The limit is of seconds of work."""
        call = (self._module, function, argument, time_limit_s)
        return cast("Future[Any]", self._pool.schedule(_call_limited, args=call, timeout=time_limit_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.stop()
        self._pool.join()


_SHARED: dict[str, Processes] = {}
_LOCK = Lock()


def run(module: str, answer: Answer) -> Verdict:
    """The verdict of a module's function `judge`, in this process."""
    return cast(Verdict, _call(module, "judge", answer))


def shared(module: str) -> Processes:
    """A reward worker's processes for a module."""
    with _LOCK:
        if module not in _SHARED:
            _SHARED[module] = Processes(module, PROCESSES)
        return _SHARED[module]


def _call(module: str, function: str, argument: Any) -> Any:
    return getattr(importlib.import_module(module), function)(argument)


def _call_limited(module: str, function: str, argument: Any, time_limit_s: float) -> Any:
    """The kernel ends this process, whatever it computes, if whoever started it was killed and cannot."""
    signal.setitimer(signal.ITIMER_REAL, time_limit_s + _ORPHANED_S)
    try:
        return _call(module, function, argument)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _prepare(module: str) -> None:
    """Import the scorer before the clock runs, and limit what it may take beyond that."""
    # It says of every process that its own time-outs are off.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    importlib.import_module(module)
    limit = _address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _address_space() -> int:
    """Bytes that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
