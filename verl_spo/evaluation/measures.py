"""What one problem's n samples say about k of them. A sample passes if its score is 1; partial credit does not pass."""

from math import comb

from numpy.typing import ArrayLike

from verl_spo.evaluation.samples import check_k, checked_scores


def average(scores: ArrayLike) -> float:
    """avg@k: the mean score, whatever k is.

    Args:
        scores: In [0, 1], (n,).

    Raises:
        DataError: No sample.
        RewardError: A score is NaN or outside [0, 1].
    """
    return float(checked_scores(scores).mean())


def pass_at(k: int, scores: ArrayLike) -> float:
    """pass@k: the chance that at least one of k samples passes, without bias from the n that there are.

    `1 - C(n - c, k) / C(n, k)` for c that pass (Chen et al. 2021, arXiv:2107.03374), in exact integers.

    Args:
        k: 1 to n.
        scores: In [0, 1], (n,).

    Raises:
        ConfigError: k is less than 1 or more than n.
        DataError: No sample.
        RewardError: A score is NaN or outside [0, 1].
    """
    samples, passed = _counts(k, scores)
    ways = comb(samples, k)
    return (ways - comb(samples - passed, k)) / ways


def all_pass_at(k: int, scores: ArrayLike) -> float:
    """pass^k: the chance that all of k samples pass, without bias from the n that there are.

    `C(c, k) / C(n, k)` for c that pass (Yao et al. 2024, tau-bench, arXiv:2406.12045). Arguments and errors as for
    `pass_at`.
    """
    samples, passed = _counts(k, scores)
    return comb(passed, k) / comb(samples, k)


def _counts(k: int, scores: ArrayLike) -> tuple[int, int]:
    """Samples, and how many of them pass."""
    values = checked_scores(scores)
    check_k(k, values.size)
    return values.size, int((values == 1).sum())
