"""The manifest of an export: who the run was, and what its files must be for the export to be whole."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from verl_spo.errors import StoreError
from verl_spo.store.schema import Attempt, Run, table_of
from verl_spo.store.transfer import formats
from verl_spo.store.transfer.layout import PARTS

NAME = "run.json"
VERSION = 5

READABLE = (4, VERSION)
"""Versions of exports that can be imported; the older one has less of each rollout (`Part.since_5` in layout.py)."""

_RUN = (
    "name", "uid", "status", "attempt", "created_at", "heartbeat_at", "ended_at", "last_step", "clock", "pool_size",
    "tags", "pool_digest", "parent_uid", "parent_name", "parent_step", "error",
)  # fmt: skip
_ATTEMPT = tuple(column.name for column in table_of(Attempt).columns if column.name != "run_id")


def describe(connection: Connection, run_id: int) -> dict[str, Any]:
    """What the manifest says of a run."""
    run = dict(
        connection.execute(select(*(table_of(Run).c[name] for name in _RUN)).where(Run.id == run_id)).one()._mapping
    )
    columns = [table_of(Attempt).c[name] for name in _ATTEMPT]
    attempts = connection.execute(select(*columns).where(Attempt.run_id == run_id).order_by(Attempt.attempt))
    return {
        "run": {**run, "pool_digest": bytes(run["pool_digest"]).hex()},
        "attempts": [dict(row) for row in attempts.mappings()],
    }


def write(folder: Path, file_format: str, described: Mapping[str, Any], rows: Mapping[str, int]) -> None:
    """Make the manifest of files that are written: last, so that a folder with one was written to its end.

    Args:
        folder: Of the export.
        file_format: One of `formats.FORMATS`.
        described: As `describe` gives it.
        rows: Of each part.
    """
    files = {name: {"rows": count, "digest": _digest(folder / f"{name}.{file_format}")} for name, count in rows.items()}
    document = {"version": VERSION, "format": file_format, **described, "files": files}
    (folder / NAME).write_text(json.dumps(document, indent=1))


def read(folder: Path) -> dict[str, Any]:
    """The manifest of an export whose files are what it says; reads all of them.

    Raises:
        StoreError: There is none, it is of another version, or something is missing, cut short or changed.
    """
    path = folder / NAME
    if not path.is_file():
        raise StoreError(f"folder {folder}: no export (no {NAME} in it); `verl-spo export` makes one")
    document = _parse(path)
    if document.get("version") not in READABLE:
        readable = " and ".join(map(str, READABLE))
        raise StoreError(f"folder {folder}: its version is {document.get('version')}, this verl-spo reads {readable}")
    if not _is_complete(document):
        raise StoreError(f"{path}: is incomplete; export the run again")
    for name, file in document["files"].items():
        _check(folder / f"{name}.{document['format']}", file["digest"])
    return document


def _parse(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise StoreError(f"{path}: not JSON ({error}); export the run again") from None
    return document if isinstance(document, dict) else {}


def _is_complete(document: dict[str, Any]) -> bool:
    files, attempts = document.get("files", {}), document.get("attempts")
    return (
        document.get("format") in formats.FORMATS
        and _has(document.get("run"), _RUN)
        and isinstance(attempts, list)
        and all(_has(attempt, _ATTEMPT) for attempt in attempts)
        and _has(files, [part.name for part in PARTS])
        and all(_has(file, ("rows", "digest")) for file in files.values())
    )


def _has(value: Any, names: Collection[str]) -> bool:
    return isinstance(value, dict) and value.keys() == {*names}


def _check(path: Path, digest: str) -> None:
    if not path.is_file():
        raise StoreError(f"{path}: missing; copy the whole folder, or export the run again")
    if _digest(path) != digest:
        raise StoreError(
            f"{path}: not as it was exported (cut short or changed); copy it anew, or export the run again"
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
