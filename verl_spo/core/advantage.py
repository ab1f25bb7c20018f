"""Normalization of advantages over a batch: one scalar a trajectory."""

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.core.arrays import FloatArray, as_floats
from verl_spo.errors import ConfigError

_EPSILON = 1e-8
# An advantage this small moves nothing.
_NO_SIGNAL = 1e-6


def normalize(advantages: ArrayLike, lengths: ArrayLike, how: str, centred: bool = True) -> FloatArray:
    """Centre and scale `reward - baseline` over the batch.

    `trajectory` ([SPO] section 4) weighs all trajectories alike: mean and unbiased standard deviation over them.
    `token` ([SPO++] section 2.3) weighs it by its action tokens, as a token-mean loss does: `sum(L * A) = 0`.
    `none` leaves the advantages as they are.

    A trajectory without action tokens is padding: it enters no statistic and gets 0. So does the only trajectory of a
    batch, unless `how` is `none`.

    Args:
        advantages: (n,).
        lengths: Action tokens of each trajectory, (n,): the loss mask's sum over all its turns.
        how: `trajectory`, `token` or `none`.
        centred: False only scales, by the root mean square: for a baseline that has the right centre already.

    Returns:
        (n,).

    Raises:
        ConfigError: Unknown `how`.
    """
    values, tokens = as_floats(advantages), as_floats(lengths)
    real = tokens > 0
    match how:
        case "none":
            return np.where(real, values, 0.0)
        case "trajectory":
            weights = real.astype(np.float64)
        case "token":
            weights = np.where(real, tokens, 0.0)
        case _:
            raise ConfigError(f"spo.normalization={how!r}: must be one of trajectory, token, none")
    return np.where(real, _standardize(values, weights, centred), 0.0)


def _standardize(values: FloatArray, weights: FloatArray, centred: bool) -> FloatArray:
    """Subtract the weighted mean, divide by the weighted deviation; `weights` (n,) count observations."""
    total = weights.sum()
    if np.count_nonzero(weights) < 2:
        return np.zeros_like(values)
    mean, freedom = ((weights * values).sum() / total, total - 1) if centred else (0.0, total)
    deviation = np.sqrt((weights * (values - mean) ** 2).sum() / freedom)
    standardized: FloatArray = (values - mean) / (deviation + _EPSILON)
    return standardized


def explained_variance(rewards: ArrayLike, baselines: ArrayLike) -> float:
    """Share of the rewards' variance that the baselines take away: 1 at best, 0 for what the batch's mean would do.

    Args:
        rewards: (n,).
        baselines: (n,).

    Returns:
        At most 1; negative for baselines that do harm; NaN where rewards do not vary.
    """
    outcomes = as_floats(rewards)
    spread = outcomes.var() if outcomes.size else 0.0
    return float(1.0 - (outcomes - as_floats(baselines)).var() / spread) if spread else float("nan")


def no_signal_share(advantages: ArrayLike) -> float:
    """Share of trajectories that teach nothing, their advantage being 0, in [0, 1]; NaN for an empty batch."""
    values = as_floats(advantages)
    return float((np.abs(values) < _NO_SIGNAL).mean()) if values.size else float("nan")
