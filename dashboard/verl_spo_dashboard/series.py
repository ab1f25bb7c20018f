"""What happens to a series of numbers between the store and a chart."""

from collections.abc import Sequence

import numpy as np

from verl_spo.store.records import FloatArray, IntArray

MOST_POINTS = 72
"""Points of a line, at most: each one travels to the browser again at every step."""


def smooth(values: FloatArray, weight: float) -> FloatArray:
    """Exponential moving average, without the bias towards where it starts.

    Args:
        values: (n,); NaN is passed over.
        weight: Of the past, in [0, 1); 0 leaves the values as they are.

    Returns:
        (n,); NaN only before the first number.
    """
    averages, total, mass = [], 0.0, 0.0
    for value in values.tolist():
        if value == value:
            total, mass = weight * total + (1 - weight) * value, weight * mass + (1 - weight)
        averages.append(total / mass if mass else np.nan)
    return np.array(averages, dtype=np.float64)


def thin(count: int, most: int = MOST_POINTS) -> IntArray:
    """Indices of at most `most` of `count` points, evenly spread, with the first and the last."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


def extremes(values: FloatArray, kept: IntArray) -> tuple[FloatArray, FloatArray]:
    """The least and the greatest value between one kept point and the next, so that thinning hides no outlier.

    Args:
        values: (n,), n at least 1; NaN is passed over.
        kept: Indices into them, ascending, from 0 (see `thin`).

    Returns:
        (kept,) each; NaN where there is no number in between.
    """
    low = np.fmin.reduceat(values, kept)
    return low, np.fmax.reduceat(values, kept)


def means(values: FloatArray, kept: IntArray) -> FloatArray:
    """The mean from one kept point to the next, so that what happens now and then is in proportion.

    Args:
        values: (n,), n at least 1.
        kept: Indices into them, ascending, from 0 (see `thin`).

    Returns:
        (kept,).
    """
    averages: FloatArray = np.add.reduceat(values, kept) / np.diff(kept, append=values.size)
    return averages


def stride_for(steps: int, most: int) -> int:
    """The smallest power of two such that one of so many makes at most `most` of all steps."""
    stride = 1
    while steps // stride > most:
        stride *= 2
    return stride


def spread_steps(before: int, last_step: int, most: int) -> list[int]:
    """At most `most` of the steps after `before` up to `last_step`, evenly spread, with the last."""
    count = last_step - before
    return sorted({before + max(1, round(count * part / most)) for part in range(1, most + 1)}) if count else []


def last_number(values: Sequence[float] | FloatArray) -> float:
    """The last value that is a number; NaN if there is none."""
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    return float(numbers[-1]) if numbers.size else float("nan")
