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
from typing import TYPE_CHECKING, cast

from verl_spo.rewards.verdicts import Answer, Verdict

if TYPE_CHECKING:
    from pebble import ProcessPool

PROCESSES = 2
"""Of each reward worker (`reward.num_workers`) and scorer: while one hangs, the other goes on."""
TIME_LIMIT_S = 10.0
"""Seconds of work on one answer, unless a recipe says otherwise. Ordinary answers take milliseconds."""
MEMORY = 2 * 1024**3
"""Bytes that a judgement may take: an answer like 9^{9^9} would take all there is."""
_ORPHANED_S = 5.0
"""How much longer than its limit a judgement may go on where nobody is left to kill it."""

_POOLS: dict[str, "ProcessPool"] = {}
_LOCK = Lock()


def run(module: str, answer: Answer) -> Verdict:
    """The verdict of a module's function `judge`, in this process."""
    return cast(Verdict, importlib.import_module(module).judge(answer))


def start(module: str, answer: Answer, time_limit_s: float) -> "Future[Verdict]":
    """Begin the same in a process of its own. The limit is of seconds of work."""
    return cast(
        "Future[Verdict]",
        _pool(module).schedule(_run_limited, args=(module, answer, time_limit_s), timeout=time_limit_s),
    )


def _run_limited(module: str, answer: Answer, time_limit_s: float) -> Verdict:
    """The kernel ends this process, whatever it computes, if the reward worker was killed and cannot."""
    signal.setitimer(signal.ITIMER_REAL, time_limit_s + _ORPHANED_S)
    try:
        return run(module, answer)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _pool(module: str) -> "ProcessPool":
    from pebble import ProcessPool

    with _LOCK:
        if module not in _POOLS:
            # Not forked: a reward worker has threads, and what they hold.
            context = multiprocessing.get_context("spawn")
            _POOLS[module] = ProcessPool(PROCESSES, initializer=_prepare, initargs=(module,), context=context)
        return _POOLS[module]


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
