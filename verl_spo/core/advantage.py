"""Normalization of advantages over a batch: one scalar per trajectory."""

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.config import NormalizationKind
from verl_spo.core.arrays import FloatArray, as_floats

_EPSILON = 1e-8
# An advantage this small moves nothing.
_NO_SIGNAL = 1e-6


def normalize(
    advantages: ArrayLike, lengths: ArrayLike, how: NormalizationKind, centre: ArrayLike | None = None
) -> FloatArray:
    """Centre and scale `reward - baseline` over the batch.

    `trajectory` ([SPO] section 4) weighs all trajectories alike: mean and unbiased standard deviation over them.
    `token` ([SPO++] section 2.3) weighs it by its action tokens, as a token-mean loss does: `sum(L * A) = 0`.
    `none` leaves the advantages as they are.

    The only trajectory of a batch gets 0, unless `how` is `none`.

    Args:
        advantages: (n,).
        lengths: Action tokens of each trajectory, (n,), at least 1: the loss mask's sum over all its turns.
        how: `trajectory`, `token` or `none`.
        centre: Weights of the mean that is subtracted, (n,), at least 0; by default those of `how`.

    Returns:
        (n,).
    """
    values, weights = as_floats(advantages), weights_of(lengths, how)
    if how == "none":
        return values
    return _standardize(values, weights, weights if centre is None else as_floats(centre))


def weights_of(lengths: ArrayLike, how: NormalizationKind) -> FloatArray:
    """How many observations each trajectory counts as, (n,): its action tokens with `token`, otherwise one."""
    tokens = as_floats(lengths)
    return tokens if how == "token" else np.ones_like(tokens)


def _standardize(values: FloatArray, weights: FloatArray, centre: FloatArray) -> FloatArray:
    """Subtract the mean by `centre` (n,), divide by the deviation by `weights` (n,), which count observations."""
    if values.size < 2 or not centre.any():
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
