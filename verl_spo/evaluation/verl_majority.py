"""maj@k as verl reports it: the figure to hold against published ones."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.evaluation.samples import IntArray, check_k, checked_scores, checked_votes

_RESAMPLES, _SEED = 1000, 42


def verl_majority_at(k: int, votes: ArrayLike, scores: ArrayLike) -> float:
    """verl's `maj@k/mean` of one problem, to the last bit.

    verl draws k of the n samples *with* replacement, 1000 times with seed 42, and takes the score of the first sample
    of the class with the most votes; of classes that tie, that of the class that came first. No answer is an answer as
    any other (verl 0.9.1, verl/trainer/ppo/metric_utils.py, `bootstrap_metric` and `calc_maj_val`). It depends on the
    order of the samples.

    The SPO paper's maj@32 is almost surely this: 72.1 % of AIME's 30 problems is no count. It differs from
    `majority_at` where the plurality is narrow: with replacement, other answers can win.

    Sessions that failed are not among verl's votes. Where `acc` counts them as 0, verl has more scores than votes and
    leaves the problem out of maj@k: give only the samples that came back, and none of such problems, for its very mean.

    Args:
        k: 1 to n; verl reports 2, 4, 8, ... and n.
        votes: The number of each sample's class, -1 if it has no answer, (n,).
        scores: In [0, 1], (n,).

    Raises:
        ConfigError: k is less than 1 or more than n.
        DataError: No sample, or not a vote for each.
        RewardError: A score is NaN or outside [0, 1].
    """
    values = checked_scores(scores)
    check_k(k, values.size)
    numbers = checked_votes(votes, values.size) + 1
    drawn, rows, classes = _drawn(k, values.size), np.arange(_RESAMPLES)[:, None], int(numbers.max()) + 1
    voted = numbers[drawn]
    counts = np.bincount((rows * classes + voted).ravel(), minlength=_RESAMPLES * classes).reshape(-1, classes)
    # The first sample whose class has the most votes is the first one of the class that came first.
    winner = counts[rows, voted].argmax(axis=1, keepdims=True)
    return float(values[np.take_along_axis(drawn, winner, axis=1)[:, 0]].mean())


@lru_cache(maxsize=64)
def _drawn(k: int, samples: int) -> IntArray:
    """Samples that verl draws, (1000, k), with a generator like numpy's global one, which stays untouched."""
    drawn: IntArray = np.random.RandomState(_SEED).choice(samples, size=(_RESAMPLES, k), replace=True)
    return drawn
