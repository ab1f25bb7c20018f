"""Postgres's binary COPY format, packed a column at a time: a row costs nanoseconds here.

Format: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Double, Integer, LargeBinary, String
from sqlalchemy.types import TypeEngine

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_NULL = -1

Bytes = NDArray[np.uint8]


def pack(types: Sequence[TypeEngine[Any]], columns: Sequence[NDArray[Any] | Sequence[Any]]) -> bytes:
    """Rows in the binary format; NaN is NULL, also in a column of integers, and so is None for a text.

    A field is laid out as wide as its column's widest, and what a row does not use is cut out at the end: not for
    columns in which a few fields are far longer than the others.
    """
    count = len(columns[0])
    always = np.ones((count, 4), dtype=bool)
    data = [_bytes(np.full(count, len(columns), dtype=">i2"))]
    used = [always[:, :2]]
    for kind, column in zip(types, columns, strict=True):
        sizes, field = _field(kind, column)
        data += [_bytes(sizes.astype(">i4")), field]
        used += [always, np.arange(field.shape[1]) < sizes[:, None]]
    rows = np.concatenate(data, axis=1)[np.concatenate(used, axis=1)]
    return b"".join([_HEADER, rows.tobytes(), _TRAILER])


def _field(kind: TypeEngine[Any], column: NDArray[Any] | Sequence[Any]) -> tuple[NDArray[np.int64], Bytes]:
    if number := _number(kind):
        given = np.asarray(column)
        empty = np.isnan(given)
        field = _bytes(np.where(empty, 0, given).astype(number))
        return np.where(empty, _NULL, field.shape[1]), field
    if not isinstance(kind, String | LargeBinary):
        raise TypeError(f"{kind!r}: cannot be packed")
    items = [item.encode() if isinstance(item, str) else bytes(item or b"") for item in column]
    sizes = np.fromiter(map(len, items), dtype=np.int64, count=len(items))
    sizes[[item is None for item in column]] = _NULL
    return sizes, _bytes(np.array(items, dtype=f"S{max(1, int(sizes.max(initial=0)))}"))


def _number(kind: TypeEngine[Any]) -> str | None:
    if isinstance(kind, Double):
        return ">f8"
    if isinstance(kind, BigInteger):
        return ">i8"
    return ">i4" if isinstance(kind, Integer) else None


def _bytes(values: NDArray[Any]) -> Bytes:
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), values.dtype.itemsize)
