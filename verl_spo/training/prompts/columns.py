"""Digests of an Arrow table's rows, by the column: a table of a million rows is too many for Python."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_DIGEST_BYTES = 16
_BYTES = pa.large_binary()
_NOTHING = pa.scalar(b"", _BYTES)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def row_digests(columns: Mapping[str, Any], rows: int) -> list[bytes]:
    """Digests of rows, 128 bits each, which rows share whose values are equal in all columns.

    Args:
        columns: Arrow arrays by name, (rows,) each; their types must not change within a table.
        rows: How many there are.
    """
    parts = [part for name in sorted(columns) for part in _parts(columns[name])]
    contents = pc.dictionary_encode(_joined(parts, rows))
    digests = [blake2b(content, digest_size=_DIGEST_BYTES).digest() for content in contents.dictionary.to_pylist()]
    return [digests[place] for place in contents.indices.to_pylist()]


def _parts(values: Any) -> list[Any]:
    """Columns of bytes that, put together, say a value and where it ends: its size, then its content."""
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        return _parts(values.storage)
    if pa.types.is_dictionary(kind):
        return _parts(values.dictionary_decode())
    if pa.types.is_struct(kind):
        return [part for child in values.flatten() for part in _parts(child)]
    if any(holds(kind) for holds in _LISTS):
        sizes, entries = pc.list_value_length(values), pc.list_flatten(values)
        return [_head(sizes), _joined_lists(sizes, _joined(_parts(entries), len(entries)))]
    content = _text(values) if any(holds(kind) for holds in _TEXTS) else _digests(values)
    return [_head(pc.binary_length(content)), pc.fill_null(content, _NOTHING)]


def _head(sizes: Any) -> Any:
    """Each size in eight bytes; -1 for a value that is missing."""
    numbers = pc.fill_null(sizes, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    buffers = [None, pa.py_buffer(numbers.tobytes())]
    return pa.Array.from_buffers(pa.binary(numbers.itemsize), len(numbers), buffers).cast(_BYTES)


def _joined(parts: list[Any], rows: int) -> Any:
    return pc.binary_join_element_wise(*(parts or [pa.repeat(_NOTHING, rows)]), _NOTHING)


def _joined_lists(sizes: Any, entries: Any) -> Any:
    ends = np.cumsum(pc.fill_null(sizes, 0).to_numpy(zero_copy_only=False))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return pc.binary_join(pa.LargeListArray.from_arrays(offsets, entries), _NOTHING)


def _text(values: Any) -> Any:
    return values.cast(pa.large_string()).cast(_BYTES)


def _digests(values: Any) -> Any:
    """Of bytes, which may be whole films, and of what has no text in Arrow."""
    contents = (None if value is None else _content(value) for value in values.to_pylist())
    return pa.array([None if each is None else blake2b(each).digest() for each in contents], _BYTES)


def _content(value: Any) -> bytes:
    return value if isinstance(value, bytes) else repr(value).encode()
