"""How sure an estimate is."""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.core.arrays import FloatArray, as_floats


def wilson_interval(value: ArrayLike, n_eff: ArrayLike, mass: float = 0.9) -> tuple[FloatArray, FloatArray]:
    """Wilson's score interval of a success rate: within [0, 1], sensible at 0 and 1 and for little evidence.

    Args:
        value: v_hat in [0, 1], (n,).
        n_eff: Evidence in observations, at least 0, (n,); none gives [0, 1].
        mass: Probability that the interval covers the rate, in (0, 1).

    Returns:
        Lower and upper ends, (n,) each.
    """
    rate, evidence = as_floats(value), as_floats(n_eff)
    square = NormalDist().inv_cdf((1 + mass) / 2) ** 2
    middle = (evidence * rate + square / 2) / (evidence + square)
    half = np.sqrt(square * (evidence * rate * (1 - rate) + square / 4)) / (evidence + square)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
