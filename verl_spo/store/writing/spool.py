"""A local file for what a database that is away should have got: appended durably, read up to a torn end."""

import hashlib
import json
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL

from verl_spo.store.database.urls import is_sqlite, sqlite_path
from verl_spo.store.records import Record
from verl_spo.store.writing import codec

_FRAME = struct.Struct("<QI16s")
"""Of a frame: the record's number, its length, and the digest of both with the record."""

FORMAT = 3
"""Of the file: rises with every change of the records."""

READABLE = (2, FORMAT)
"""Those that can be replayed: format 2 does not know how sessions ended, how long they took, nor their parts."""

Entry = tuple[int, Record]


def spool_path(url: URL, run: str) -> Path:
    """Where a run's spool lies: beside a SQLite file, or in VERL_SPO_SPOOL_DIR, or in the user's state folder."""
    name = hashlib.blake2b(run.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() + ".spool"
    if folder := os.environ.get("VERL_SPO_SPOOL_DIR"):
        return Path(folder) / name
    if is_sqlite(url):
        path = sqlite_path(url)
        return path.with_name(f"{path.name}-{name}")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "verl-spo" / name


class Spool:
    """One writer's file, for any of its threads. A frame that was not written whole is as if it had not been written.

    Attributes:
        last: Number of the last entry; 0 if there is none.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self.path = path
        self.last = 0
        self._owner = owner
        self._file: int | None = None
        self._end = 0
        self._lock = threading.Lock()

    def append(self, entry: Entry) -> None:
        """Write an entry that is not there yet; when this returns it is on disk. Numbers rise.

        Raises:
            OSError: It could not be written; the file is as before.
        """
        with self._lock:
            if entry[0] <= self.last:
                return
            if self._file is None:
                self._file = self._create()
            self._write(self._file, _frame(*entry))
            self.last = entry[0]

    def remove(self, through: int) -> None:
        """Forget everything, unless there is an entry beyond `through`."""
        with self._lock:
            if self._file is not None and self.last <= through:
                self.last = 0
                self._close()
                self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file for good, and leave it where it is."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _create(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._end = 0
        try:
            self._write(file, json.dumps({"format": FORMAT, "owner": self._owner}).encode() + b"\n")
            _sync_folder(self.path.parent)
        except OSError:
            os.close(file)
            self.path.unlink()
            raise
        return file

    def _write(self, file: int, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(file, data[written:], self._end + written)
            os.fsync(file)
        except OSError:
            os.ftruncate(file, self._end)
            raise
        self._end += len(data)


def owner_of(path: Path) -> str | None:
    """Whose spool a file is; None if nothing in it can be trusted."""
    with path.open("rb") as file:
        header = file.readline(4096)
    try:
        document = json.loads(header)
    except ValueError:
        return None
    return document.get("owner") if isinstance(document, dict) and document.get("format") in READABLE else None


def read(path: Path) -> Iterator[Entry]:
    """Entries in the order of their writing, up to the first that is not whole."""
    with path.open("rb") as file:
        file.readline(4096)
        while len(head := file.read(_FRAME.size)) == _FRAME.size:
            number, length, digest = _FRAME.unpack(head)
            data = file.read(length)
            if _digest(number, length, data) != digest:
                return
            yield number, codec.decode(data)


def _sync_folder(folder: Path) -> None:
    """Make the names of its files durable: what a file holds is, once that is synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _frame(number: int, record: Record) -> bytes:
    data = codec.encode(record)
    return _FRAME.pack(number, len(data), _digest(number, len(data), data)) + data


def _digest(number: int, length: int, data: bytes) -> bytes:
    return hashlib.blake2b(struct.pack("<QI", number, length) + data, digest_size=16).digest()
