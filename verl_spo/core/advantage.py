"""Normalization of advantages over a batch: one scalar a trajectory."""

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.core.arrays import FloatArray, as_floats
from verl_spo.errors import ConfigError

_EPSILON = 1e-8
# An advantage this small moves nothing.
_NO_SIGNAL = 1e-6


def normalize(advantages: ArrayLike, lengths: ArrayLike, how: str, centre: ArrayLike | None = None) -> FloatArray:
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
        centre: Weights of the mean that is subtracted, (n,), at least 0; by default those of `how`.

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
    middle = weights if centre is None else np.where(real, as_floats(centre), 0.0)
    return np.where(real, _standardize(values, weights, middle), 0.0)


def _standardize(values: FloatArray, weights: FloatArray, centre: FloatArray) -> FloatArray:
    """Subtract the mean by `centre` (n,), divide by the deviation by `weights` (n,), which count observations."""
    if np.count_nonzero(weights) < 2 or not centre.any():
        return np.zeros_like(values)
    centred = values - (centre * values).sum() / centre.sum()
    deviation = np.sqrt((weights * centred**2).sum() / (weights.sum() - 1))
    standardized: FloatArray = centred / (deviation + _EPSILON)
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
