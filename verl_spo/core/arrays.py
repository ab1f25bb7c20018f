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
