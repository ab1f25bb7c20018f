"""Array types of `core`, and the conversions at its doors."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]


def as_floats(values: ArrayLike) -> FloatArray:
    """`values` as float64; an empty list is an empty array."""
    return np.asarray(values, dtype=np.float64)


def as_ints(values: ArrayLike) -> IntArray:
    """`values` as int64; an empty list is an empty array that can index."""
    return np.asarray(values, dtype=np.int64)


def smallest(values: FloatArray, count: int) -> IntArray:
    """Where the `count` smallest values are, or all of them if there are fewer, in their order."""
    count = min(count, values.size)
    first = np.argpartition(values, count - 1)[:count] if 0 < count < values.size else np.arange(count)
    return first[np.argsort(values[first])]
