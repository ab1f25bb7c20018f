"""The distribution of v_hat over the whole pool, kept up to date in O(batch) a step."""

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.core.arrays import FloatArray, IntArray, as_floats, as_ints

_FIXED_POINT = 1 << 32


class ValueHistogram:
    """Counts of v_hat in equal bins over [0, 1], and its mean.

    Values are kept in fixed point (2 ** -32), so that a histogram maintained over any history equals, bit for bit, one
    made from the present values.
    """

    def __init__(self, values: ArrayLike, bins: int = 20) -> None:
        """Start from the whole pool's v_hat, (P,), in [0, 1]."""
        self._bins = bins
        self._levels = _levels(as_floats(values))
        self._counts = self._count(self._levels)
        self._sum = int(self._levels.sum())

    @property
    def counts(self) -> IntArray:
        """Prompts in each bin, (bins,); a bin contains its lower edge, the last one also 1."""
        return self._counts.copy()

    @property
    def mean(self) -> float:
        """Mean v_hat over the pool; NaN if it is empty."""
        return self._sum / (self._levels.size * _FIXED_POINT) if self._levels.size else float("nan")

    def update(self, slots: ArrayLike, values: ArrayLike) -> None:
        """Note that the v_hat of `slots` (n,) is now `values` (n,); a slot that occurs several times has one value."""
        changed, first = np.unique(as_ints(slots), return_index=True)
        before, after = self._levels[changed], _levels(as_floats(values)[first])
        self._counts += self._count(after) - self._count(before)
        self._sum += int((after - before).sum())
        self._levels[changed] = after

    def _count(self, levels: IntArray) -> IntArray:
        bins = np.minimum(levels * self._bins // _FIXED_POINT, self._bins - 1)
        return np.bincount(bins, minlength=self._bins)


def _levels(values: FloatArray) -> IntArray:
    return np.rint(values * _FIXED_POINT).astype(np.int64)
