"""A run into files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from verl_spo.errors import StoreError
from verl_spo.store import queries
from verl_spo.store.database.reader import Reader
from verl_spo.store.text import unpack_rollout
from verl_spo.store.transfer import formats, manifest
from verl_spo.store.transfer.layout import PACKED, PARTS, Part


def export_run(reader: Reader, name: str, folder: Path, file_format: str) -> dict[str, int]:
    """Write a run as one moment saw it into a new folder, a file a kind of row.

    Returns:
        Rows by file.

    Raises:
        StoreError: There is no such run or format, or the folder is not empty or cannot be written.
    """
    if file_format not in formats.FORMATS:
        raise StoreError(f"format {file_format!r}: must be one of {', '.join(formats.FORMATS)}")
    run = queries.run(reader, name).run
    with _filling(folder):
        with reader.connect(snapshot=True) as connection:
            counts = {part.name: _write(connection, run.id, part, folder, file_format) for part in PARTS}
            described = manifest.describe(connection, run.id)
        manifest.write(folder, file_format, described, counts)
    return counts


@contextmanager
def _filling(folder: Path) -> Iterator[None]:
    """Make a folder, and say of what the file system refuses which folder it was."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StoreError(f"folder {folder}: is not empty; name another one (--out)")
        yield
    except OSError as error:
        raise StoreError(f"folder {folder}: cannot be written ({error.strerror}); name another one (--out)") from error


def _write(connection: Connection, run_id: int, part: Part, folder: Path, file_format: str) -> int:
    count = 0
    rows = connection.execute(part.query(run_id), execution_options={"yield_per": formats.CHUNK})
    with formats.writing(folder / f"{part.name}.{file_format}", part.columns) as write:
        for chunk in rows.partitions():
            write([_row(part, row) for row in chunk])
            count += len(chunk)
    return count


def _row(part: Part, row: Sequence[Any]) -> Sequence[Any]:
    if part not in PACKED:
        return row
    prompt, response, parts = unpack_rollout(row[-1])
    texts = {"prompt": prompt, "response": response, "parts": [astuple(each) for each in parts] or None}
    return (*row[:-1], *(texts[name] for name in part.columns if name in texts))
