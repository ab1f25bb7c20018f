"""verl's output of one start: appended to a file that outlives everybody, and shown while it grows where asked."""

import shutil
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

NAME = "train.log"

_POLL_S = 0.2
_MOST_READ = 4 * 2**20


class Log:
    """A file that a command writes; used as a context manager around the command."""

    def __init__(self, path: Path, shown: bool) -> None:
        """
        Args:
            path: Its folder is made.
            shown: Whether stdout gets the output too.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = path.open("ab")
        self._start = self.file.tell()
        self._ended = Event()
        self._thread = Thread(target=self._show, name="log", daemon=True) if shown else None

    def text(self) -> str:
        """What was written since, or the end of it."""
        with self.path.open("rb") as file:
            file.seek(max(self._start, self.path.stat().st_size - _MOST_READ))
            return file.read().decode(errors="replace")

    def _show(self) -> None:
        # A terminal that is closed, or a program that has read enough: nobody looks any more.
        with self.path.open("rb") as file, suppress(OSError):
            file.seek(self._start)
            over = False
            while not over:
                over = self._ended.wait(_POLL_S)
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.flush()

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()
        self.file.close()
