"""Three file formats with one meaning: rows of typed columns, every value of which reads back equal to what it was."""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

Kind = Literal["int", "optional int", "float", "text", "optional text", "digest", "json"]
Columns = Mapping[str, Kind]
Write = Callable[[Sequence[Sequence[Any]]], object]

FORMATS = ("parquet", "csv", "jsonl")
"""Names of the formats, which are also the suffixes of the files."""

CHUNK = 10_000
"""Rows that are in memory at a time."""

_ARROW = {
    "int": pa.int64(),
    "optional int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "optional text": pa.string(),
    "digest": pa.binary(),
    "json": pa.string(),
}


def writing(path: Path, columns: Columns) -> AbstractContextManager[Write]:
    """Make a file of the format that its suffix names; gives a function that appends rows of values.

    Only `float`, `json` and optional columns may hold None.
    """
    return {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_jsonl}[path.suffix](path, columns)


def reading(path: Path, columns: Columns) -> Iterator[list[dict[str, Any]]]:
    """A file's rows, some thousand at a time."""
    return {".parquet": _read_parquet, ".csv": _read_csv, ".jsonl": _read_jsonl}[path.suffix](path, columns)


@contextmanager
def _write_parquet(path: Path, columns: Columns) -> Iterator[Write]:
    schema = pa.schema([(name, _ARROW[kind]) for name, kind in columns.items()])

    def write(rows: Sequence[Sequence[Any]]) -> None:
        values = zip(*rows, strict=True) if rows else [()] * len(columns)
        typed = zip(values, columns.values(), schema, strict=True)
        arrays = [pa.array(_each(json.dumps, column, kind, "json"), type=field.type) for column, kind, field in typed]
        file.write_table(pa.Table.from_arrays(arrays, schema=schema))

    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        yield write


def _read_parquet(path: Path, columns: Columns) -> Iterator[list[dict[str, Any]]]:
    for batch in pq.ParquetFile(path).iter_batches(batch_size=CHUNK, columns=list(columns)):
        values = [_each(json.loads, batch[name].to_pylist(), kind, "json") for name, kind in columns.items()]
        yield [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


@contextmanager
def _write_csv(path: Path, columns: Columns) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        # Python 3.11 would leave a carriage return without quotes, and read it as the end of a row.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        kinds = list(columns.values())
        yield lambda rows: writer.writerows([map(_to_field, row, kinds) for row in rows])


def _read_csv(path: Path, columns: Columns) -> Iterator[list[dict[str, Any]]]:
    # The module's own limit, 128 KiB a field, is less than a long answer.
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8", newline="") as file:
        rows = ({name: _from_field(row[name], kind) for name, kind in columns.items()} for row in csv.DictReader(file))
        yield from _chunks(rows)


@contextmanager
def _write_jsonl(path: Path, columns: Columns) -> Iterator[Write]:
    def write(rows: Sequence[Sequence[Any]]) -> None:
        for row in rows:
            values = map(_to_json, row, columns.values())
            file.write(json.dumps(dict(zip(columns, values, strict=True)), allow_nan=False) + "\n")

    with path.open("w", encoding="utf-8") as file:
        yield write


def _read_jsonl(path: Path, columns: Columns) -> Iterator[list[dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        found = map(json.loads, file)
        yield from _chunks({name: _from_json(row[name], kind) for name, kind in columns.items()} for row in found)


def _each(convert: Callable[[Any], Any], values: Sequence[Any], kind: Kind, wanted: Kind) -> list[Any]:
    return [convert(value) for value in values] if kind == wanted else list(values)


def _to_field(value: Any, kind: Kind) -> str:
    """A CSV field; an optional text is written as JSON, for no text and an empty one to differ."""
    if kind in ("json", "optional text"):
        return json.dumps(value)
    if value is None:
        return ""
    if kind == "digest":
        return str(value.hex())
    return repr(value) if kind == "float" else str(value)


def _from_field(field: str, kind: Kind) -> Any:
    if kind in ("json", "optional text"):
        return json.loads(field)
    if kind == "float":
        return float(field) if field else None
    if kind == "optional int":
        return int(field) if field else None
    if kind == "digest":
        return bytes.fromhex(field)
    return int(field) if kind == "int" else field


def _to_json(value: Any, kind: Kind) -> Any:
    if kind == "digest":
        return value.hex()
    # JSON has no infinity.
    return str(value) if kind == "float" and value is not None and not math.isfinite(value) else value


def _from_json(value: Any, kind: Kind) -> Any:
    if kind == "digest":
        return bytes.fromhex(value)
    return float(value) if kind == "float" and value is not None else value


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    yield chunk
