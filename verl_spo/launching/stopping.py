"""Asking a run to stop where it can go on from: end its step, save a checkpoint, exit.

The request is a file beside the run's checkpoints: the trainer, on whichever node, must share that folder with whoever
resumes the run. It looks for the file between two steps (`training/launcher.py`), and needs no database and no Ray for
that.
"""

import logging
import signal
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger(__name__)


class StopRequest:
    """Made once by a signal.

    Attributes:
        file: What the trainer looks for.
        signal: The number of the signal that made it, 0 before.
    """

    def __init__(self, file: Path, in_training: Callable[[], bool]) -> None:
        """
        Args:
            file: In a folder that the trainer sees too; of this launch alone.
            in_training: Whether the run has something to save.
        """
        self.file = file
        self.signal = 0
        self._in_training = in_training

    def make(self, number: int) -> bool:
        """Ask because of a signal; False where there is nothing to save."""
        if not self._in_training():
            return False
        self.file.touch()
        self.signal = number
        _log.warning(
            "%s: the run ends its step, saves a checkpoint and stops; a second signal ends it at once",
            signal.Signals(number).name,
        )
        return True

    def withdraw(self) -> None:
        """Leave nothing behind."""
        self.file.unlink(missing_ok=True)
