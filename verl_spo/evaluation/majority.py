"""maj@k: what the most frequent of k answers scores, worked out exactly.

verl's own figure of that name differs: `verl_majority`.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import convolution_matrix
from scipy.stats import binom

from verl_spo.evaluation.samples import FloatArray, IntArray, check_k, checked_scores, checked_votes


def majority_at(k: int, votes: ArrayLike, scores: ArrayLike) -> float:
    """Expected score of the plurality answer of k of a problem's n samples, drawn without replacement.

    A class of equal answers is worth the mean score of its members. Classes that tie for the most votes are worth their
    mean. A sample without an answer does not vote; where no sample votes, the score is 0.

    Exact up to rounding, without drawing anything: the order of the samples does not matter. maj@1 is avg@1 if those
    without an answer score 0.

    Args:
        k: 1 to n.
        votes: The number of each sample's class, -1 if it has no answer (`number_answers`), (n,).
        scores: In [0, 1], (n,).

    Raises:
        ConfigError: k is less than 1 or more than n.
        DataError: No sample, or not a vote for each.
        RewardError: A score is NaN or outside [0, 1].
    """
    values = checked_scores(scores)
    check_k(k, values.size)
    sizes, credits = _classes(checked_votes(votes, values.size), values)
    chances = _chances(k, values.size)
    won = sum(_won_with(most, k, sizes, credits, chances) for most in range(1, min(k, sizes.max(initial=0)) + 1))
    return float(won / chances[-1, k])


def _classes(votes: IntArray, scores: FloatArray) -> tuple[IntArray, FloatArray]:
    """Size and mean score of each class, (classes,) each."""
    voted = votes >= 0
    _, members, sizes = np.unique(votes[voted], return_inverse=True, return_counts=True)
    return sizes, np.bincount(members, weights=scores[voted], minlength=sizes.size) / sizes


@lru_cache(maxsize=64)
def _chances(k: int, samples: int) -> FloatArray:
    """Chance that 0 ... k of 0 ... n samples are drawn if each is drawn for itself, with chance k / n: (n + 1, k + 1).

    Where they happen to be k of all n, each k samples are as likely as any others. So a chance of this kind, divided by
    that of k of n, is one of drawing without replacement; and it neither overflows nor vanishes as binomials do.
    """
    chances: FloatArray = binom.pmf(np.arange(k + 1), np.arange(samples + 1)[:, None], k / samples)
    return chances


def _won_with(most: int, k: int, sizes: IntArray, credits: FloatArray, chances: FloatArray) -> float:
    """Expected credit where the winners have `most` votes, times the chance of that and of k samples in all.

    Adds class by class, for each number of winners (rows) and of samples drawn so far (columns), the chance of it and
    the chance times the winners' sum of credits.
    """
    able = sizes >= most
    chance, credit = state = np.zeros((2, k // most + 1, k + 1))
    # Smaller classes cannot win, whatever is drawn of them, like those who abstain.
    chance[0] = chances[len(chances) - 1 - sizes[able].sum()]
    for size, worth in zip(sizes[able], credits[able], strict=True):
        won = chances[size, most] * state[:, :-1, : k + 1 - most]
        won[1] += worth * won[0]
        state[:] = state @ convolution_matrix(chances[size, :most], k + 1)[: k + 1].T
        state[:, 1:, most:] += won
    return float((credit[1:, k] / np.arange(1, len(credit))).sum())
