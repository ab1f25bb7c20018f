"""Data files of a folder: parquet or JSON, column by column.

A file whose columns are not what a source once had is an error that shows both.
"""

import json
from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from verl_spo.datasets.sources import Place, Source
from verl_spo.errors import DataError

_FORMATS = (".parquet", ".jsonl", ".json")


def find_files(folder: Path) -> list[Path]:
    """The data files in a folder and those below: parquet if there is any, else JSON; hidden folders are left out.

    Raises:
        DataError: There is none.
    """
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix in _FORMATS and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    parquet = [file for file in files if file.suffix == ".parquet"]
    if not files:
        raise DataError(f"--from {folder}: has no {', '.join(_FORMATS)} file")
    return parquet or files


def describe(file: Path, folder: Path) -> dict[str, str | int]:
    """A file's name, size in bytes and SHA-256."""
    with file.open("rb") as opened:
        digest = file_digest(opened, "sha256").hexdigest()
    return {"name": str(file.relative_to(folder)), "bytes": file.stat().st_size, "sha256": digest}


def read(file: Path, source: Source) -> Iterator[tuple[str | None, str | None]]:
    """Questions and answers, as they stand in the file.

    Raises:
        DataError: The file cannot be read, or has other columns than it should.
    """
    for batch in _batches(file):
        _check_schema(file, batch.schema, source)
        question, answer = (_values(file, batch, place) for place in (source.question, source.answer))
        yield from zip(question.to_pylist(), answer.cast(pa.string()).to_pylist(), strict=True)


def _batches(file: Path) -> Iterator[Any]:
    """Millions of rows do not fit into memory as Python objects."""
    try:
        if file.suffix == ".parquet":
            with pq.ParquetFile(file) as opened:
                yield from opened.iter_batches()
        else:
            yield from _json_table(file).to_batches()
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{file}: cannot be read as {file.suffix[1:]} ({error})") from error


def _json_table(file: Path) -> Any:
    """An array of objects, or one object per line."""
    with file.open("rb") as opened:
        is_array = opened.read(64).lstrip().startswith(b"[")
    if not is_array:
        return pyarrow.json.read_json(file)
    rows = json.loads(file.read_text())
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("not an array of objects")
    return pa.Table.from_pylist(rows)


def _check_schema(file: Path, schema: Any, source: Source) -> None:
    expected = {source.question: ("text", _is_text), source.answer: ("text or whole number", _is_answer)}
    kinds = {place: _kind(schema, place) for place in expected}
    if all(kinds[place] is not None and fits(kinds[place]) for place, (_, fits) in expected.items()):
        return
    wanted = ", ".join(f"{_spelt(place)}: {words}" for place, (words, _) in expected.items())
    found = ", ".join(f"{field.name}: {field.type}" for field in schema)
    raise DataError(
        f"{file}: not the columns of {source.repository} as it was; expected {wanted}; found {found}. Take an earlier "
        "commit with --revision, or make files with the expected columns for --from FOLDER"
    )


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_answer(kind: Any) -> bool:
    return bool(_is_text(kind) or pa.types.is_integer(kind))


def _kind(schema: Any, place: Place) -> Any:
    """The type at a place; None if there is nothing."""
    kind: Any = pa.struct(list(schema))
    for step in place:
        if isinstance(step, int):
            kind = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else None
        else:
            position = kind.get_field_index(step) if pa.types.is_struct(kind) else -1
            kind = kind.field(position).type if position >= 0 else None
        if kind is None:
            return None
    return kind


def _values(file: Path, batch: Any, place: Place) -> Any:
    column, *deeper = place
    values = batch.column(column)
    for step in deeper:
        if isinstance(step, int):
            _check_single(file, column, values)
            values = pc.list_element(values, step)
        else:
            values = pc.struct_field(values, step)
    return values


def _check_single(file: Path, column: str | int, values: Any) -> None:
    """Of several messages only the first would be read."""
    lengths = pc.fill_null(pc.list_value_length(values), 0)
    if pc.any(pc.not_equal(lengths, 1)).as_py():
        raise DataError(f"{file}: column {column!r} holds lists of several values, or of none; it must hold one each")


def _spelt(place: Place) -> str:
    column, *deeper = place
    return str(column) + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in deeper)
