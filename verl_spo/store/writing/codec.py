"""Records as bytes and back, for the spool: JSON and raw arrays, so that reading a file never runs what is in it."""

import json
import struct
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verl_spo.store.records import (
    EvaluationInfo,
    EvaluationRecord,
    InitScores,
    MetricsRecord,
    Observations,
    PromptRecord,
    Record,
    Samples,
    StepRecord,
    TrackerRows,
)
from verl_spo.store.text import Part

_TYPES = {
    kind.__name__: kind
    for kind in (
        *(StepRecord, Observations, TrackerRows, MetricsRecord, InitScores),
        *(EvaluationRecord, EvaluationInfo, PromptRecord, Samples, Part),
    )
}
_DTYPES = ("<i8", "<f8")
_LENGTH = struct.Struct("<I")


def encode(record: Record) -> bytes:
    """A record as bytes."""
    arrays: list[NDArray[Any]] = []
    document = json.dumps(_flatten(record, arrays)).encode()
    return b"".join([_LENGTH.pack(len(document)), document, *(array.tobytes() for array in arrays)])


def decode(data: bytes) -> Record:
    """The record that `encode` was given."""
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    record: Record = _restore(json.loads(data[_LENGTH.size : start]), memoryview(data)[start:])
    return record


def _flatten(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        array = value.astype(_DTYPES[value.dtype.kind == "f"])
        offset = sum(earlier.nbytes for earlier in arrays)
        arrays.append(array)
        return {"array": [array.dtype.str, offset, array.size]}
    if is_dataclass(value):
        return {
            "record": type(value).__name__,
            "fields": {f.name: _flatten(getattr(value, f.name), arrays) for f in fields(value)},
        }
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if _holds_records(value):
        return {"list": [_flatten(item, arrays) for item in value]}
    return {"json": dict(value) if isinstance(value, Mapping) else value}


def _holds_records(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(is_dataclass(item) or _holds_records(item) for item in value)


def _restore(value: dict[str, Any], data: memoryview) -> Any:
    if "array" in value:
        dtype, offset, size = value["array"]
        return np.frombuffer(data, dtype=_DTYPES[_DTYPES.index(dtype)], count=size, offset=offset)
    if "record" in value:
        return _TYPES[value["record"]](**{name: _restore(item, data) for name, item in value["fields"].items()})
    if "bytes" in value:
        return bytes.fromhex(value["bytes"])
    if "list" in value:
        return [_restore(item, data) for item in value["list"]]
    return value["json"]
