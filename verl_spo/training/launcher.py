"""What `verl-spo train` tells its trainer, on whichever node: by variables, and by a file that appears."""

import os
from pathlib import Path

MARK = "VERL_SPO_LAUNCH"
"""The launch that a process belongs to, as `runs.starter` has it."""

EVALUATES = "spo_evaluate"
"""The trainer mode that trains nothing and answers benchmarks (evaluation.py)."""

STOP_FILE = "VERL_SPO_STOP_FILE"
"""A file that is there once the trainer shall stop."""


class StopRequested(Exception):
    """Whoever started the run wants it to stop where it can go on from."""


def starter() -> str | None:
    """The launch of this run; None if verl was started some other way."""
    return os.environ.get(MARK)


def wants_stop() -> bool:
    """Whether the launcher has asked to stop."""
    file = os.environ.get(STOP_FILE)
    return file is not None and Path(file).exists()
