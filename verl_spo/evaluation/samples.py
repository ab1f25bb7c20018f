"""One problem's samples as the measures take them: scores, a k, and classes of equal answers."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verl_spo.errors import ConfigError, DataError, RewardError

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

ABSTAINS = -1
"""The vote of a sample without an answer."""


def number_answers(answers: Sequence[str]) -> IntArray:
    """Votes of the samples, (n,): equal answers get one number, from 0 on; an empty answer gets `ABSTAINS`."""
    numbers: dict[str, int] = {}
    votes = [numbers.setdefault(answer, len(numbers)) if answer else ABSTAINS for answer in answers]
    return np.array(votes, dtype=np.int64)


def checked_scores(scores: ArrayLike) -> FloatArray:
    """A problem's scores, (n,).

    Raises:
        DataError: No sample, or no list of them.
        RewardError: A score is NaN or outside [0, 1].
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise DataError(f"scores of shape {values.shape}: give those of one problem's samples, (n,) with n >= 1")
    wrong = values[~((values >= 0) & (values <= 1))]
    if wrong.size:
        raise RewardError(f"score={wrong[0]:g}: must lie in [0, 1]; divide by what a right answer gets")
    return values


def checked_votes(votes: ArrayLike, samples: int) -> IntArray:
    """A problem's votes, (n,).

    Raises:
        DataError: Not one for each sample, or below `ABSTAINS`.
    """
    numbers = np.asarray(votes, dtype=np.int64)
    if numbers.shape != (samples,):
        raise DataError(f"votes of shape {numbers.shape} for {samples} scores: give one for each sample")
    if numbers.min() < ABSTAINS:
        raise DataError(f"vote={numbers.min()}: classes are numbered from 0, and {ABSTAINS} abstains")
    return numbers


def check_k(k: int, samples: int) -> None:
    """Refuse to guess what more samples would have done.

    Raises:
        ConfigError: `k` is not in 1 ... `samples`.
    """
    if not 1 <= k <= samples:
        raise ConfigError(f"k={k}: a problem has {samples} samples; choose 1 to {samples}, or sample more")
