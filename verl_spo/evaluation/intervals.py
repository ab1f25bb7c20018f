"""How far a figure over problems can be trusted: 95 % intervals, and what so few problems cannot show.

The problems stand for all problems like them. Of several sets, each counts alike, however many problems it has, and
varies by itself (a stratified sample).

Coverage and the reasons for these intervals: docs/intervals.md, `python -m benchmarks.coverage`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import permutation_test, t

from verl_spo.errors import DataError
from verl_spo.evaluation.samples import FloatArray, checked_scores

# Probability that an end of the interval leaves out.
_TAIL = 0.025
_FLIPS, _SEED = 9999, 0
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval.

    Attributes:
        mean: The estimate.
        low: Lower end; NaN where nothing shows how values vary: a set of one problem, a single seed.
        high: Upper end, likewise.
        standard_error: Standard deviation of the estimate, NaN likewise.
    """

    mean: float
    low: float
    high: float
    standard_error: float

    @property
    def half_width(self) -> float:
        """Half of low to high: of a difference, what is about the smallest that could be told from 0."""
        return (self.high - self.low) / 2


def mean_interval(sets: Sequence[ArrayLike]) -> Interval:
    """Mean over sets of each set's mean over its problems, within [0, 1].

    Wilson's score interval for as many problems as would be as sure if each were all right or all wrong ("effective
    sample size": Korn and Graubard 1998; Franco et al. 2019, J. Survey Statistics and Methodology 7, 334), with
    Student's quantile. Where no set varies, the bounds are those of Clopper and Pearson (`_of_constant`).

    Args:
        sets: For each set a figure of its problems in [0, 1], such as avg@32, (problems,).

    Raises:
        DataError: No set, or one without problems.
        RewardError: A figure is NaN or outside [0, 1].
    """
    total = _Total.of([checked_scores(values) for values in sets])
    mean, variance = total.mean, total.variance
    if variance == 0:
        return _of_constant(total, lowest=0.0)
    if math.isnan(variance):
        return Interval(mean, math.nan, math.nan, math.nan)
    # Of t^2 / (effective sample size).
    share = total.quantile**2 * variance / (mean * (1 - mean))
    middle = (mean + share / 2) / (1 + share)
    half = math.sqrt(share * (mean * (1 - mean) + share / 4)) / (1 + share)
    return Interval(mean, max(middle - half, 0.0), min(middle + half, 1.0), math.sqrt(variance))


def difference_interval(before: Sequence[ArrayLike], after: Sequence[ArrayLike]) -> Interval:
    """Mean difference `after - before` over the same problems, within [-1, 1]: Student's interval.

    Args:
        before: For each set a figure of its problems in [0, 1], (problems,).
        after: The same sets with the same problems in the same order.

    Raises:
        DataError: No set, one without problems, or others on one side than on the other.
        RewardError: A figure is NaN or outside [0, 1].
    """
    total = _Total.of(_differences(before, after))
    if total.variance == 0:
        return _of_constant(total, lowest=-1.0)
    error = math.sqrt(total.variance)
    low, high = total.mean - total.quantile * error, total.mean + total.quantile * error
    return Interval(total.mean, float(np.maximum(low, -1.0)), float(np.minimum(high, 1.0)), error)


def sign_flip_p(before: Sequence[ArrayLike], after: Sequence[ArrayLike]) -> float:
    """Chance of a mean difference as far from 0, or farther, if each problem's could as well have the other sign.

    A two-sided permutation test; sets count alike. Exact where at most 13 problems differ, otherwise from 9999 seeded
    draws. Arguments and errors as for `difference_interval`.
    """
    sets = _differences(before, after)
    weighed = np.concatenate([values / values.size for values in sets])
    changed = weighed[weighed != 0]
    if changed.size < 2:
        return 1.0
    found = permutation_test(
        (changed,),
        lambda values, axis: values.sum(axis=axis),
        permutation_type="samples",
        n_resamples=_FLIPS,
        vectorized=True,
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


def smallest_difference(problems: int, spread: float) -> float:
    """How far from 0 a mean must be so that its interval leaves out 0.

    So little can 30 problems show: figures of single problems have a standard deviation of 0.3 to 0.5, so their mean
    has a standard error of 5 to 9 points; differences of avg@32 between two runs have one of about 0.13, so their mean
    must be 5 points from 0 (docs/intervals.md).

    Args:
        problems: At least 2.
        spread: Standard deviation over the problems, of differences for two runs.

    Raises:
        DataError: Fewer problems.
    """
    if problems < 2:
        raise DataError(f"problems={problems}: what one problem shows cannot be told; give at least 2")
    return float(t.isf(_TAIL, problems - 1)) * spread / math.sqrt(problems)


def seeds_interval(values: ArrayLike) -> Interval:
    """Mean over training seeds and Student's interval: what another training run would give.

    Problems are the same in all runs, so this says nothing about other problems; `mean_interval` does.

    Args:
        values: A figure of each seed, (seeds,).

    Raises:
        DataError: No seed.
    """
    total = _Total.of([_nonempty(np.asarray(values, dtype=np.float64))])
    # Seeds that agree by chance show nothing of how others would vary.
    error = math.sqrt(total.variance) or math.nan
    half = total.quantile * error
    return Interval(total.mean, total.mean - half, total.mean + half, error)


@dataclass(frozen=True)
class _Total:
    """Mean of the sets' means.

    Attributes:
        mean: The estimate.
        variance: Of the estimate; exactly 0 where no set varies, NaN where a set has one value.
        quantile: Student's, by Welch's and Satterthwaite's degrees of freedom, where sets vary.
        problems: As many in one set would weigh as these do in theirs.
    """

    mean: float
    variance: float
    quantile: float
    problems: float

    @classmethod
    def of(cls, sets: Sequence[FloatArray]) -> "_Total":
        if not sets:
            raise DataError("no set of problems: give at least one")
        sizes = np.array([values.size for values in sets])
        parts = np.array([_variance_of_mean(values) for values in sets]) / len(sets) ** 2
        variance = parts.sum()
        degrees = 1 / ((parts / variance) ** 2 / (sizes - 1)).sum() if variance > 0 else 1.0
        return cls(
            mean=float(np.mean([values.mean() for values in sets])),
            variance=float(variance),
            quantile=float(t.isf(_TAIL, degrees)),
            problems=float(len(sets) ** 2 / (1 / sizes).sum()),
        )


def _variance_of_mean(values: FloatArray) -> float:
    if values.size < 2:
        return math.nan
    # Values that are equal but for rounding do not vary.
    return float(values.var(ddof=1)) / values.size if np.ptp(values) > _ROUNDING else 0.0


def _of_constant(total: _Total, lowest: float) -> Interval:
    """Where no set varies: a share of all problems, of which none is among these, may be at `lowest` or at 1.

    A larger share would be missed with a probability below 0.025. So n problems that are all wrong give 0 to
    1 - 0.025^(1/n), which are the bounds of Clopper and Pearson.
    """
    share = 1 - _TAIL ** (1 / total.problems)
    low, high = (total.mean + share * (end - total.mean) for end in (lowest, 1.0))
    return Interval(total.mean, low, high, 0.0)


def _differences(before: Sequence[ArrayLike], after: Sequence[ArrayLike]) -> list[FloatArray]:
    """Differences by problem, of each set."""
    first, second = ([checked_scores(values) for values in side] for side in (before, after))
    sizes = [[values.size for values in side] for side in (first, second)]
    if sizes[0] != sizes[1]:
        raise DataError(f"sets of {sizes[0]} and of {sizes[1]} problems: compare the same problems in the same order")
    return [later - earlier for earlier, later in zip(first, second, strict=True)]


def _nonempty(values: FloatArray) -> FloatArray:
    if not values.size:
        raise DataError("no training seed: give the figure of at least one")
    return values
