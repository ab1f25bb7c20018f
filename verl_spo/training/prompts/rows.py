"""The training set's rows: digests that say which are one prompt, and the prompts themselves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from datasets import Dataset

from verl_spo.training.prompts.columns import row_digests
from verl_spo.training.prompts.identity import NESTED, Fields, Prompt, digest, ignored, leaves, prompt_of

_CHUNK = 1000


class Rows(Protocol):
    """Rows by number, as verl reads them.

    Attributes:
        leaves: What rows have, by the names of `identity.leaves`; complete once `digests` is through.
    """

    leaves: set[str]

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Mapping[str, Any]: ...

    def digests(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """For each row, some at a time: digests of its prompt, and of what it says beyond that."""

    def prompts(self, numbers: np.ndarray) -> Iterator[Prompt]:
        """The prompts of some rows, (n,) int64, ascending."""


def rows_of(source: Any, fields: Fields) -> Rows:
    """Rows of a Hugging Face data set, by the column where that is possible, or of any other sequence.

    Args:
        source: The data set.
        fields: Where the parts of a prompt stand.
    """
    by_column = isinstance(source, Dataset) and all(_is_flat(source, name) for name in NESTED)
    return TableRows(source, fields) if by_column else ItemRows(source, fields)


def _is_flat(source: Dataset, name: str) -> bool:
    """Whether a column's entries are columns themselves; in JSON's they may be text."""
    if name not in source.column_names:
        return True
    kind = source.features.arrow_schema.field(name).type
    return bool(pa.types.is_struct(kind) or pa.types.is_null(kind))


class ItemRows:
    """Rows that can only be asked for one by one."""

    def __init__(self, source: Sequence[Mapping[str, Any]], fields: Fields) -> None:
        self._source = source
        self._fields = fields
        self.leaves: set[str] = set()

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, number: int) -> Mapping[str, Any]:
        return self._source[number]

    def digests(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """For each row, some at a time: digests of its prompt, and of what it says beyond that."""
        for number in range(len(self)):
            row = self[number]
            self.leaves.update(leaves(row))
            yield [(prompt_of(row, self._fields, number).digest, digest(ignored(row, self._fields)))]

    def prompts(self, numbers: np.ndarray) -> Iterator[Prompt]:
        """The prompts of some rows, (n,) int64, ascending."""
        return (prompt_of(self[number], self._fields, number) for number in numbers.tolist())


class TableRows:
    """Rows of an Arrow table; media stay bytes, and only a prompt's first row is read."""

    def __init__(self, source: Dataset, fields: Fields) -> None:
        self._table = source.with_format("arrow")
        self._features = source.features
        self._fields = fields
        schema = source.features.arrow_schema
        self.leaves = set(_leaf_names(schema))
        self._written_as_json = [name for name in schema.names if _holds_json(schema.field(name).type)]

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, number: int) -> Mapping[str, Any]:
        return self._read(self._table[number : number + 1])[0]

    def digests(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """For each row, some at a time: digests of its prompt, and of what it says beyond that."""
        known: dict[bytes, bytes] = {}
        for start, table in self._chunks():
            keys, beyond = self._keys(table)
            new = {key: place for place, key in enumerate(keys) if key not in known}
            chosen = np.fromiter(new.values(), np.int64, len(new))
            for (key, place), row in zip(new.items(), self._read(table.take(chosen)), strict=True):
                known[key] = prompt_of(row, self._fields, start + place).digest
            yield list(zip((known[key] for key in keys), beyond, strict=True))

    def prompts(self, numbers: np.ndarray) -> Iterator[Prompt]:
        """The prompts of some rows, (n,) int64, ascending."""
        for start, table in self._chunks():
            low, high = np.searchsorted(numbers, (start, start + len(table)))
            chosen = numbers[low:high]
            for number, row in zip(chosen.tolist(), self._read(table.take(chosen - start)), strict=True):
                yield prompt_of(row, self._fields, number)

    def _chunks(self) -> Iterator[tuple[int, Any]]:
        return ((start, self._table[start : start + _CHUNK]) for start in range(0, len(self), _CHUNK))

    def _keys(self, table: Any) -> tuple[list[bytes], list[bytes]]:
        """Two digests for each row, as its Arrow values are: equal prompts may differ in the first."""
        keys: list[bytes] = []
        beyond: list[bytes] = []
        for batch in table.to_batches():
            columns = _leaves(batch)
            prompt = {name: column for name, column in columns.items() if name in self._fields.counted}
            others = {name: column for name, column in columns.items() if self._fields.ignores(name)}
            keys += row_digests(prompt, len(batch))
            beyond += row_digests(others, len(batch))
        return keys, beyond

    def _read(self, table: Any) -> list[dict[str, Any]]:
        columns = table.to_pydict()
        for name in self._written_as_json:
            columns[name] = self._features.decode_column(columns[name], name)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _leaf_names(schema: pa.Schema) -> list[str]:
    """What `identity.leaves` has of a row of this schema."""
    entries = (_entries(field) or [None] for field in schema)
    return [
        field.name if entry is None else f"{field.name}.{entry.name}"
        for field, some in zip(schema, entries, strict=True)
        for entry in some
    ]


def _leaves(batch: Any) -> dict[str, Any]:
    """A batch's columns, and in place of the nested ones their entries."""
    columns = zip(batch.schema, batch.columns, strict=True)
    values = [value for field, column in columns for value in (column.flatten() if _entries(field) else [column])]
    return dict(zip(_leaf_names(batch.schema), values, strict=True))


def _entries(field: pa.Field) -> list[pa.Field]:
    return list(field.type.fields) if field.name in NESTED and pa.types.is_struct(field.type) else []


def _holds_json(kind: Any) -> bool:
    return isinstance(kind, pa.JsonType) or any(_holds_json(kind.field(i).type) for i in range(kind.num_fields))
